"""Groups of the ICD-9 codes of MIMIC-III."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from clinical_peft.data.attrition import CODES, Attrition
from clinical_peft.data.code_spelling import plain_codes
from clinical_peft.data.consistency import check_one_patient
from clinical_peft.data.icd9 import has_icd9_form, icd9_groups
from clinical_peft.data.lost_zeros import warn_of_lost_zeros
from clinical_peft.data.table_files import find_table
from clinical_peft.data.tables import INTEGER, TEXT, read_table
from clinical_peft.errors import DataError
from clinical_peft.recipes.switches import switch_on
from clinical_peft.sources.mimic_iii.original_reader import MISSING_WORDS, read_as_numbers
from clinical_peft.tasks import find_codes

_IDS = {"HADM_ID": "hadm_id", "SUBJECT_ID": "subject_id"}
_MALFORMED_KEPT = "malformed_codes_kept"


def code_table(
    task: str, mimic_iii: Path, switches: Mapping[str, bool], attrition: Attrition | None = None
) -> pd.DataFrame:
    """Return the shortened ICD-9 codes of a multilabel task, one row per coded row of the table, in its order.

    Diagnoses keep 3 characters, 4 when they begin with V or E. Procedures keep 3, leading zeros included unless
    procedure_codes_as_integers is on, when codes of different procedures fall together ("0331" and "3310") and one
    missing code turns all into decimals ("54" into "54."). Unless malformed_codes_kept is on, other spellings of a
    code count as the code (`plain_codes`), and rows are left out whose code has not the form of ICD-9-CM, and rows
    without admission or patient; otherwise their codes count for the label space. A table whose codes lost their
    leading zeros is warned of (`clinical_peft.data.lost_zeros`).

    Args:
        task: diagnoses or procedures.
        mimic_iii: Folder with the task's table.
        switches: malformed_codes_kept, and procedure_codes_as_integers for procedures.
        attrition: Takes the steps from the table's rows to those that can be labels.

    Returns:
        hadm_id, subject_id (Int64, null where the row has none), code.

    Raises:
        DataError: The table is missing or malformed, or gives an admission to two patients; a step leaves nothing; a
            code was read as a number, or is to be read as one and is none.
    """
    kind = find_codes(task)
    name = kind.name
    path, attrition, kept = find_table(mimic_iii, name), attrition or Attrition(), switch_on(switches, _MALFORMED_KEPT)
    table = read_table(path, {"SUBJECT_ID": INTEGER, "HADM_ID": INTEGER, "ICD9_CODE": TEXT})
    table = attrition.record(f"rows of {name}", table.rename(columns={"ICD9_CODE": "code"} | _IDS), unit=CODES)
    coded = table[table["code"].notna() & ~table["code"].isin(MISSING_WORDS)]
    attrition.record("with a code", coded, unit=CODES)
    warn_of_lost_zeros(coded["code"], kind, path, "ICD9_CODE")
    rows = coded
    if not kept:
        codes = plain_codes(rows["code"], kind.icd9_category, f"{path}: column ICD9_CODE")
        rows = rows.assign(code=codes)
        rows = attrition.record("of the form of ICD-9-CM", rows[has_icd9_form(rows["code"], kind)], unit=CODES)
    identified = attrition.record("with an admission", rows[rows["hadm_id"].notna()], unit=CODES)
    identified = attrition.record("with a patient", identified[identified["subject_id"].notna()], unit=CODES)
    check_one_patient(identified, path)
    rows = (rows if kept else identified)[["hadm_id", "subject_id", "code"]].reset_index(drop=True)
    codes = rows["code"]
    if kind.may_be_integers and switch_on(switches, "procedure_codes_as_integers"):
        try:
            codes = read_as_numbers(codes, some_missing=len(coded) < len(table))
        except ValueError:
            raise DataError(f"{path}: column ICD9_CODE: expected numbers, found another code") from None
    return rows.assign(code=icd9_groups(codes, kind))
