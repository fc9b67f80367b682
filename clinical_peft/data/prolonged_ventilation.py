"""Who was ventilated, and for how long: the cohort of prolonged mechanical ventilation.

Follows the cohort of Huang et al., "Clinical XLNet" (2020): adults ventilated for two days or more; the label is
seven days or more. Both thresholds give a quarter of a day away.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from clinical_peft.data.attrition import ICU_STAYS, Attrition
from clinical_peft.data.consistency import check_key
from clinical_peft.data.lost_zeros import warn_of_lost_zeros
from clinical_peft.data.table_files import find_table
from clinical_peft.data.tables import INTEGER, TEXT, TIME, read_table, stream_table
from clinical_peft.tasks import find_codes

COHORT_DAYS = 2.0
PROLONGED_DAYS = 7.0
BUFFER_DAYS = 0.25
NOTE_WINDOW_HOURS = 48
_DAY_SECONDS = 86_400
_YEAR_DAYS = 365.242
_ADULT_YEARS = 18
# ICD-9 prefixes of patients who need a ventilator for another reason, or are kept on one. The source picks burns and
# donors by their titles, burns by hand: the last two lines approximate them.
EXCLUDED_ICD9 = (
    r"14\d"  # malignant neoplasm of lip, mouth and pharynx
    r"|3589|3590|3591|35801"  # neuromuscular disease
    r"|94[01]|948[3-9]"  # burns of the eye, face, head and neck, or of 30 % and more of the body
    r"|V59"  # donors
)
_NOTE_CATEGORIES = {"Nursing", "Nursing/other", "Respiratory"}


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
    warn_of_lost_zeros(codes["ICD9_CODE"], find_codes("diagnoses"), path, "ICD9_CODE")  # 0140 would be taken for 140
    excluded = codes["HADM_ID"][codes["ICD9_CODE"].str.match(EXCLUDED_ICD9, na=False)]
    return long_ventilation(stays, excluded, episodes.rename(columns={"icustay_id": "stay_id"}), attrition)


def long_ventilation(
    stays: pd.DataFrame, excluded: "pd.Series[int]", episodes: pd.DataFrame, attrition: Attrition
) -> pd.DataFrame:
    """Return the admissions with an ICU stay that is ventilated for two days or more.

    The duration of a stay runs from its first episode's start to its last one's end, gaps included.

    Args:
        stays: stay_id, hadm_id, subject_id, intime.
        excluded: hadm_id of admissions with an excluding diagnosis.
        episodes: stay_id, starttime, endtime.
        attrition: Gets the steps.

    Returns:
        hadm_id, subject_id, label (1 when any stay of the admission lasts seven days or more), first_start (of the
        first stay that lasts two days or more); ordered by hadm_id.

    Raises:
        DataError: A step leaves nothing.
    """
    stays = stays[~stays["hadm_id"].isin(excluded)]
    attrition.record("without an excluding diagnosis", stays, unit=ICU_STAYS)

    spans = episodes.groupby("stay_id").agg(first_start=("starttime", "min"), last_end=("endtime", "max"))
    stays = attrition.record("ventilated", stays.merge(spans, on="stay_id", how="inner"), unit=ICU_STAYS)
    days = (stays["last_end"] - stays["first_start"]).dt.total_seconds() / _DAY_SECONDS + BUFFER_DAYS
    prolonged = stays["hadm_id"][days >= PROLONGED_DAYS]

    stays = attrition.record(
        f"ventilated for {COHORT_DAYS - BUFFER_DAYS} days or more", stays[days >= COHORT_DAYS], unit=ICU_STAYS
    )
    stays = stays.sort_values(["hadm_id", "intime", "stay_id"], kind="stable")
    first = stays.drop_duplicates("hadm_id", keep="first").reset_index(drop=True)
    first["label"] = first["hadm_id"].isin(prolonged).astype("int64")
    cohort = first[["hadm_id", "subject_id", "label", "first_start"]]
    return attrition.record("first of each admission", cohort)


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


def _adult_stays(mimic_iii: Path, attrition: Attrition) -> pd.DataFrame:
    columns = {"ICUSTAY_ID": INTEGER, "SUBJECT_ID": INTEGER, "HADM_ID": INTEGER, "INTIME": TIME}
    stays = attrition.record("rows of ICUSTAYS", _keyed(mimic_iii, "ICUSTAYS", columns), unit=ICU_STAYS)
    admissions = _keyed(mimic_iii, "ADMISSIONS", {"HADM_ID": INTEGER, "ADMITTIME": TIME})
    patients = _keyed(mimic_iii, "PATIENTS", {"SUBJECT_ID": INTEGER, "DOB": TIME})
    stays = stays.dropna().merge(admissions, on="hadm_id").merge(patients, on="subject_id")
    attrition.record("with an admission and a patient", stays, unit=ICU_STAYS)
    # Whole seconds, because ages over 89 are shifted to about 300 years, which overflows nanoseconds.
    seconds = (stays["admittime"] - stays["dob"]).dt.total_seconds()
    age = (seconds / (_DAY_SECONDS * _YEAR_DAYS)).round(4)
    stays = stays[age >= _ADULT_YEARS].rename(columns={"icustay_id": "stay_id"})
    stays = stays.astype({"subject_id": "int64", "hadm_id": "int64", "stay_id": "int64"})
    return attrition.record("of adults", stays, unit=ICU_STAYS)


def _keyed(mimic_iii: Path, name: str, columns: dict[str, pa.DataType]) -> pd.DataFrame:
    """A table with lower-case columns whose first one names each of its rows."""
    path = find_table(mimic_iii, name)
    return check_key(read_table(path, columns), next(iter(columns)), path).rename(columns=str.lower)
