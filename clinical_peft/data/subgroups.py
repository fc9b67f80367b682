"""Who an admission's patient is: the attributes by which a study's figures are compared between groups of patients.

Values are grouped, so that few groups are small: ethnicity as the concepts of mimic-code group it, admission types of
MIMIC-IV by their urgency. A group has one of the names below, whatever stands in a table: a value that is not known is
``other``, so that no field reaches a figure. Neither database gives real dates. The era of a stay is therefore, for
MIMIC-III, the system that charted its intensive care, CareVue (2001 to 2008) or MetaVision (2008 to 2012), and for
MIMIC-IV the three years around the patient's anchor year.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from clinical_peft.data.consistency import check_key
from clinical_peft.data.note_table import parquet_writer
from clinical_peft.data.table_files import find_table, locate_table
from clinical_peft.data.tables import INTEGER, TEXT, TIME, read_table

ATTRIBUTES = ("sex", "age_band", "ethnicity", "insurance", "admission_type", "era")
SCHEMA = pa.schema([("hadm_id", pa.int64()), *((name, pa.string()) for name in ATTRIBUTES)])
AGE_BANDS = ((18, "under 18"), (40, "18 to 39"), (60, "40 to 59"), (80, "60 to 79"), (np.inf, "80 and over"))
_YEAR_DAYS = 365.242
_DAY_SECONDS = 86_400
OTHER = "other"
# Values in lower case -> group: those of the two databases' documentation.
_SEXES = {"f": "female", "m": "male"}
_INSURANCE = {
    **{"medicare": "Medicare", "medicaid": "Medicaid", "private": "Private", "government": "Government"},
    **{"self pay": "Self pay", "no charge": "No charge"},
}
_SYSTEMS = {"carevue": "CareVue", "metavision": "MetaVision", "both": "carevue and metavision"}
_YEARS = ("2008 - 2010", "2011 - 2013", "2014 - 2016", "2017 - 2019", "2020 - 2022")
_ERAS = {spelt: years for years in _YEARS for spelt in (years, years.replace(" ", ""))}
# First match wins.
_ETHNICITY = (
    (r"WHITE", "white"),
    (r"BLACK|CARIBBEAN", "black"),
    (r"HISPANIC|SOUTH AMERICAN", "hispanic"),
    (r"ASIAN", "asian"),
    (r"AMERICAN INDIAN|NATIVE HAWAIIAN", "native"),
    (r"UNKNOWN|UNABLE|PATIENT DECLINED", None),
)
_ADMISSION_TYPES = (
    (r"OBSERVATION", "observation"),
    (r"EMER", "emergency"),
    (r"URGENT", "urgent"),
    (r"ELECTIVE|SURGICAL SAME DAY", "elective"),
    (r"NEWBORN", "newborn"),
)


def build_subgroups(source: str, folder: Path, output: Path) -> int:
    """Write the attributes of every admission.

    Args:
        source: mimic-iii or mimic-iv.
        folder: Folder with ADMISSIONS, and, for sex, age and the era of MIMIC-IV, PATIENTS; for the era of MIMIC-III
            ICUSTAYS. Attributes of a table that is not there are null.
        output: Parquet file to write: hadm_id and one column per attribute of `ATTRIBUTES`, null where it is not
            recorded, ordered by hadm_id.

    Returns:
        The number of admissions.

    Raises:
        DataError: ADMISSIONS is missing, or a table is malformed or names an admission or a patient twice.
    """
    rows = _of_mimic_iv(folder) if source == "mimic-iv" else _of_mimic_iii(folder)
    rows["age_band"] = _age_bands(rows.pop("age"))
    table = pa.Table.from_pandas(rows.sort_values("hadm_id")[SCHEMA.names], schema=SCHEMA, preserve_index=False)
    with parquet_writer(output, SCHEMA) as writer:
        writer.write_table(table.cast(writer.schema))
    return int(table.num_rows)


def _of_mimic_iii(folder: Path) -> pd.DataFrame:
    rows = _admissions(folder, "ETHNICITY")
    people = _patients(folder, {"GENDER": TEXT, "DOB": TIME})
    rows = rows.merge(people, on="subject_id", how="left")
    # Whole seconds, because ages over 89 are shifted to about 300 years, which overflows nanoseconds.
    rows["age"] = (rows["admittime"] - rows["dob"]).dt.total_seconds() / (_DAY_SECONDS * _YEAR_DAYS)
    rows["sex"] = _named(rows["gender"], _SEXES)
    path = locate_table(folder, "ICUSTAYS")
    if path is None:
        return rows.assign(era=None)
    stays = read_table(path, {"HADM_ID": INTEGER, "DBSOURCE": TEXT}).dropna().rename(columns=str.lower)
    systems = stays.assign(system=_named(stays["dbsource"], _SYSTEMS)).groupby("hadm_id")["system"].agg(_era)
    rows["era"] = rows["hadm_id"].map(systems)
    return rows


def _era(systems: "pd.Series[str]") -> str:
    """Name the systems that charted the stays of an admission."""
    found = set(systems)
    if len(found) == 1:
        return str(found.pop())
    return OTHER if OTHER in found else _SYSTEMS["both"]


def _of_mimic_iv(folder: Path) -> pd.DataFrame:
    rows = _admissions(folder, "race")
    people = _patients(
        folder, {"gender": TEXT, "anchor_age": INTEGER, "anchor_year": INTEGER, "anchor_year_group": TEXT}
    )
    rows = rows.merge(people, on="subject_id", how="left")
    # As in mimic-code's concept `age`.
    rows["age"] = (rows["anchor_age"] + rows["admittime"].dt.year - rows["anchor_year"]).astype("Float64")
    rows["sex"] = _named(rows["gender"], _SEXES)
    return rows.assign(era=_named(rows["anchor_year_group"], _ERAS))


def _admissions(folder: Path, ethnicity: str) -> pd.DataFrame:
    path = find_table(folder, "ADMISSIONS")
    columns = {"HADM_ID": INTEGER, "SUBJECT_ID": INTEGER, "ADMITTIME": TIME}
    texts = ["INSURANCE", "ADMISSION_TYPE", ethnicity]
    rows = check_key(read_table(path, columns | dict.fromkeys(texts, TEXT)), "HADM_ID", path)
    rows = rows.dropna(subset=["HADM_ID", "SUBJECT_ID"]).rename(columns=str.lower)
    rows = rows.astype({"hadm_id": "int64", "subject_id": "int64"})
    rows["ethnicity"] = _grouped(rows[ethnicity.lower()], _ETHNICITY)
    rows["admission_type"] = _grouped(rows["admission_type"], _ADMISSION_TYPES)
    rows["insurance"] = _named(rows["insurance"], _INSURANCE)
    return rows


def _patients(folder: Path, columns: dict[str, pa.DataType]) -> pd.DataFrame:
    path = locate_table(folder, "PATIENTS")
    if path is None:
        frame = pa.schema([("SUBJECT_ID", INTEGER), *columns.items()]).empty_table().to_pandas()
    else:
        frame = check_key(read_table(path, {"SUBJECT_ID": INTEGER} | columns), "SUBJECT_ID", path)
    return frame.dropna(subset=["SUBJECT_ID"]).rename(columns=str.lower).astype({"subject_id": "int64"})


def _named(values: "pd.Series[str]", groups: Mapping[str, str]) -> "pd.Series[str]":
    """Name the group of each value, in any letter case; one that is missing stays so."""
    names = values.astype(object).str.split().str.join(" ").str.lower().map(groups)
    return names.where(names.notna(), OTHER).where(values.notna(), None)


def _grouped(values: "pd.Series[str]", groups: tuple[tuple[str, str | None], ...]) -> "pd.Series[str]":
    """Name the group of each value by the first pattern that it holds; one that is missing stays so."""
    found = pd.Series(OTHER, index=values.index, dtype=object).where(values.notna(), None)
    for pattern, group in reversed(groups):
        found = found.mask(values.str.contains(pattern, case=False, na=False), group)
    return found


def _age_bands(ages: pd.Series) -> pd.Series:
    borders = [-np.inf, *(upper for upper, _ in AGE_BANDS)]
    bands = pd.cut(ages.astype("float64"), borders, right=False, labels=[name for _, name in AGE_BANDS])
    return bands.astype(object)
