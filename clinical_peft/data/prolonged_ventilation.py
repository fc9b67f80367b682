"""Who was ventilated, and for how long: the cohort of prolonged mechanical ventilation.

Follows the cohort of Huang et al., "Clinical XLNet" (2020): adults ventilated for two days or more; the label is
seven days or more. Both thresholds give a quarter of a day away.
"""

import numpy as np
import pandas as pd

from clinical_peft.data.attrition import ICU_STAYS, Attrition

COHORT_DAYS = 2.0
PROLONGED_DAYS = 7.0
BUFFER_DAYS = 0.25
_DAY_SECONDS = 86_400
# ICD-9 prefixes of patients who need a ventilator for another reason, or are kept on one. The source picks burns and
# donors by their titles, burns by hand: the last two lines approximate them.
EXCLUDED_ICD9 = (
    r"14\d"  # malignant neoplasm of lip, mouth and pharynx
    r"|3589|3590|3591|35801"  # neuromuscular disease
    r"|94[01]|948[3-9]"  # burns of the eye, face, head and neck, or of 30 % and more of the body
    r"|V59"  # donors
)


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


def random_split(hadm_ids: "pd.Series[int]") -> dict[int, str]:
    """Split admissions at random, 80/10/10, regardless of their patient.

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
