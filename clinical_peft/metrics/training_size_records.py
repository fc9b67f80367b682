"""Records of training sizes: training_size.json.

As in `clinical_peft.metrics.comparison_records`, a mean stands under the name of the compared metric in the file and is
`value` in the records.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from clinical_peft.metrics.comparison_records import Difference, Summary, with_metric, with_value
from clinical_peft.metrics.records import Record
from clinical_peft.metrics.registry import COMPARED


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
class TrainingSizes(Record):
    """training_size.json: what more training rows are worth.

    Attributes:
        level: Coverage of the intervals.
        resamples: Bootstrap resamples of the test patients.
        rows: By model, task and size.
        whole: Sizes without rows.
        metric: Name of the compared metric.
    """

    level: float
    resamples: int
    rows: list[TrainingPart]
    whole: list[WholeSize]
    metric: str = COMPARED.name

    @classmethod
    def of(cls, content: Any, place: str | Path = "training sizes", metric: str = COMPARED.name) -> Self:
        """Take the record from the content of the file.

        Args:
            content: What the file holds.
            place: The file, for the message of an error.
            metric: Name of the compared metric.

        Raises:
            DataError: A value is missing, or has another type.
        """
        rows = [row | {"mean": with_value(row["mean"], metric)} for row in content.get("rows", ())]
        return super().of({**content, "rows": rows, "metric": metric}, place)

    def to_json(self) -> dict[str, Any]:
        """What the file holds."""
        content = super().to_json()
        metric = content.pop("metric")
        rows = [row | {"mean": with_metric(row["mean"], metric)} for row in content["rows"]]
        return content | {"rows": rows}
