"""Labels from the tables alone: lengths of stay, survival, codes, control labels."""

import hashlib
from collections.abc import Mapping

import numpy as np
import pandas as pd

from clinical_peft.recipes.switches import switch_on

LABEL_COLUMNS = ["hadm_id", "subject_id", "label"]
DISCHARGED_ALIVE = "discharged alive"
ENDING_AFTER_START = "that do not end before they begin"
LOS_UPPER_DAYS = (3, 7, 14)  # upper bounds, included, of the first three classes
_DAY_SECONDS = 86_400


def survival_labels(admissions: pd.DataFrame) -> pd.DataFrame:
    """Return whether each admission ended in death; those of which that is not recorded are left out.

    Args:
        admissions: hadm_id, subject_id and died, as `Outcomes.admissions` returns them.

    Returns:
        hadm_id, subject_id and label (int64), ordered by hadm_id.
    """
    rows = admissions[["hadm_id", "subject_id", "died"]].dropna()
    return _labelled(rows.assign(label=rows["died"]))


def control_labels(admissions: pd.DataFrame, salt: str) -> pd.DataFrame:
    """Return a random label for each admission, by its `salt`; other arguments as for `survival_labels`."""
    return _labelled(admissions.assign(label=[control_label(hadm_id, salt) for hadm_id in admissions["hadm_id"]]))


def stay_labels(admissions: pd.DataFrame, switches: Mapping[str, bool]) -> tuple[pd.DataFrame, dict[str, set[int]]]:
    """Return the class of each length of stay, and the admissions without one by the step that keeps the others.

    Args:
        admissions: hadm_id, subject_id, died, admittime and dischtime, as `Outcomes.admissions` returns them.
        switches: los_rounded and negative_stays_kept.

    Raises:
        ConfigError: A switch is not given.
    """
    alive = admissions["died"].eq(False).fillna(False).astype(bool)
    seconds = (admissions["dischtime"] - admissions["admittime"]).dt.total_seconds().to_numpy()
    label = bin_length_of_stay(seconds, rounded=switch_on(switches, "los_rounded"))
    in_order = ~(seconds < 0) | switch_on(switches, "negative_stays_kept")
    dropped = {DISCHARGED_ALIVE: set(admissions["hadm_id"][~alive])}
    if not switch_on(switches, "negative_stays_kept"):
        dropped[ENDING_AFTER_START] = set(admissions["hadm_id"][~in_order])
    return _labelled(admissions.assign(label=label)[alive & in_order]), dropped


def _labelled(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.astype({"label": "int64"})[LABEL_COLUMNS].sort_values("hadm_id", ignore_index=True)


def code_labels(codes: pd.DataFrame) -> pd.DataFrame:
    """Collect rows of codes (hadm_id, subject_id, code) into one list per admission, each code once, in their order.

    Rows without admission or patient are in no list.
    """
    codes = codes.drop_duplicates(["hadm_id", "code"]).dropna().astype({"hadm_id": "int64", "subject_id": "int64"})
    labels = codes.groupby(["hadm_id", "subject_id"])["code"].agg(list).rename("label").reset_index()
    return labels[LABEL_COLUMNS].sort_values("hadm_id", ignore_index=True)


def bin_length_of_stay(seconds: np.ndarray, *, rounded: bool) -> np.ndarray:
    """Return the class of each length of stay.

    Args:
        seconds: Lengths, float, shape (n,); negative ones, which the database holds, count as short.
        rounded: Round to a tenth of a day first, as the original does: 3.04 days are then 3.

    Returns:
        Classes, int64, shape (n,): 0 up to 3 days, 1 up to 7, 2 up to 14, 3 beyond.
    """
    days = np.asarray(seconds, dtype="float64") / _DAY_SECONDS
    if rounded:
        days = np.round(days, 1)
    return np.searchsorted(LOS_UPPER_DAYS, days, side="left").astype("int64")


def control_label(hadm_id: int, salt: str) -> int:
    """Return a random label for an admission, which no note predicts: the last bit of a SHA-256."""
    return hashlib.sha256(f"control:{salt}:{hadm_id}".encode()).digest()[-1] & 1
