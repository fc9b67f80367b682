"""Records of training sizes: training_size.json.

As in `clinical_peft.metrics.comparison_records`, a mean stands under the name of the compared metric in the file and is
`value` in the records.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from clinical_peft.metrics.comparison_records import ComparedRecord, Difference, Rename, Summary
from clinical_peft.metrics.records import Record


@dataclass(frozen=True, kw_only=True)
class TrainingPart(Record):
    """A model on a task, trained on a part of the training split or on the whole.

    Attributes:
        model: Name of the model.
        task: Name of the task.
        size: Training rows asked for; None for the whole split.
        train_rows: Training rows in fact, the mean over seeds as a whole number; None where it may not be published.
        train_patients: Their patients, likewise.
        mean: Mean over seeds with its intervals.
        difference: This part minus the whole split; None for the whole split itself.
        p_holm: `p_total` of the difference, adjusted over all rows.
        significant: Whether that is significant.
    """

    model: str
    task: str
    size: int | None
    train_rows: int | None
    train_patients: int | None
    mean: Summary
    difference: Difference | None = None
    p_holm: float | None = None
    significant: bool = False


@dataclass(frozen=True, kw_only=True)
class WholeSize(Record):
    """A size that a task's training split does not exceed, so that it is no part.

    Attributes:
        task: Name of the task.
        size: Training rows asked for.
        train_rows: Rows of the training split; None where they may not be published.
    """

    task: str
    size: int
    train_rows: int | None


@dataclass(frozen=True, kw_only=True)
class TrainingSizes(ComparedRecord):
    """training_size.json: what more training rows are worth.

    Attributes:
        level: Coverage of the intervals.
        resamples: Bootstrap resamples of the test patients.
        rows: By model, task and size.
        whole: Sizes without rows.
        metric: Name of the compared metric.
    """

    PLACE: ClassVar[str] = "training sizes"
    level: float
    resamples: int
    rows: list[TrainingPart]
    whole: list[WholeSize]

    @staticmethod
    def _renamed(content: Mapping[str, Any], rename: Rename) -> dict[str, Any]:
        return {"rows": [row | {"mean": rename(row["mean"])} for row in content.get("rows", ())]}
