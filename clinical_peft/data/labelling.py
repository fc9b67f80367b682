"""What a task's label function is given, and what it returns."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd

from clinical_peft.data.attrition import Attrition
from clinical_peft.data.labels import LABEL_COLUMNS
from clinical_peft.data.outcomes import Outcomes
from clinical_peft.tasks import find_task


@dataclass(frozen=True, kw_only=True)
class LabelRequest:
    """Everything that labels may depend on.

    Attributes:
        outcomes: The database.
        switches: Data switches; True means as the original does.
        salt: What random labels depend on.
        split: `data.pmv_split`, for a task whose members and split a published list may name.
    """

    outcomes: Outcomes
    switches: Mapping[str, bool]
    salt: str = ""
    split: str = "core-patient"


@dataclass(frozen=True, kw_only=True)
class Labels:
    """The labels of every admission that has one, whether it has a note or not.

    Attributes:
        frame: hadm_id, subject_id (int64) and label (int64, or a list of codes in the table's order).
        steps: From the rows of the tables to the labels, for the attrition table.
        begin_cohort: Whether the cohort's own steps begin with `steps`, and notes are joined to the labels; otherwise
            labels are joined to the notes.
        dropped: Admissions that have no label, by the step that keeps the others.
        split_of: Split of each admission, where it is not that of the patient.
    """

    frame: pd.DataFrame
    steps: Attrition = field(default_factory=Attrition)
    begin_cohort: bool = False
    dropped: Mapping[str, set[int]] = field(default_factory=dict)
    split_of: Mapping[int, str] | None = None


def label_table(task: str, outcomes: Outcomes, switches: Mapping[str, bool], *, salt: str = "") -> pd.DataFrame:
    """Return the labels of a task by its name: hadm_id, subject_id and label, ordered by hadm_id.

    Raises:
        ConfigError: The task is unknown or one of its switches not given.
        DataError: A table is missing or malformed, names an admission twice or gives it to two patients.
    """
    request = LabelRequest(outcomes=outcomes, switches=switches, salt=salt)
    labels = find_task(task).label(request).frame[LABEL_COLUMNS]
    return labels.sort_values("hadm_id", ignore_index=True)
