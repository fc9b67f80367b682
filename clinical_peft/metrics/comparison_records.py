"""Records of means over seeds and of differences: comparison.json and protocol_gaps.json.

In both files a mean stands under the name of the compared metric; in the records it is `value`. Fractions, not percent.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

from clinical_peft.disclosure.counts import COARSE_DIGITS, DIGITS, coarse, has_hidden
from clinical_peft.metrics.delong import DelongTest
from clinical_peft.metrics.metric import Metric
from clinical_peft.metrics.records import Ends, Positives, Record, RunMetrics
from clinical_peft.metrics.registry import COMPARED

R = TypeVar("R", bound=Record)
D = TypeVar("D", "Summary", "ModelDifference", "ProtocolGap", "Difference")
SPREAD = {
    "interval",
    "interval_99",
    "interval_bca",
    "interval_total",
    "standard_error",
    "seed_sd",
    "degrees_of_freedom",
}


@dataclass(frozen=True, kw_only=True)
class Uncertainty(Record):
    """Uncertainty of a mean or of a difference, over patients, and over seeds where there are several.

    Attributes:
        standard_error: Its standard error.
        degrees_of_freedom: Of Student's distribution; None when infinite.
        interval_total: Its interval.
        p_total: Two-sided p-value of no difference.
    """

    standard_error: float | None = None
    degrees_of_freedom: float | None = None
    interval_total: Ends = None
    p_total: float | None = None


@dataclass(frozen=True, kw_only=True)
class PatientDifference(Record):
    """A difference, second minus first, over paired resamples of the patients.

    Attributes:
        difference: Its estimate.
        interval: Its percentile interval.
        undefined: Resamples that leave it undefined.
        p_value: Two-sided: twice the smaller share of resamples on either side of zero, at least 2 / (R + 1).
    """

    difference: float | None = None
    interval: Ends = None
    undefined: int | None = None
    p_value: float | None = None


@dataclass(frozen=True, kw_only=True)
class Difference(PatientDifference, Uncertainty):
    """A difference with all that is known of its uncertainty.

    Attributes:
        interval_bca: BCa interval over patients.
    """

    interval_bca: Ends = None


@dataclass(frozen=True, kw_only=True)
class ModelDifference(Difference):
    """Difference of two models on a task, second minus first.

    Attributes:
        group: The comparison, named like the table that its models stand in.
        task: Name of the task, or `macro_average`.
        first: One model.
        second: The other.
        p_holm: `p_value` adjusted over the pairs of the group on the task.
        p_holm_table: `p_total` adjusted over all pairs and tasks of the group.
        significant: Whether `p_holm_table` is at most `clinical_peft.metrics.comparisons.SIGNIFICANCE`.
        delong: DeLong's test; None where the metric or the type of task has none.
    """

    group: str
    task: str
    first: str
    second: str
    p_holm: float | None = None
    p_holm_table: float | None = None
    significant: bool = False
    delong: DelongTest | None = None


@dataclass(frozen=True, kw_only=True)
class Summary(Record):
    """A model's mean over seeds on a task.

    Attributes:
        model: Name of the model.
        task: Name of the task, or `macro_average`.
        value: Mean over seeds; None where a seed leaves it undefined, or a task of a macro average.
        seeds: Number of seeds.
        seed_sd: Standard deviation over seeds; None for one seed.
        interval: Percentile interval over patients.
        interval_99: The same with a coverage of 99 %.
        interval_bca: BCa interval over patients.
        standard_error: Over patients and seeds, as for `Uncertainty`.
        degrees_of_freedom: Likewise.
        interval_total: Likewise, within 0 and 1 for a metric in percent.
        undefined: Resamples that leave the mean undefined.
        n: Test admissions, like the following None for a macro average.
        patients: Test patients.
        classes: Classes of the label space.
        classes_scored: Classes with positives and negatives in test.
        positives: Test positives.
    """

    model: str
    task: str
    value: float | None
    seeds: int
    seed_sd: float | None = None
    interval: Ends = None
    interval_99: Ends = None
    interval_bca: Ends = None
    standard_error: float | None = None
    degrees_of_freedom: float | None = None
    interval_total: Ends = None
    undefined: int | None = None
    n: int | None = None
    patients: int | None = None
    classes: int | None = None
    classes_scored: int | None = None
    positives: Positives = None


Rename = Callable[[Mapping[str, Any]], dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class ComparedRecord(Record):
    """A record in whose file values stand under the name of the compared metric.

    Attributes:
        metric: Name of the compared metric.
    """

    PLACE: ClassVar[str]
    metric: str = COMPARED.name

    @classmethod
    def of(cls, content: Any, place: str | Path | None = None, metric: str = COMPARED.name) -> Self:
        """Take the record from the content of the file; see `Record.of`.

        Args:
            content: What the file holds.
            place: The file, for the message of an error.
            metric: Name of the compared metric.

        Raises:
            DataError: A value is missing, or has another type.
        """
        renamed = cls._renamed(content, partial(with_value, metric=metric))
        return super().of({**content, **renamed, "metric": metric}, place or cls.PLACE)

    def to_json(self) -> dict[str, Any]:
        """What the file holds."""
        content = super().to_json()
        metric = content.pop("metric")
        return content | self._renamed(content, partial(with_metric, metric=metric))

    @staticmethod
    def _renamed(content: Mapping[str, Any], rename: Rename) -> dict[str, Any]:
        """The lists of the file that hold such values, renamed."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Comparisons(ComparedRecord):
    """comparison.json: a study's runs averaged over seeds and compared.

    Attributes:
        level: Coverage of the intervals.
        resamples: Bootstrap resamples of the test patients.
        macro_tasks: Tasks of the macro average.
        summaries: Means, by model and task.
        differences: Differences of the models of each group in pairs.
        protocol: Protocol of all runs; None without runs.
        cohorts: Checksum of each task's cohort.
        metric: Name of the compared metric.
    """

    PLACE: ClassVar[str] = "aggregate"
    level: float
    resamples: int = 0
    macro_tasks: list[str] = field(default_factory=list)
    summaries: list[Summary] = field(default_factory=list)
    differences: list[ModelDifference] = field(default_factory=list)
    protocol: str | None = None
    cohorts: dict[str, str] = field(default_factory=dict)

    @staticmethod
    def _renamed(content: Mapping[str, Any], rename: Rename) -> dict[str, Any]:
        return {"summaries": [rename(row) for row in content.get("summaries", ())]}


@dataclass(frozen=True, kw_only=True)
class ProtocolMean:
    """A model's mean over seeds on a task under one protocol.

    Attributes:
        value: Mean over seeds.
        protocol: What all switches amount to.
        cohort_sha256: Checksum of the cohort.
        n: Test admissions.
        patients: Test patients.
        classes: Classes of the label space.
        classes_scored: Classes with positives and negatives in test.
    """

    value: float | None
    protocol: str
    cohort_sha256: str
    n: int | None
    patients: int | None
    classes: int
    classes_scored: int | None


@dataclass(frozen=True, kw_only=True)
class CohortChanges:
    """In what two cohorts of a task differ.

    Attributes:
        joined: Admissions of the second alone.
        left: Admissions of the first alone.
        texts: Admissions of both whose texts differ.
        labels: Admissions of both whose labels differ.
    """

    joined: int | None = 0
    left: int | None = 0
    texts: int | None = 0
    labels: int | None = 0


@dataclass(frozen=True, kw_only=True)
class ProtocolGap(Difference):
    """What a switch changes of a task: the ablation minus the corrected runs.

    Attributes:
        switch: The switch that is on, or `paper` for all.
        task: Name of the task.
        corrected: Mean of the corrected runs.
        ablation: Mean of the ablation.
        changed: In what the whole cohorts differ.
        p_holm: `p_total` adjusted over all rows.
        significant: Whether that is significant.
    """

    switch: str
    task: str
    corrected: ProtocolMean
    ablation: ProtocolMean
    changed: CohortChanges
    p_holm: float | None = None
    significant: bool = False


SIDES = ("corrected", "ablation")


@dataclass(frozen=True, kw_only=True)
class ProtocolGaps(ComparedRecord):
    """protocol_gaps.json: what each of the original's choices is worth.

    Attributes:
        level: Coverage of the intervals.
        resamples: Bootstrap resamples of the test patients.
        model: Name of the model.
        untouched: By switch, the tasks of the study that it cannot change.
        rows: One per ablation and task.
        metric: Name of the compared metric.
    """

    PLACE: ClassVar[str] = "protocol gaps"
    level: float
    resamples: int
    model: str
    untouched: dict[str, list[str]]
    rows: list[ProtocolGap]

    @staticmethod
    def _renamed(content: Mapping[str, Any], rename: Rename) -> dict[str, Any]:
        rows = map(_by_present_names, content.get("rows", ()))
        return {"rows": [row | {side: rename(row[side]) for side in SIDES} for row in rows]}


def _by_present_names(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row as it is written now, also of a file that names the ablation as earlier versions did."""
    return {"ablation" if name == "arm" else name: value for name, value in row.items()}


def with_value(row: Mapping[str, Any], metric: str) -> dict[str, Any]:
    """A mean as records hold it."""
    return {"value" if name == metric else name: value for name, value in row.items()}


def with_metric(row: Mapping[str, Any], metric: str, *, of: str = "value") -> dict[str, Any]:
    """A record as files hold it, with a value under the name of the compared metric."""
    return {metric if name == of else name: value for name, value in row.items()}


def as_published(row: D, runs: Sequence[RunMetrics], metric: Metric) -> D:
    """A mean or a difference as it may be published beside the counts that the test splits of its runs hide.

    Args:
        row: The mean or difference.
        runs: Metrics files that it is of.
        metric: The compared metric.

    Returns:
        The same to fewer digits and with `undefined` None where the count of a class is hidden, without intervals where
        the metric of a run has none; to `DIGITS` digits where the number of rows is.
    """
    few = any(map(_has_few, runs))
    if few and any(_stands_in_steps(run, metric) for run in runs):
        hidden: dict[str, Any] = dict.fromkeys({field.name for field in fields(row)} & SPREAD)
        return coarsened(replace(row, undefined=None, **hidden))
    if few:
        digits = DIGITS if metric.when_few == "decisions" else COARSE_DIGITS
        return coarsened(replace(row, undefined=None), digits)
    return coarsened(row, DIGITS) if any(has_hidden(run.n["test"]) for run in runs) else row


def _has_few(run: RunMetrics) -> bool:
    """Whether the test split has few of a class; a number that is hidden because it is near another's is not few."""
    return has_hidden(run.classes_scored["test"])


def _stands_in_steps(run: RunMetrics, metric: Metric) -> bool:
    """Whether a run has a share without its interval, whose bounds would reveal a hidden count."""
    is_share = metric.when_few in ("decisions", "steps") and _has_few(run)
    return is_share and run.intervals["test"].get(metric.name) is None


def coarsened(record: R, digits: int = COARSE_DIGITS) -> R:
    """A record with so many significant digits, for a split with a hidden count."""
    return type(record).of(coarse(record.to_json(), digits))
