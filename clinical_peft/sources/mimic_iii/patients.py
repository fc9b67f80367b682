"""Who the patients of MIMIC-III are; their era is the system that charted their intensive care."""

from pathlib import Path

import pandas as pd

from clinical_peft.data.subgroups import OTHER, SEXES, admission_attributes, named, read_patients
from clinical_peft.data.table_files import locate_table
from clinical_peft.data.tables import INTEGER, TEXT, TIME, read_table

_YEAR_DAYS = 365.242
_DAY_SECONDS = 86_400
# CareVue was used from 2001 to 2008, MetaVision from 2008 to 2012.
_SYSTEMS = {"carevue": "CareVue", "metavision": "MetaVision", "both": "carevue and metavision"}


def patient_attributes(folder: Path) -> pd.DataFrame:
    """Return the attributes of every admission but the age band, and the patient's age.

    Args:
        folder: Folder with ADMISSIONS and, for sex and age, PATIENTS, for the era ICUSTAYS.

    Returns:
        hadm_id, the attributes, age (years, float).

    Raises:
        DataError: ADMISSIONS is missing, or a table is malformed or names an admission or a patient twice.
    """
    rows = admission_attributes(folder, "ETHNICITY")
    rows = rows.merge(read_patients(folder, {"GENDER": TEXT, "DOB": TIME}), on="subject_id", how="left")
    # Whole seconds, because ages over 89 are shifted to about 300 years, which overflows nanoseconds.
    rows["age"] = (rows["admittime"] - rows["dob"]).dt.total_seconds() / (_DAY_SECONDS * _YEAR_DAYS)
    rows["sex"] = named(rows["gender"], SEXES)
    path = locate_table(folder, "ICUSTAYS")
    if path is None:
        return rows.assign(era=None)
    stays = read_table(path, {"HADM_ID": INTEGER, "DBSOURCE": TEXT}).dropna().rename(columns=str.lower)
    systems = stays.assign(system=named(stays["dbsource"], _SYSTEMS)).groupby("hadm_id")["system"].agg(_era)
    rows["era"] = rows["hadm_id"].map(systems)
    return rows


def _era(systems: "pd.Series[str]") -> str:
    """Name the systems that charted the stays of an admission."""
    found = set(systems)
    if len(found) == 1:
        return str(found.pop())
    return OTHER if OTHER in found else _SYSTEMS["both"]
