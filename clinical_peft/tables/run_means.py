"""Means over seeds of what a model's runs on a task say of test, with intervals, and why one is missing.

An interval is over patients: of the mean over seeds where resamples are stored (main metrics), and otherwise the ends
of the seeds' intervals, averaged, which is about as wide or wider, since a mean varies no more than its parts.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from clinical_peft.disclosure.counts import SMALLEST_CELL, coarse_figures, has_hidden
from clinical_peft.metrics.metric import Metric
from clinical_peft.metrics.records import RunMetrics
from clinical_peft.metrics.replicates import read_replicates
from clinical_peft.metrics.resampling import percentile_interval
from clinical_peft.metrics.runs import check_comparable
from clinical_peft.tables.form import (
    MISSING,
    STATED,
    Labels,
    Record,
    fewer_mark,
    fewer_note,
    in_order,
    label_of,
    percent,
    rounded,
)
from clinical_peft.tables.study_column import Column, task_column
from clinical_peft.tables.study_tasks import Tasks, task_label, task_order, unit_of

Run = Mapping[str, Any]
Interval = tuple[float | None, float | None]
ENDS = ("", "_low", "_high")
SHIFTED = "‡"
SHIFTED_NOTE = (
    f"{SHIFTED} The interval does not hold the figure: a resample repeats {{}}s, which raises averages over rare "
    "labels. Its width says how far the figure varies, its place does not."
)


def mean(values: Iterable[float | None]) -> float | None:
    """Mean over seeds; None where a seed has none."""
    found = list(values)
    known = [value for value in found if value is not None]
    return fmean(known) if known and len(known) == len(found) else None


@dataclass(frozen=True, eq=False)
class RunMeans:
    """The runs of a model on a task, by seed, and the files of their resamples; `label` is the model's."""

    label: str
    runs: Sequence[Run]
    replicates: Sequence[Path]
    _intervals: dict[str, Interval] = field(default_factory=dict, repr=False)

    @property
    def first(self) -> Run:
        """The run of the first seed, for what all seeds share."""
        return self.runs[0]

    @property
    def _is_unsized(self) -> bool:
        """Whether the number of test admissions is hidden."""
        return has_hidden(self.first["n"]["test"])

    def mean(self, metric: Metric) -> float | None:
        """Mean over seeds; None where a seed has none."""
        return mean(run["metrics"]["test"].get(metric.name) for run in self.runs)

    def interval(self, metric: Metric) -> Interval:
        """Both ends of the interval over patients; None where a seed has none."""
        if metric.name not in self._intervals:
            self._intervals[metric.name] = self._interval(metric)
        return self._intervals[metric.name]

    def _interval(self, metric: Metric) -> Interval:
        if metric.is_main and self.mean(metric) is not None and not self._is_unsized:
            pairs = zip(self.replicates, map(RunMetrics.of, self.runs), strict=True)
            resamples = np.mean([read_replicates(path, run, metric) for path, run in pairs], axis=0)
            low, high = self._published(metric, percentile_interval(resamples, self.first["level"])) or (None, None)
            return low, high
        found = [run["intervals"]["test"].get(metric.name) or (None, None) for run in self.runs]
        return mean(ends[0] for ends in found), mean(ends[1] for ends in found)

    def _published(self, metric: Metric, interval: Sequence[float] | None) -> Sequence[float] | None:
        """An interval over patients as it may be published, which the file of resamples does not know."""
        if interval is None or not has_hidden(self.first["positives"]["test"]):
            return interval
        ends: Sequence[float] | None = coarse_figures({metric.name: interval}, self.first["n"]["test"] or 0)[
            metric.name
        ]
        return ends

    def missing(self, metric: Metric) -> str | None:
        """Why a metric is missing, or None."""
        undefined = sum(run["metrics"]["test"].get(metric.name) is None for run in self.runs)
        if not undefined:
            return None
        bands = self.first["bands"] if metric.band else None
        band = bands and bands[metric.band]
        if metric.least_classes > self.first["classes"]:
            return f"the task has {self.first['classes']} classes"
        if metric.band and not band:
            return "labels in training were not counted"
        if band and not band["scored"]:
            return f"none of {band['classes']} labels of the band has positives and negatives in test"
        if band and band["scored"] == 1:
            return "it would be the metric of a single label"
        if has_hidden(self.first["positives"]["test"]) or self._is_unsized:
            return f"it would give away a count below {SMALLEST_CELL}"
        return f"undefined in {undefined} of {len(self.runs)} seeds"

    def left_out(self, metric: Metric) -> int:
        """How many resamples an interval leaves out in a seed, at most; 0 where a hidden count would follow."""
        return max(run["bootstrap"]["undefined"].get(metric.name) or 0 for run in self.runs)

    def undefined(self, metrics: Iterable[Metric]) -> str | None:
        """Which metrics are missing, and why, and which intervals leave out resamples."""
        found = {}
        for metric in metrics:
            count = self.left_out(metric)
            found[metric.name] = self.missing(metric) or (f"{count} resamples left out" if count else None)
        return "; ".join(f"{name}: {why}" for name, why in found.items() if why) or None


def means_of_runs(
    metrics: Sequence[Run], replicates: Sequence[Path], labels: Labels, tasks: Tasks
) -> tuple[RunMeans, ...]:
    """Gather runs by model and task, in the order of the tables.

    Args:
        metrics: Content of the metrics files; see `clinical_peft.metrics.evaluate.evaluate`.
        replicates: Replicates files in the same order.
        labels: As for `clinical_peft.tables.study_results.StudyResults`.
        tasks: The study's tasks.

    Raises:
        DataError: Runs may not stand in one table (`clinical_peft.metrics.runs.check_comparable`).
    """
    check_comparable([RunMetrics.of(run) for run in metrics], replicates)
    runs: dict[tuple[str, str], list[tuple[Run, Path]]] = defaultdict(list)
    for run, path in sorted(zip(metrics, replicates, strict=True), key=lambda pair: pair[0]["seed"]):
        runs[run["model"], run["task"]].append((run, path))
    models = in_order([model for model, _ in runs], labels)
    keys = [(model, task) for task in task_order(tasks) for model in models if (model, task) in runs]
    return tuple(
        RunMeans(
            label_of(model, labels), [run for run, _ in runs[model, task]], [path for _, path in runs[model, task]]
        )
        for model, task in keys
    )


def key_columns(*, level: bool = True) -> tuple[Column, ...]:
    """Columns that say which runs a row is of; `level` is the coverage of its intervals."""
    columns = (
        Column("model", lambda row: row.first["model"]),
        Column("label", lambda row: row.label, "Model"),
        task_column(lambda row: row.first["task"]),
        Column("seeds", lambda row: len(row.runs)),
        Column("classes", lambda row: row.first["classes"]),
        Column("classes_scored", lambda row: row.first["classes_scored"]["test"]),
    )
    return (*columns, Column("level", lambda row: row.first["level"])) if level else columns


def stated_columns() -> tuple[Column, ...]:
    """Protocol and cohort of a row, which identify its study."""
    return tuple(Column(name, lambda row, name=name: row.first[name]) for name in STATED)  # type: ignore[misc]


def metric_columns(metric: Metric, title: str | None = None) -> tuple[Column, ...]:
    """A metric and both ends of its interval, which stand in one cell in the form for readers.

    Args:
        metric: The metric.
        title: Title of the cell; the metric's own if None.
    """
    written = percent if metric.percent else rounded
    value, low, high = interval_fields(metric)
    return (
        Column(
            value,
            lambda row: written(row.mean(metric)),
            title or written_title(metric),
            lambda _, record: with_marks(record, metric),
        ),
        Column(low, lambda row: written(row.interval(metric)[0])),
        Column(high, lambda row: written(row.interval(metric)[1])),
    )


def written_title(metric: Metric) -> str:
    """A metric's title and unit."""
    return f"{metric.title} (%)" if metric.percent else metric.title


def interval_fields(metric: Metric) -> tuple[str, ...]:
    """Columns of a metric and of both ends of its interval."""
    return tuple(f"{metric.name}{end}{'_percent' if metric.percent else ''}" for end in ENDS)


def with_marks(record: Record, metric: Metric) -> str:
    """A metric and its interval in brackets, with marks for classes left out and for an interval beside the metric."""
    value, low, high = (record[name] for name in interval_fields(metric))
    if value is None:
        return MISSING
    mark = fewer_mark(*_counts(record, metric)) if metric.needs_both_outcomes else ""
    if low is None or high is None:
        return f"{value:.{metric.digits}f}{mark}"
    shifted = SHIFTED if _is_shifted(record, metric) else ""
    return f"{value:.{metric.digits}f}{mark}{shifted} [{low:.{metric.digits}f}, {high:.{metric.digits}f}]"


def _counts(record: Record, metric: Metric) -> tuple[int | None, int | None]:
    """Classes scored and classes in all of a mean over classes, within its band if it has one."""
    if metric.band:
        return record[f"{metric.band}_scored"], record[f"{metric.band}_classes"]
    return record["classes_scored"], record["classes"]


def _is_shifted(record: Record, metric: Metric) -> bool:
    value, low, high = (record[name] for name in interval_fields(metric))
    return None not in (value, low, high) and not low <= value <= high


def notes_of_means(
    rows: Sequence[RunMeans], records: Sequence[Record], metrics: Sequence[Metric], tasks: Tasks
) -> list[str]:
    """Which classes and resamples are left out, which intervals are shifted, and why a dash stands where it stands."""
    counts = [(record["task"], record["classes_scored"], record["classes"]) for record in records]
    fewer = fewer_note(counts, tasks)
    reasons: dict[str, None] = {}
    skipped: dict[str, int] = {}
    for row in rows:
        for metric in metrics:
            name = f"{task_label(row.first['task'], tasks)}, {metric.name.replace('_', ' ')}"
            if why := row.missing(metric):
                reasons.setdefault(f"{name}: {why}")
            elif count := row.left_out(metric):
                skipped[name] = max(count, skipped.get(name, 0))
    left_out = None
    if skipped:
        listed = "; ".join(f"{name}: {count}" for name, count in skipped.items())
        drawn = rows[0].first["bootstrap"]["resamples"]
        left_out = (
            f"Resamples of {drawn:,} that an interval leaves out because the figure "
            f"is undefined in them, at most in any model and seed: {listed}."
        )
    dashes = f"A dash: {'; '.join(reasons)}." if reasons else None
    shifted = any(_is_shifted(record, metric) for record in records for metric in metrics)
    beside = SHIFTED_NOTE.format(unit_of(tasks.values())) if shifted else None
    return [note for note in (fewer, beside, left_out, dashes) if note]


def with_level(records: Sequence[Record]) -> str:
    """What the intervals of records are over, at the end of a caption."""
    return f" with {records[0]['level']:.0%} intervals over patients alone" if records else ""
