"""Groups of the ICD codes of MIMIC-IV, which holds ICD-9 and, from October 2015 on, ICD-10."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from clinical_peft.data.attrition import CODES, Attrition
from clinical_peft.data.code_spelling import plain_codes
from clinical_peft.data.consistency import check_one_patient
from clinical_peft.data.icd9 import has_icd9_form, icd9_groups
from clinical_peft.data.lost_zeros import warn_of_lost_zeros
from clinical_peft.data.table_files import find_table
from clinical_peft.data.tables import INTEGER, TEXT, read_table
from clinical_peft.errors import ConfigError, DataError
from clinical_peft.recipes.switches import switch_on
from clinical_peft.tasks import find_codes
from clinical_peft.tasks.diagnoses import DIAGNOSIS_CODES
from clinical_peft.tasks.task import CodeTable

SEPARATE, MAP_TO_9, ONLY_9, ONLY_10 = "separate", "map-to-9", "only-9", "only-10"
MODES = (SEPARATE, MAP_TO_9, ONLY_9, ONLY_10)
_VERSIONS = (9, 10)
_IDS = {"hadm_id": "an admission", "subject_id": "a patient"}
_ICD9_CODE = r"[0-9VE][0-9]{1,4}"  # of a map, which may hold both kinds
_ICD10_GROUP = 3


@dataclass(frozen=True)
class IcdCoding:
    """How the two versions of the ICD are treated.

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


def read_codes(mimic_iv: Path, kind: CodeTable) -> pd.DataFrame:
    """Read diagnoses_icd or procedures_icd.

    Returns:
        hadm_id, subject_id, version (9 or 10; all int64), code (upper case, null where there is none).

    Raises:
        DataError: The table is missing or malformed, holds another version of the ICD, or gives an admission to two
            patients.
    """
    rows = _read_rows(mimic_iv, kind).dropna(subset=[*_IDS, "version"])
    return _identified(rows, find_table(mimic_iv, kind.name.lower()))


def _read_rows(mimic_iv: Path, kind: CodeTable) -> pd.DataFrame:
    """Every row of a table of codes; what it lacks is null."""
    path = find_table(mimic_iv, kind.name.lower())
    columns = {"hadm_id": INTEGER, "subject_id": INTEGER, "icd_version": INTEGER, "icd_code": TEXT}
    rows = read_table(path, columns).rename(columns={"icd_version": "version", "icd_code": "code"})
    other = int((~rows["version"].dropna().isin(_VERSIONS)).sum())
    if other:
        raise DataError(f"{path}: column icd_version: expected 9 or 10, found another number in {other} rows")
    for version in _VERSIONS if kind.icd10_may_begin_with_0 else _VERSIONS[:1]:
        codes = rows["code"][rows["version"].eq(version).fillna(False)]
        warn_of_lost_zeros(codes, kind, path, "icd_code", f"codes of ICD-{version}")
    where, is_10 = f"{path}: column icd_code", rows["version"].eq(10).fillna(False)
    codes_9 = plain_codes(rows["code"][~is_10], kind.icd9_category, where)
    codes_10 = plain_codes(rows["code"][is_10], kind.icd10_category, where)
    return rows.assign(code=pd.concat([codes_9, codes_10]).reindex(rows.index))


def _identified(rows: pd.DataFrame, path: Path) -> pd.DataFrame:
    rows = rows.astype({"hadm_id": "int64", "subject_id": "int64", "version": "int64"})
    return check_one_patient(rows.reset_index(drop=True), path)


def code_groups(
    mimic_iv: Path, task: str, coding: IcdCoding, switches: Mapping[str, bool], attrition: Attrition
) -> pd.DataFrame:
    """Return the groups of a multilabel task's codes, one row per coded row of the table, in its order.

    ICD-9 diagnoses keep 3 characters, 4 when they begin with V or E; all others keep 3: categories of ICD-10-CM,
    section, body system and operation of ICD-10-PCS, three digits of ICD-9 procedures.

    Args:
        mimic_iv: Folder with hosp/diagnoses_icd or hosp/procedures_icd.
        task: diagnoses or procedures.
        coding: What becomes of the two versions.
        switches: malformed_codes_kept.
        attrition: Takes the steps from the table's rows to those that can be labels.

    Returns:
        hadm_id, subject_id (int64), code (the group's name).

    Raises:
        DataError: The table or the map is missing or malformed, or no code is left.
    """
    kind = find_codes(task)
    table = kind.name.lower()
    path = find_table(mimic_iv, table)
    rows = _read_rows(mimic_iv, kind)
    steps = [(f"rows of {table}", rows)]
    for column, name in {"code": "a code", **_IDS, "version": "a version of the ICD"}.items():
        rows = rows[rows[column].notna()]
        steps.append((f"with {name}", rows))
    rows = _identified(rows, path)
    if not switch_on(switches, "malformed_codes_kept"):
        is_9 = rows["version"] == 9
        rows = rows[has_icd9_form(rows["code"], kind).where(is_9, rows["code"].str.fullmatch(kind.icd10_form))]
        steps.append(("of the form of their version of the ICD", rows))
    if coding.mode == MAP_TO_9:
        rows, mapped = _mapped(rows, Path(str(coding.icd_map)))
        steps.append(("of ICD-9 or with a counterpart in it", rows))
        rows = mapped
    elif coding.mode in (ONLY_9, ONLY_10):
        version = 9 if coding.mode == ONLY_9 else 10
        rows = rows[rows["version"] == version]
        steps.append((f"of ICD-{version}", rows))
    if rows.empty:
        raise DataError(f"{path}: cohorts.icd {coding.mode}: no code is left; choose another mode")
    for step, frame in steps:
        attrition.record(step, frame, unit=CODES)
    groups = icd9_groups(rows["code"], kind).where(rows["version"] == 9, rows["code"].str[:_ICD10_GROUP])
    if coding.mode == SEPARATE:
        groups = rows["version"].astype("str") + ":" + groups
    return rows[[*_IDS]].assign(code=groups).reset_index(drop=True)


def _mapped(rows: pd.DataFrame, path: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of ICD-9 and those of ICD-10 with a counterpart in it; and the same in ICD-9, one row per counterpart."""
    counterparts = read_icd_map(path)
    rows = rows.reset_index(names="place")
    is_10 = rows["version"] == 10
    known = rows[~is_10 | rows["code"].isin(counterparts["code"])]
    if is_10.any() and len(known) == (~is_10).sum():
        raise DataError(f"{path}: expected counterparts of the table's ICD-10 codes, found none of them")
    replaced = known[known["version"] == 10].merge(counterparts, on="code")
    replaced = replaced.drop(columns="code").rename(columns={"icd9": "code"})
    mapped = pd.concat([rows[~is_10], replaced.assign(version=9)]).sort_values("place", kind="stable")
    return known, mapped.drop(columns="place")


def read_icd_map(path: Path) -> pd.DataFrame:
    """Read the counterparts of ICD-10 codes in ICD-9.

    Returns:
        code (of ICD-10) and icd9, one row per pair.

    Raises:
        DataError: The file is missing or malformed, or holds something else than ICD-9 codes.
    """
    pairs = read_table(path, {"icd10_code": TEXT, "icd9_code": TEXT}).dropna()
    warn_of_lost_zeros(pairs["icd9_code"], DIAGNOSIS_CODES, path, "icd9_code")
    pairs = pairs.apply(lambda column: column.str.strip().str.replace(".", "", regex=False).str.upper())
    pairs = pairs[(pairs["icd9_code"] != "") & ~pairs["icd9_code"].str.startswith("NO")]
    malformed = int((~pairs["icd9_code"].str.fullmatch(_ICD9_CODE)).sum())
    if malformed:
        raise DataError(f"{path}: column icd9_code: expected ICD-9 codes, found another value in {malformed} rows")
    return pairs.drop_duplicates().rename(columns={"icd10_code": "code", "icd9_code": "icd9"})
