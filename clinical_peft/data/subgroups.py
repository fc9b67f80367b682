"""Who an admission's patient is: the attributes by which a study's metrics are compared between groups of patients.

Values are grouped, so that few groups are small: ethnicity as the concepts of mimic-code group it, admission types of
MIMIC-IV by their urgency. A group has one of the names below, whatever stands in a table: a value that is not known is
``other``, so that no field reaches a figure. No source gives real dates: the era of a stay stands in for them.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from clinical_peft.data.consistency import check_key, read_keyed_table
from clinical_peft.data.note_table import parquet_writer
from clinical_peft.data.table_files import locate_table
from clinical_peft.data.tables import INTEGER, TEXT, TIME, read_table
from clinical_peft.errors import ConfigError
from clinical_peft.sources import find_source

ATTRIBUTES = ("sex", "age_band", "ethnicity", "insurance", "admission_type", "era")
SCHEMA = pa.schema([("hadm_id", pa.int64()), *((name, pa.string()) for name in ATTRIBUTES)])
AGE_BANDS = ((18, "under 18"), (40, "18 to 39"), (60, "40 to 59"), (80, "60 to 79"), (np.inf, "80 and over"))
OTHER = "other"
# Values in lower case -> group: those of the documentation of MIMIC-III and MIMIC-IV.
SEXES = {"f": "female", "m": "male"}
_INSURANCE = {
    **{"medicare": "Medicare", "medicaid": "Medicaid", "private": "Private", "government": "Government"},
    **{"self pay": "Self pay", "no charge": "No charge"},
}
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
        source: A name in `clinical_peft.sources`.
        folder: Folder with the source's `attribute_tables`. Attributes of an optional table that is not there are null.
        output: Parquet file to write: hadm_id and one column per attribute of `ATTRIBUTES`, null where it is not
            recorded, ordered by hadm_id.

    Returns:
        The number of admissions.

    Raises:
        ConfigError: The source is unknown, or reads no such attribute.
        DataError: A table that is needed is missing, or a table is malformed or names an admission or a patient twice.
    """
    rows = find_source(source).patient_attributes(folder)
    if missing := {"hadm_id", "age", *ATTRIBUTES} - {"age_band"} - set(rows):
        raise ConfigError(
            f"source {source}: patient_attributes: expected column {min(missing)}, found none; its values may be null"
        )
    rows["age_band"] = _age_bands(rows.pop("age"))
    table = pa.Table.from_pandas(rows.sort_values("hadm_id")[SCHEMA.names], schema=SCHEMA, preserve_index=False)
    with parquet_writer(output, SCHEMA) as writer:
        writer.write_table(table.cast(writer.schema))
    return int(table.num_rows)


def admission_attributes(folder: Path, ethnicity: str) -> pd.DataFrame:
    """Read the table of admissions of MIMIC-III or MIMIC-IV.

    Args:
        folder: Folder with ADMISSIONS.
        ethnicity: Its column of the patient's ethnicity.

    Returns:
        hadm_id, subject_id (int64), admittime, and the attributes ethnicity, admission_type and insurance.

    Raises:
        DataError: The table is missing or malformed, or names an admission twice.
    """
    columns = {"HADM_ID": INTEGER, "SUBJECT_ID": INTEGER, "ADMITTIME": TIME}
    columns |= dict.fromkeys(["INSURANCE", "ADMISSION_TYPE", ethnicity], TEXT)
    rows = read_keyed_table(folder, "ADMISSIONS", columns).dropna(subset=["hadm_id", "subject_id"])
    rows = rows.astype({"hadm_id": "int64", "subject_id": "int64"})
    rows["ethnicity"] = _grouped(rows[ethnicity.lower()], _ETHNICITY)
    rows["admission_type"] = _grouped(rows["admission_type"], _ADMISSION_TYPES)
    rows["insurance"] = named(rows["insurance"], _INSURANCE)
    return rows


def read_patients(folder: Path, columns: dict[str, pa.DataType]) -> pd.DataFrame:
    """Read the table of patients if it is there.

    Args:
        folder: Folder that may hold PATIENTS.
        columns: Columns to read besides the patient's id.

    Returns:
        subject_id (int64) and the columns, their names in lower case; no rows without the table.

    Raises:
        DataError: The table is malformed or names a patient twice.
    """
    path = locate_table(folder, "PATIENTS")
    if path is None:
        frame = pa.schema([("SUBJECT_ID", INTEGER), *columns.items()]).empty_table().to_pandas()
    else:
        frame = check_key(read_table(path, {"SUBJECT_ID": INTEGER} | columns), "SUBJECT_ID", path)
    return frame.dropna(subset=["SUBJECT_ID"]).rename(columns=str.lower).astype({"subject_id": "int64"})


def named(values: "pd.Series[str]", groups: Mapping[str, str]) -> "pd.Series[str]":
    """Name the group of each value, in any letter case; a missing one stays so, an unknown one is other."""
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
