"""Ages at admission in MIMIC-IV, which gives a patient's age in one year and no date of birth."""

from pathlib import Path

import pandas as pd
import pyarrow as pa

from clinical_peft.data.consistency import check_key
from clinical_peft.data.table_files import find_table
from clinical_peft.data.tables import INTEGER, TIME, read_table

ADULT_YEARS = 18


def adult_admissions(mimic_iv: Path) -> pd.DataFrame:
    """Return the admissions of patients of 18 years or more.

    The age at an admission is anchor_age plus the years between the anchor_year and that of the admission, as in
    mimic-code's concept ``age``.

    Args:
        mimic_iv: Folder with hosp/admissions and hosp/patients.

    Returns:
        hadm_id, subject_id (int64), ordered as in the table.

    Raises:
        DataError: A table is missing, malformed, or names an admission or a patient twice.
    """
    admissions = _keyed(mimic_iv, "admissions", {"hadm_id": INTEGER, "subject_id": INTEGER, "admittime": TIME})
    patients = _keyed(mimic_iv, "patients", {"subject_id": INTEGER, "anchor_age": INTEGER, "anchor_year": INTEGER})
    rows = admissions.dropna().merge(patients.dropna(), on="subject_id")
    age = rows["anchor_age"] + rows["admittime"].dt.year - rows["anchor_year"]
    return rows.loc[age >= ADULT_YEARS, ["hadm_id", "subject_id"]].astype("int64").reset_index(drop=True)


def _keyed(mimic_iv: Path, name: str, columns: dict[str, pa.DataType]) -> pd.DataFrame:
    path = find_table(mimic_iv, name)
    return check_key(read_table(path, columns), next(iter(columns)), path)
