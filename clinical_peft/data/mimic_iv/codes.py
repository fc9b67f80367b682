"""Groups of the ICD codes of MIMIC-IV, which holds ICD-9 and, from October 2015 on, ICD-10."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from clinical_peft.data.consistency import check_one_patient
from clinical_peft.data.icd9 import has_icd9_form, icd9_groups
from clinical_peft.data.labels import find_task, switch_on
from clinical_peft.data.table_files import find_table
from clinical_peft.data.tables import INTEGER, TEXT, read_table
from clinical_peft.errors import ConfigError, DataError

SEPARATE, MAP_TO_9, ONLY_9, ONLY_10 = "separate", "map-to-9", "only-9", "only-10"
MODES = (SEPARATE, MAP_TO_9, ONLY_9, ONLY_10)
_VERSIONS = (9, 10)
# ICD-10-CM: a letter, a digit, and one to five characters more, without the dot; ICD-10-PCS: seven characters.
_ICD10_FORMS = {"diagnoses": r"[A-Z][0-9][0-9A-Z]{1,5}", "procedures": r"[0-9A-HJ-NP-Z]{7}"}
_ICD9_CODE = r"[0-9VE][0-9]{1,4}"  # of a map, which may hold both kinds
_ICD10_GROUP = 3


@dataclass(frozen=True)
class IcdCoding:
    """What becomes of the two versions of the ICD.

    Attributes:
        mode: ``separate`` keeps both, their classes named by version ("9:428", "10:I50"); ``map-to-9`` replaces
            ICD-10 codes by their counterparts in ``icd_map``; ``only-9`` and ``only-10`` drop the other version.
        icd_map: CSV file with the columns icd10_code and icd9_code, for ``map-to-9`` alone. A code may have several
            counterparts, in several rows; one whose counterpart is empty or begins with "No" has none.

    Raises:
        ConfigError: The mode is unknown, or the map is missing or given without use.
    """

    mode: str = SEPARATE
    icd_map: Path | None = None

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ConfigError(f"cohorts.icd: expected one of {', '.join(MODES)}, found {self.mode}")
        if (self.mode == MAP_TO_9) != (self.icd_map is not None):
            raise ConfigError(f"cohorts.icd_map: expected a file with cohorts.icd {MAP_TO_9}, and with no other mode")


def read_codes(mimic_iv: Path, table: str) -> pd.DataFrame:
    """Read diagnoses_icd or procedures_icd.

    Returns:
        hadm_id, subject_id, version (9 or 10; all int64), code (upper case, null where there is none).

    Raises:
        DataError: The table is missing or malformed, holds another version of the ICD, or gives an admission to two
            patients.
    """
    path = find_table(mimic_iv, table)
    columns = {"hadm_id": INTEGER, "subject_id": INTEGER, "icd_version": INTEGER, "icd_code": TEXT}
    rows = read_table(path, columns).rename(columns={"icd_version": "version", "icd_code": "code"})
    other = sorted(set(rows["version"].dropna()) - set(_VERSIONS))
    if other:
        raise DataError(f"{path}: column icd_version: expected 9 or 10, found {', '.join(map(str, other))}")
    rows = rows.dropna(subset=["hadm_id", "subject_id", "version"])
    rows = rows.astype({"hadm_id": "int64", "subject_id": "int64", "version": "int64"})
    rows["code"] = rows["code"].str.strip().str.upper()
    return check_one_patient(rows.reset_index(drop=True), path)


def code_groups(
    mimic_iv: Path, task: str, coding: IcdCoding, switches: Mapping[str, bool]
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Return the groups of a multilabel task's codes, one row per coded row of the table, in its order.

    ICD-9 diagnoses keep 3 characters, 4 when they begin with V or E; all others keep 3: categories of ICD-10-CM,
    section, body system and operation of ICD-10-PCS, three digits of ICD-9 procedures.

    Args:
        mimic_iv: Folder with hosp/diagnoses_icd or hosp/procedures_icd.
        task: diagnoses or procedures.
        coding: What becomes of the two versions.
        switches: malformed_codes_kept.

    Returns:
        hadm_id, subject_id (int64), code (the group's name); and how many rows are left out, by reason.

    Raises:
        DataError: The table or the map is missing or malformed, or no code is left.
    """
    table = str(find_task(task).code_table).lower()
    rows = read_codes(mimic_iv, table)
    left_out = {"rows without a code": int(rows["code"].isna().sum())}
    rows = rows.dropna(subset=["code"])
    if not switch_on(switches, "malformed_codes_kept"):
        is_9 = rows["version"] == 9
        formed = has_icd9_form(rows["code"], task).where(is_9, rows["code"].str.fullmatch(_ICD10_FORMS[task]))
        left_out["codes that have not the form of their version of the ICD"] = int((~formed).sum())
        rows = rows[formed]
    if coding.mode == MAP_TO_9:
        rows, left_out["ICD-10 codes without a counterpart in ICD-9"] = _mapped(rows, Path(str(coding.icd_map)))
    elif coding.mode in (ONLY_9, ONLY_10):
        wanted = rows["version"] == (9 if coding.mode == ONLY_9 else 10)
        left_out["codes of the other version of the ICD"] = int((~wanted).sum())
        rows = rows[wanted]
    if rows.empty:
        raise DataError(
            f"{find_table(mimic_iv, table)}: cohorts.icd {coding.mode}: no code is left; choose another mode"
        )
    groups = icd9_groups(rows["code"], task).where(rows["version"] == 9, rows["code"].str[:_ICD10_GROUP])
    if coding.mode == SEPARATE:
        groups = rows["version"].astype("str") + ":" + groups
    return rows[["hadm_id", "subject_id"]].assign(code=groups).reset_index(drop=True), left_out


def _mapped(rows: pd.DataFrame, path: Path) -> tuple[pd.DataFrame, int]:
    """Rows in ICD-9: ICD-10 codes become their counterparts; and how many have none and are left out."""
    counterparts = _read_map(path)
    rows = rows.reset_index(names="place")
    is_10 = rows["version"] == 10
    unknown = int((~rows["code"][is_10].isin(counterparts["code"])).sum())
    if is_10.any() and unknown == is_10.sum():
        raise DataError(f"{path}: expected counterparts of the table's ICD-10 codes, found none of them")
    replaced = rows[is_10].merge(counterparts, on="code").drop(columns="code").rename(columns={"icd9": "code"})
    mapped = pd.concat([rows[~is_10], replaced.assign(version=9)]).sort_values("place", kind="stable")
    return mapped.drop(columns="place"), unknown


def _read_map(path: Path) -> pd.DataFrame:
    """code (of ICD-10) and icd9, one row per pair."""
    pairs = read_table(path, {"icd10_code": TEXT, "icd9_code": TEXT}).dropna()
    pairs = pairs.apply(lambda column: column.str.strip().str.replace(".", "", regex=False).str.upper())
    pairs = pairs[(pairs["icd9_code"] != "") & ~pairs["icd9_code"].str.startswith("NO")]
    malformed = int((~pairs["icd9_code"].str.fullmatch(_ICD9_CODE)).sum())
    if malformed:
        raise DataError(f"{path}: column icd9_code: expected ICD-9 codes, found another value in {malformed} rows")
    return pairs.drop_duplicates().rename(columns={"icd10_code": "code", "icd9_code": "icd9"})
