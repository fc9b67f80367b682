"""Adults of MIMIC-III who were ventilated for long, and which of them have an early nursing or respiratory note."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from clinical_peft.data.attrition import ICU_STAYS, Attrition
from clinical_peft.data.code_spelling import plain_codes
from clinical_peft.data.consistency import read_keyed_table
from clinical_peft.data.lost_zeros import warn_of_lost_zeros
from clinical_peft.data.prolonged_ventilation import EXCLUDED_ICD9, long_ventilation
from clinical_peft.data.table_files import find_table
from clinical_peft.data.tables import INTEGER, TEXT, TIME, read_table, stream_table, stripped
from clinical_peft.tasks.diagnoses import DIAGNOSIS_CODES

NOTE_WINDOW_HOURS = 48
_DAY_SECONDS = 86_400
_YEAR_DAYS = 365.242
_ADULT_YEARS = 18
_NOTE_CATEGORIES = pa.array(["Nursing", "Nursing/other", "Respiratory"])


def ventilated_admissions(mimic_iii: Path, episodes: pd.DataFrame, attrition: Attrition) -> pd.DataFrame:
    """Return the admissions of adults who were ventilated for two days or more (`long_ventilation`).

    Args:
        mimic_iii: Folder with ICUSTAYS, ADMISSIONS, PATIENTS and DIAGNOSES_ICD.
        episodes: icustay_id, starttime, endtime.
        attrition: Gets the steps.

    Returns:
        As `long_ventilation`.

    Raises:
        DataError: A table is missing or malformed, names an admission, stay or patient twice, or a step leaves
            nothing.
    """
    stays = _adult_stays(mimic_iii, attrition)
    path = find_table(mimic_iii, "DIAGNOSES_ICD")
    codes = read_table(path, {"HADM_ID": INTEGER, "ICD9_CODE": TEXT})
    warn_of_lost_zeros(codes["ICD9_CODE"], DIAGNOSIS_CODES, path, "ICD9_CODE")  # 0140 would be taken for 140
    codes["ICD9_CODE"] = plain_codes(codes["ICD9_CODE"], DIAGNOSIS_CODES.icd9_category, f"{path}: column ICD9_CODE")
    excluded = codes["HADM_ID"][codes["ICD9_CODE"].str.match(EXCLUDED_ICD9, na=False)]
    return long_ventilation(stays, excluded, episodes.rename(columns={"icustay_id": "stay_id"}), attrition)


def with_early_note(mimic_iii: Path, admissions: pd.DataFrame) -> pd.DataFrame:
    """Keep admissions with a nursing or respiratory note in the 48 hours after the first ventilation began.

    Args:
        mimic_iii: Folder with NOTEEVENTS.
        admissions: What `ventilated_admissions` returns.
    """
    starts = admissions.set_index("hadm_id")["first_start"]
    found: set[int] = set()
    columns = {"HADM_ID": INTEGER, "CHARTTIME": TIME, "CATEGORY": TEXT}
    for batch in stream_table(find_table(mimic_iii, "NOTEEVENTS"), columns):
        category = stripped(batch["CATEGORY"])  # "Respiratory " in the release
        wanted = pc.is_in(category, value_set=_NOTE_CATEGORIES)
        wanted = pc.and_(wanted, pc.and_(pc.is_valid(batch["HADM_ID"]), pc.is_valid(batch["CHARTTIME"])))
        notes = batch.filter(wanted).to_pandas()
        hours = (notes["CHARTTIME"] - notes["HADM_ID"].map(starts)) / np.timedelta64(3600, "s")
        found.update(notes["HADM_ID"][hours.between(0, NOTE_WINDOW_HOURS)])
    return admissions[admissions["hadm_id"].isin(found)].reset_index(drop=True)


def _adult_stays(mimic_iii: Path, attrition: Attrition) -> pd.DataFrame:
    columns = {"ICUSTAY_ID": INTEGER, "SUBJECT_ID": INTEGER, "HADM_ID": INTEGER, "INTIME": TIME}
    stays = attrition.record("rows of ICUSTAYS", read_keyed_table(mimic_iii, "ICUSTAYS", columns), unit=ICU_STAYS)
    admissions = read_keyed_table(mimic_iii, "ADMISSIONS", {"HADM_ID": INTEGER, "ADMITTIME": TIME})
    patients = read_keyed_table(mimic_iii, "PATIENTS", {"SUBJECT_ID": INTEGER, "DOB": TIME})
    stays = stays.dropna().merge(admissions, on="hadm_id").merge(patients, on="subject_id")
    attrition.record("with an admission and a patient", stays, unit=ICU_STAYS)
    # Whole seconds, because ages over 89 are shifted to about 300 years, which overflows nanoseconds.
    seconds = (stays["admittime"] - stays["dob"]).dt.total_seconds()
    age = (seconds / (_DAY_SECONDS * _YEAR_DAYS)).round(4)
    stays = stays[age >= _ADULT_YEARS].rename(columns={"icustay_id": "stay_id"})
    stays = stays.astype({"subject_id": "int64", "hadm_id": "int64", "stay_id": "int64"})
    return attrition.record("of adults", stays, unit=ICU_STAYS)
