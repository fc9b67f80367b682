"""Labels from the tables alone: lengths of stay, survival, codes, control labels."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from clinical_peft.config.switches import switch_on
from clinical_peft.data.attrition import CODES, Attrition
from clinical_peft.data.consistency import check_key, check_one_patient
from clinical_peft.data.icd9 import has_icd9_form, icd9_groups
from clinical_peft.data.lost_zeros import warn_of_lost_zeros
from clinical_peft.data.original_reader import MISSING_WORDS, read_as_numbers
from clinical_peft.data.table_files import find_table
from clinical_peft.data.tables import FLAG, INTEGER, TEXT, TIME, read_table
from clinical_peft.errors import DataError
from clinical_peft.tasks import find_codes

LABEL_COLUMNS = ["hadm_id", "subject_id", "label"]
DISCHARGED_ALIVE = "discharged alive"
ENDING_AFTER_START = "that do not end before they begin"
LOS_UPPER_DAYS = (3, 7, 14)  # upper bounds, included, of the first three classes
_DAY_SECONDS = 86_400
_IDS = {"HADM_ID": "hadm_id", "SUBJECT_ID": "subject_id"}
_MALFORMED_KEPT = "malformed_codes_kept"


def survival_labels(folder: Path) -> pd.DataFrame:
    """Return whether each admission ended in death, by the table's own flag.

    Args:
        folder: Folder with the table of admissions, of MIMIC-III or of MIMIC-IV.

    Returns:
        hadm_id, subject_id and label (int64), ordered by hadm_id.

    Raises:
        DataError: The table is missing, malformed or names an admission twice.
    """
    rows = _admissions(folder, {}).dropna()
    return _labelled(rows.assign(label=rows["hospital_expire_flag"]))


def coin_labels(folder: Path, salt: str) -> pd.DataFrame:
    """Return a random label for each admission, by its `salt`; arguments and errors as for `survival_labels`."""
    rows = _admissions(folder, {})
    return _labelled(rows.assign(label=[control_label(hadm_id, salt) for hadm_id in rows["hadm_id"]]))


def stay_labels(folder: Path, switches: Mapping[str, bool]) -> tuple[pd.DataFrame, dict[str, set[int]]]:
    """Return the class of each length of stay, and the admissions without one by the step that keeps the others.

    Args:
        folder: Folder with the table of admissions, of MIMIC-III or of MIMIC-IV.
        switches: los_rounded and negative_stays_kept.

    Raises:
        ConfigError: A switch is not given.
        DataError: The table is missing, malformed or names an admission twice.
    """
    rows = _lengths_of_stay(folder, switches)
    dropped = {DISCHARGED_ALIVE: set(rows["hadm_id"][~rows["alive"]])}
    if not switch_on(switches, "negative_stays_kept"):
        dropped[ENDING_AFTER_START] = set(rows["hadm_id"][~rows["in_order"]])
    return _labelled(rows[rows["alive"] & rows["in_order"]]), dropped


def _labelled(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.astype({"label": "int64"})[LABEL_COLUMNS].sort_values("hadm_id", ignore_index=True)


def code_labels(codes: pd.DataFrame) -> pd.DataFrame:
    """Collect rows of codes (hadm_id, subject_id, code) into one list per admission, each code once, in their order.

    Rows without admission or patient are in no list.
    """
    codes = codes.drop_duplicates(["hadm_id", "code"]).dropna().astype({"hadm_id": "int64", "subject_id": "int64"})
    labels = codes.groupby(["hadm_id", "subject_id"])["code"].agg(list).rename("label").reset_index()
    return labels[LABEL_COLUMNS].sort_values("hadm_id", ignore_index=True)


def code_table(
    task: str, mimic_iii: Path, switches: Mapping[str, bool], attrition: Attrition | None = None
) -> pd.DataFrame:
    """Return the shortened ICD-9 codes of a multilabel task, one row per coded row of the table, in its order.

    Diagnoses keep 3 characters, 4 when they begin with V or E. Procedures keep 3, leading zeros included unless
    procedure_codes_as_integers is on, when codes of different procedures fall together ("0331" and "3310") and one
    missing code turns all into decimals ("54" into "54."). Unless malformed_codes_kept is on, rows are left out whose
    code has not the form of ICD-9-CM, and rows without admission or patient; otherwise their codes count for the
    label space. A table whose codes lost their leading zeros is warned of (`clinical_peft.data.lost_zeros`).

    Args:
        task: diagnoses or procedures.
        mimic_iii: Folder with the task's table.
        switches: malformed_codes_kept, and procedure_codes_as_integers for procedures.
        attrition: Takes the steps from the table's rows to those that can be labels.

    Returns:
        hadm_id, subject_id (Int64, null where the row has none), code.

    Raises:
        DataError: The table is missing or malformed, or gives an admission to two patients; a step leaves nothing; a
            code that is to be read as a number is none.
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


def bin_length_of_stay(seconds: np.ndarray, *, rounded: bool) -> np.ndarray:
    """Return the class of each length of stay.

    Args:
        seconds: Lengths, float, shape (n,); negative ones, which the database holds, count as short.
        rounded: Round to a tenth of a day first, as the original does: 3.04 days are then 3.

    Returns:
        Classes, int64, shape (n,): 0 up to 3 days, 1 up to 7, 2 up to 14, 3 beyond.
    """
    days = np.asarray(seconds, dtype="float64") / _DAY_SECONDS
    if rounded:
        days = np.round(days, 1)
    return np.searchsorted(LOS_UPPER_DAYS, days, side="left").astype("int64")


def control_label(hadm_id: int, salt: str) -> int:
    """Return a random label for an admission, which no note predicts: the last bit of a SHA-256."""
    return hashlib.sha256(f"control:{salt}:{hadm_id}".encode()).digest()[-1] & 1


def _admissions(mimic_iii: Path, columns: dict[str, object]) -> pd.DataFrame:
    path = find_table(mimic_iii, "ADMISSIONS")
    rows = read_table(path, {"HADM_ID": INTEGER, "SUBJECT_ID": INTEGER, "HOSPITAL_EXPIRE_FLAG": FLAG} | columns)
    rows = check_key(rows, "HADM_ID", path).dropna(subset=["HADM_ID", "SUBJECT_ID"])
    return rows.rename(columns=str.lower).astype({"hadm_id": "int64", "subject_id": "int64"})


def _lengths_of_stay(mimic_iii: Path, switches: Mapping[str, bool]) -> pd.DataFrame:
    """Every admission with its label, whether it is of a survivor, and whether its length may be a label."""
    rows = _admissions(mimic_iii, {"ADMITTIME": TIME, "DISCHTIME": TIME})
    alive = rows["hospital_expire_flag"].eq(False).fillna(False).astype(bool)
    missing = int(rows.loc[alive, ["admittime", "dischtime"]].isna().any(axis=1).sum())
    if missing:
        path = find_table(mimic_iii, "ADMISSIONS")
        raise DataError(f"{path}: expected ADMITTIME and DISCHTIME in every row, found {missing} rows without")
    seconds = (rows["dischtime"] - rows["admittime"]).dt.total_seconds().to_numpy()
    label = bin_length_of_stay(seconds, rounded=switch_on(switches, "los_rounded"))
    in_order = ~(seconds < 0) | switch_on(switches, "negative_stays_kept")
    return rows.assign(label=label, alive=alive, in_order=in_order)
