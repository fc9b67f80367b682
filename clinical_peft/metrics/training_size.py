"""What more training rows are worth: every model on parts of the training split beside the whole, patient by patient.

Validation and test are the same for all sizes, and so is a test patient's part in every resample: a difference is
paired by patient. Each seed draws training patients of its own, so that the spread of the differences over seeds is
that of other patients to learn from, and of the seed itself.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from clinical_peft.disclosure.counts import shown
from clinical_peft.errors import DataError
from clinical_peft.files import read_json, write_json
from clinical_peft.metrics.aggregate import summarise
from clinical_peft.metrics.cells import mean_cell
from clinical_peft.metrics.comparison_records import as_published
from clinical_peft.metrics.comparisons import Cell, compare_pair, correct_over_table, seed_variances
from clinical_peft.metrics.metric import Metric
from clinical_peft.metrics.records import RunMetrics
from clinical_peft.metrics.registry import COMPARED
from clinical_peft.metrics.runs import check_comparable, check_pairs
from clinical_peft.metrics.training_size_records import TrainingPart, TrainingSizes, WholeSize

LEVEL = 0.95
SizeKey = tuple[str, str, int | None]
"""Model, task and size; None for the whole training split."""
Counts = tuple[int | None, int | None]
"""Rows and patients."""


@dataclass(frozen=True, kw_only=True)
class SizedRuns:
    """A model's runs on a task with one training size, all seeds.

    Attributes:
        model: Name of the model, without its size.
        task: Name of the task.
        size: Training rows asked for; None for the whole split.
        metrics: Metrics file of each seed.
        replicates: Replicates files in the same order.
        training: Training records in the same order.
    """

    model: str
    task: str
    size: int | None
    metrics: tuple[Path, ...]
    replicates: tuple[Path, ...]
    training: tuple[Path, ...]

    @property
    def key(self) -> SizeKey:
        """Model, task and size."""
        return self.model, self.task, self.size


def sized_runs(
    runs: Sequence[tuple[str, str, int | None]],
    *,
    metrics: Sequence[Path],
    replicates: Sequence[Path],
    training: Sequence[Path],
) -> list[SizedRuns]:
    """Put the files of runs together.

    Args:
        runs: Model, task and size of each.
        metrics: Metrics files, the seeds of one run after another.
        replicates: Replicates files in the same order.
        training: Training records in the same order.
    """
    seeds = len(metrics) // max(1, len(runs))
    return [
        SizedRuns(
            model=model,
            task=task,
            size=size,
            metrics=tuple(metrics[place * seeds : (place + 1) * seeds]),
            replicates=tuple(replicates[place * seeds : (place + 1) * seeds]),
            training=tuple(training[place * seeds : (place + 1) * seeds]),
        )
        for place, (model, task, size) in enumerate(runs)
    ]


def measure_training_size(
    runs: Sequence[SizedRuns],
    *,
    cohorts: Mapping[str, Path],
    hidden: Mapping[str, Collection[str]],
    output: Path,
    metric: Metric = COMPARED,
) -> TrainingSizes:
    """Compare every part of the training split with the whole.

    What seeds add to the variance of a mean, or of a difference, is pooled over the models of a task with one size:
    small parts vary more than large ones.

    Args:
        runs: Runs of every size, among them those on the whole split for each model and task.
        cohorts: Cohort of each task.
        hidden: By task, splits whose number of rows may not be published.
        output: JSON file to write.
        metric: The metric by which sizes are compared; runs of tasks without it are passed over.

    Returns:
        What the file holds. Differences are part minus whole; p-values are adjusted over all rows.

    Raises:
        DataError: The runs on the whole split are missing, runs were given twice, or runs differ in seeds, cohort,
            protocol or bootstrap.
    """
    contents = {run.key: [RunMetrics.read(path) for path in run.metrics] for run in runs}
    _check(runs, contents)
    runs = [run for run in runs if _has_metric(contents[run.key][0], metric)]
    training = {run.key: [read_json(path) for path in run.training] for run in runs}
    tasks = dict.fromkeys(run.task for run in runs)
    counts = {task: _whole_split(cohorts[task], is_hidden="train" in hidden.get(task, ())) for task in tasks}
    whole = _whole_sizes(training, counts)
    parts = [run for run in runs if (run.task, run.size) not in {(one.task, one.size) for one in whole}]
    cells = {run.key: mean_cell(contents[run.key], run.replicates, metric) for run in parts}
    means = _with_seed_variances(cells, {key: cell.by_seed for key, cell in cells.items()})
    to_whole = _with_seed_variances(cells, _differences_by_seed(cells))
    rows = []
    for run in parts:
        first = contents[run.key][0]
        reference = cells[run.model, run.task, None]
        rows_and_patients = counts[run.task] if run.size is None else _mean_counts(training[run.key])
        row = TrainingPart(
            model=run.model,
            task=run.task,
            size=run.size,
            train_rows=rows_and_patients[0],
            train_patients=rows_and_patients[1],
            mean=summarise((run.model, run.task), means[run.key], first, LEVEL, metric),
            difference=None if run.size is None else compare_pair(reference, to_whole[run.key], LEVEL),
        )
        rows.append(_published(row, [*contents[run.key], *contents[run.model, run.task, None]], metric))
    corrected = correct_over_table([row.difference.p_total if row.difference else None for row in rows])
    resamples = next(iter(contents.values()))[0].bootstrap.resamples if contents else 0
    result = TrainingSizes(
        level=LEVEL,
        resamples=resamples,
        rows=[
            replace(row, p_holm=found.p_value, significant=found.significant)
            for row, found in zip(rows, corrected, strict=True)
        ],
        whole=whole,
        metric=metric.name,
    )
    write_json(output, result.to_json())
    return result


def _check(runs: Sequence[SizedRuns], contents: Mapping[SizeKey, Sequence[RunMetrics]]) -> None:
    """Refuse runs that may not stand in one table, and parts without the whole."""
    if len(contents) < len(runs):
        raise DataError("training sizes: a model on a task was given twice with one size; give every size once")
    for run in runs:
        check_pairs(run.metrics, run.replicates, "metrics and replicates")
        check_pairs(run.metrics, run.training, "metrics and training records")
        if (run.model, run.task, None) not in contents:
            raise DataError(
                f"training sizes: expected {run.model} on {run.task} with its whole training split beside {run.size} "
                "rows, found none; run it"
            )
    check_comparable(
        [one for found in contents.values() for one in found], [path for run in runs for path in run.metrics]
    )


def _has_metric(run: RunMetrics, metric: Metric) -> bool:
    return metric.is_for(run.task_type, run.classes, has_bands=False)


def _whole_split(cohort: Path, *, is_hidden: bool) -> Counts:
    """Rows and patients of a training split, as far as they may be published."""
    if is_hidden:
        return None, None
    table = pq.read_table(cohort, columns=["subject_id"], filters=[("split", "=", "train")])
    return shown(table.num_rows), shown(len(table["subject_id"].unique()))


def _mean_counts(records: Sequence[Mapping[str, Any]]) -> Counts:
    """Rows and patients of a part, the mean over seeds; None where a seed hides them."""
    rows, patients = (_mean_count([one[name] for one in records]) for name in ("train_rows", "train_patients"))
    return rows, patients


def _mean_count(counts: Sequence[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return round(float(np.mean(known))) if len(known) == len(counts) else None


def _whole_sizes(
    training: Mapping[SizeKey, Sequence[Mapping[str, Any]]], counts: Mapping[str, Counts]
) -> list[WholeSize]:
    """Sizes that the training split of a task does not exceed, by task and size."""
    found = {
        (task, size)
        for (_, task, size), records in training.items()
        if size is not None and all(record["is_whole_split"] for record in records)
    }
    return [WholeSize(task=task, size=size, train_rows=counts[task][0]) for task, size in sorted(found)]


def _differences_by_seed(cells: Mapping[SizeKey, Cell]) -> dict[SizeKey, tuple[float, ...]]:
    """Each seed's difference from the whole split."""
    return {
        (model, task, size): tuple(np.subtract(cell.by_seed, cells[model, task, None].by_seed).tolist())
        for (model, task, size), cell in cells.items()
    }


def _with_seed_variances(
    cells: Mapping[SizeKey, Cell], by_seed: Mapping[SizeKey, tuple[float, ...]]
) -> dict[SizeKey, Cell]:
    """Add to every cell the variance that seeds add to the mean of these values, of its size and task."""
    groups: dict[tuple[str, int | None], dict[SizeKey, tuple[float, ...]]] = defaultdict(dict)
    for key, values in by_seed.items():
        groups[key[1:]][key] = values
    found = {key: variance for group in groups.values() for key, variance in seed_variances(group).items()}
    return {
        key: replace(cell, seed_variances={key[1]: found[key]}) if key in found else cell for key, cell in cells.items()
    }


def _published(row: TrainingPart, runs: Sequence[RunMetrics], metric: Metric) -> TrainingPart:
    """A row as it may be published, given the counts that its test split hides."""
    difference = None if row.difference is None else as_published(row.difference, runs, metric)
    return replace(row, mean=as_published(row.mean, runs, metric), difference=difference)
