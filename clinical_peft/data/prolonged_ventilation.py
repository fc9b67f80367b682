"""Who was ventilated, and for how long: the cohort of prolonged mechanical ventilation.

Follows the cohort of Huang et al., "Clinical XLNet" (2020): adults ventilated for two days or more; the label is
seven days or more. Both thresholds give a quarter of a day away.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.compute as pc

from clinical_peft.data.attrition import Attrition
from clinical_peft.data.table_files import find_table
from clinical_peft.data.tables import INTEGER, TEXT, TIME, read_table, stream_table

COHORT_DAYS = 2.0
PROLONGED_DAYS = 7.0
BUFFER_DAYS = 0.25
NOTE_WINDOW_HOURS = 48
_DAY_SECONDS = 86_400
_YEAR_DAYS = 365.242
_ADULT_YEARS = 18
# ICD-9 prefixes of patients who need a ventilator for another reason, or are kept on one.
_EXCLUDED_CODES = (
    r"14\d"  # malignant neoplasm of lip, mouth and pharynx
    r"|3589|3590|3591|35801"  # neuromuscular disease
    r"|94[01]|948[3-9]"  # burns of the eye, face, head and neck, or of 30 % and more of the body
    r"|V59"  # donors
)
_NOTE_CATEGORIES = {"Nursing", "Nursing/other", "Respiratory"}


def ventilated_admissions(mimic_iii: Path, episodes: pd.DataFrame, attrition: Attrition) -> pd.DataFrame:
    """Return the admissions of adults who were ventilated for two days or more.

    The duration of a stay runs from its first episode's start to its last one's end, gaps included.

    Args:
        mimic_iii: Folder with ICUSTAYS, ADMISSIONS, PATIENTS and DIAGNOSES_ICD.
        episodes: icustay_id, starttime, endtime.
        attrition: Gets the steps.

    Returns:
        hadm_id, subject_id, label (1 when any stay of the admission lasts seven days or more), first_start (of the
        first stay that lasts two days or more); ordered by hadm_id.

    Raises:
        DataError: A table is missing or malformed, or a step leaves nothing.
    """
    stays = attrition.record("ICU stays of adults", _adult_stays(mimic_iii))
    codes = read_table(find_table(mimic_iii, "DIAGNOSES_ICD"), {"HADM_ID": INTEGER, "ICD9_CODE": TEXT})
    excluded = codes["HADM_ID"][codes["ICD9_CODE"].str.match(_EXCLUDED_CODES, na=False)]
    stays = attrition.record("without an excluding diagnosis", stays[~stays["hadm_id"].isin(excluded)])

    spans = episodes.groupby("icustay_id").agg(first_start=("starttime", "min"), last_end=("endtime", "max"))
    stays = attrition.record("ventilated", stays.merge(spans, on="icustay_id", how="inner"))
    days = (stays["last_end"] - stays["first_start"]).dt.total_seconds() / _DAY_SECONDS + BUFFER_DAYS
    prolonged = stays["hadm_id"][days >= PROLONGED_DAYS]

    stays = stays[days >= COHORT_DAYS].sort_values(["hadm_id", "intime", "icustay_id"], kind="stable")
    first = stays.drop_duplicates("hadm_id", keep="first").reset_index(drop=True)
    first["label"] = first["hadm_id"].isin(prolonged).astype("int64")
    cohort = first[["hadm_id", "subject_id", "label", "first_start"]]
    return attrition.record("admissions ventilated for 2 days or more (1.75)", cohort)


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
        category = pc.utf8_trim_whitespace(batch["CATEGORY"])  # "Respiratory " in the release
        wanted = pc.is_in(category, value_set=pc.cast(sorted(_NOTE_CATEGORIES), TEXT))
        wanted = pc.and_(wanted, pc.and_(pc.is_valid(batch["HADM_ID"]), pc.is_valid(batch["CHARTTIME"])))
        notes = batch.filter(wanted).to_pandas()
        hours = (notes["CHARTTIME"] - notes["HADM_ID"].map(starts)) / np.timedelta64(3600, "s")
        found.update(notes["HADM_ID"][hours.between(0, NOTE_WINDOW_HOURS)])
    return admissions[admissions["hadm_id"].isin(found)].reset_index(drop=True)


def random_split(hadm_ids: "pd.Series[int]") -> dict[int, str]:
    """Split admissions at random, 80/10/10, whatever patient they belong to.

    Shuffles the sorted ids as scikit-learn's ``train_test_split`` would with seed 1, first a tenth for test, then a
    ninth of the rest for validation. One patient can stand in several splits.
    """
    remaining = np.sort(hadm_ids.to_numpy("int64"))
    split_of: dict[int, str] = {}
    for split, fraction in (("test", 1 / 10), ("validation", 1 / 9)):
        order = np.random.RandomState(1).permutation(len(remaining))
        size = int(np.ceil(fraction * len(remaining)))
        split_of |= dict.fromkeys(remaining[order[:size]].tolist(), split)
        remaining = remaining[order[size:]]
    return split_of | dict.fromkeys(remaining.tolist(), "train")


def _adult_stays(mimic_iii: Path) -> pd.DataFrame:
    stays = read_table(
        find_table(mimic_iii, "ICUSTAYS"),
        {"SUBJECT_ID": INTEGER, "HADM_ID": INTEGER, "ICUSTAY_ID": INTEGER, "INTIME": TIME},
    ).dropna()
    admissions = read_table(find_table(mimic_iii, "ADMISSIONS"), {"HADM_ID": INTEGER, "ADMITTIME": TIME})
    patients = read_table(find_table(mimic_iii, "PATIENTS"), {"SUBJECT_ID": INTEGER, "DOB": TIME})
    stays = stays.merge(admissions, on="HADM_ID").merge(patients, on="SUBJECT_ID")
    # Whole seconds, because ages over 89 are shifted to about 300 years, which overflows nanoseconds.
    seconds = (stays["ADMITTIME"] - stays["DOB"]).dt.total_seconds()
    age = (seconds / (_DAY_SECONDS * _YEAR_DAYS)).round(4)
    stays = stays[age >= _ADULT_YEARS].rename(columns=str.lower)
    return stays.astype({"subject_id": "int64", "hadm_id": "int64", "icustay_id": "int64"})
