"""What the files of this room hold, as typed records: a record and its JSON have the same names.

Numbers that are undefined, or may not be published (`clinical_peft.disclosure.counts`), are None.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Self

from pydantic import TypeAdapter, ValidationError

from clinical_peft.errors import DataError
from clinical_peft.files import read_json
from clinical_peft.tasks import TaskType

Ends = tuple[float, float] | None
"""Lower and upper end of an interval."""
Values = dict[str, float | None]
"""By name of a metric."""
Intervals = dict[str, Ends]
Positives = int | list[int | None] | None
"""Rows of the second class (binary), rows by class (multiclass), or labels in all (multilabel)."""


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _as_json(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _as_json(part) for name, part in value.items()}
    return [_as_json(part) for part in value] if isinstance(value, list | tuple) else value


class Record:
    """A dataclass that a JSON file holds."""

    @classmethod
    def of(cls, content: Any, place: str | Path = "record") -> Self:
        """Take a record from the content of a JSON file.

        Args:
            content: What the file holds; keys that the record lacks are passed over.
            place: The file, for the message of an error.

        Raises:
            DataError: A value is missing, or has another type.
        """
        try:
            record: Self = _adapter(cls).validate_python(content)  # type: ignore[arg-type]
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            key = ".".join(map(str, first["loc"])) or "content"
            what = "found none" if first["type"] == "missing" else f"found another ({first['msg'].lower()})"
            raise DataError(f"{place}: expected a value of {key}, {what}; make the file again") from None
        return record

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a record from a JSON file.

        Raises:
            DataError: The file is missing or holds no such record.
        """
        return cls.of(read_json(path), path)

    def to_json(self) -> dict[str, Any]:
        """What the file holds."""
        content: dict[str, Any] = _as_json(asdict(self))  # type: ignore[call-overload]
        return content


@dataclass(frozen=True, kw_only=True)
class Bootstrap:
    """Resamples of the patients of a run.

    Attributes:
        resamples: Their number.
        seed: Their seed. Runs with the same one are paired.
        cluster: Column whose values are drawn.
        undefined: By metric, how many resamples leave it undefined.
    """

    resamples: int
    seed: int
    cluster: str
    undefined: dict[str, int | None]


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """Decision threshold of accuracy and F1.

    Attributes:
        value: As a probability; None where the highest score is predicted.
        log_odds: In log-odds; None where they are infinite, too.
        chosen_on: `validation`, `fixed`, or `highest score`.
    """

    value: float | None
    log_odds: float | None
    chosen_on: str


@dataclass(frozen=True, kw_only=True)
class Bins:
    """Bins of the expected calibration error: how many, and of what kind."""

    number: int
    kind: str


@dataclass(frozen=True, kw_only=True)
class LabelMetrics:
    """Metrics of the single labels of a multilabel task on test, in the order of its classes, to three digits.

    Attributes:
        auroc: AUROC of each label.
        auprc: Average precision of each label.
        positives: Test admissions with each label.
        train_positives: Training admissions with each label; None without a cohort.
    """

    auroc: list[float | None]
    auprc: list[float | None]
    positives: list[int | None]
    train_positives: list[int | None] | None


@dataclass(frozen=True, kw_only=True)
class Band:
    """Labels of a band of training frequency: all of them, and those that have positives and negatives in test."""

    classes: int
    scored: int


@dataclass(frozen=True, kw_only=True)
class FrequencyBands:
    """Bands of the labels of a multilabel task by their admissions in training.

    Attributes:
        head_above: Admissions above which a label is in the head.
        tail_below: Admissions below which it is in the tail.
        head: Labels of the head.
        middle: Labels between.
        tail: Labels of the tail.
    """

    head_above: int
    tail_below: int
    head: Band
    middle: Band
    tail: Band


@dataclass(frozen=True, kw_only=True)
class RunMetrics(Record):
    """A run's metrics file. Splits are `validation` and `test`.

    Attributes:
        model: Name of the model.
        task: Name of the task.
        seed: Seed of the run.
        task_type: Type of the task.
        metrics: By split and metric; with multilabel_softmax also `auroc_sigmoid`.
        level: Coverage of `intervals` and `intervals_bca`.
        intervals: Percentile intervals over patients, by split (test) and metric.
        intervals_99: The same with a coverage of 99 %.
        intervals_bca: BCa intervals, likewise.
        bootstrap: How the intervals were drawn.
        variants: By version (`paper`, `corrected`), split and metric, whatever the run's own scores and threshold.
        n: Admissions by split.
        patients: Patients by split.
        positives: By split.
        classes: Classes of the label space.
        classes_scored: Classes with positives and negatives, by split.
        labels_outside_classes: Labels of a multilabel task that the label space does not hold, by split.
        threshold: Decision threshold of accuracy and F1.
        calibration_bins: Bins of the expected calibration error.
        recipe: The resolved recipe.
        protocol: What all switches amount to.
        cohort_sha256: Checksum of the cohort.
        predictions_sha256: Checksum of the predictions file.
        versions: Versions of the training job.
        provenance: Its machine, revision and whatever else identifies the computation.
        labels: Metrics of single labels; None unless the task is multilabel.
        bands: Bands of labels; None without a cohort, too.
    """

    model: str
    task: str
    seed: int
    task_type: TaskType
    metrics: dict[str, Values]
    level: float
    intervals: dict[str, Intervals]
    intervals_99: dict[str, Intervals]
    intervals_bca: dict[str, Intervals]
    bootstrap: Bootstrap
    variants: dict[str, dict[str, Values]]
    n: dict[str, int | None]
    patients: dict[str, int | None]
    positives: dict[str, Positives]
    classes: int
    classes_scored: dict[str, int | None]
    labels_outside_classes: dict[str, int | None]
    threshold: Threshold
    calibration_bins: Bins
    recipe: dict[str, Any]
    protocol: str
    cohort_sha256: str
    predictions_sha256: str
    versions: dict[str, Any]
    provenance: dict[str, Any]
    labels: LabelMetrics | None = None
    bands: FrequencyBands | None = None

    @property
    def key(self) -> tuple[str, str, int]:
        """Model, task and seed."""
        return self.model, self.task, self.seed

    @property
    def switches(self) -> Mapping[str, bool]:
        """Switches of its recipe."""
        found: Mapping[str, bool] = self.recipe.get("switches", {})
        return found

    def to_json(self) -> dict[str, Any]:
        """What the file holds: `labels` and `bands` of a multilabel task alone."""
        content = super().to_json()
        if self.labels is None:
            del content["labels"], content["bands"]
        return content
