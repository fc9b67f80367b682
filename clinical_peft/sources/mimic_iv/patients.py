"""Who the patients of MIMIC-IV are, which gives a patient's age in one year and no date of birth."""

from pathlib import Path

import pandas as pd

from clinical_peft.data.consistency import read_keyed_table
from clinical_peft.data.subgroups import SEXES, admission_attributes, named, read_patients
from clinical_peft.data.tables import INTEGER, TEXT, TIME
from clinical_peft.errors import DataError

ADULT_YEARS = 18
_YEARS = ("2008 - 2010", "2011 - 2013", "2014 - 2016", "2017 - 2019", "2020 - 2022")
_ERAS = {spelling: years for years in _YEARS for spelling in (years, years.replace(" ", ""))}


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
    admissions = read_keyed_table(
        mimic_iv, "admissions", {"hadm_id": INTEGER, "subject_id": INTEGER, "admittime": TIME}
    )
    patients = read_keyed_table(
        mimic_iv, "patients", {"subject_id": INTEGER, "anchor_age": INTEGER, "anchor_year": INTEGER}
    )
    rows = admissions.dropna().merge(patients.dropna(), on="subject_id")
    age = rows["anchor_age"] + rows["admittime"].dt.year - rows["anchor_year"]
    return rows.loc[age >= ADULT_YEARS, ["hadm_id", "subject_id"]].astype("int64").reset_index(drop=True)


def year_groups(mimic_iv: Path) -> dict[int, str | None]:
    """Return the three years around the real year of each patient's stays, which stand for its dates.

    Args:
        mimic_iv: Folder with patients.

    Returns:
        By subject_id the years, as "2008 - 2010"; None where the table has none.

    Raises:
        DataError: The table is missing or malformed, names a patient twice, or has other years.
    """
    columns = {"subject_id": INTEGER, "anchor_year_group": TEXT}
    patients = read_keyed_table(mimic_iv, "patients", columns).dropna(subset=["subject_id"])
    eras = patients["anchor_year_group"].map(_ERAS)
    if unknown := int((eras.isna() & patients["anchor_year_group"].notna()).sum()):
        raise DataError(
            f"{mimic_iv}: column anchor_year_group of patients: expected {', '.join(_YEARS)}, found other years of "
            f"{unknown:,} patients; fetch the table again"
        )
    years = eras.astype(object).where(eras.notna(), None)
    return dict(zip(patients["subject_id"].astype(int).tolist(), years.tolist(), strict=True))


def patient_attributes(mimic_iv: Path) -> pd.DataFrame:
    """Return the attributes of every admission but the age band, and the patient's age.

    Their era is the three years around the patient's anchor year.

    Args:
        mimic_iv: Folder with admissions and, for sex, age and era, patients.

    Returns:
        hadm_id, the attributes, age (years, nullable float).

    Raises:
        DataError: The table of admissions is missing, or a table is malformed or names an admission or a patient twice.
    """
    rows = admission_attributes(mimic_iv, "race")
    columns = {"gender": TEXT, "anchor_age": INTEGER, "anchor_year": INTEGER, "anchor_year_group": TEXT}
    rows = rows.merge(read_patients(mimic_iv, columns), on="subject_id", how="left")
    # As in mimic-code's concept `age`.
    rows["age"] = (rows["anchor_age"] + rows["admittime"].dt.year - rows["anchor_year"]).astype("Float64")
    rows["sex"] = named(rows["gender"], SEXES)
    return rows.assign(era=named(rows["anchor_year_group"], _ERAS))
