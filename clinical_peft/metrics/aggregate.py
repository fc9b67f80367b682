"""Metrics of all runs -> means over seeds with intervals, macro averages, and paired differences of models."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from clinical_peft.files import write_json
from clinical_peft.metrics.cells import mean_cell, with_seed_variances
from clinical_peft.metrics.comparison_records import (
    Comparisons,
    Summary,
    as_published,
)
from clinical_peft.metrics.comparisons import Cell, Key, Total, compare_models
from clinical_peft.metrics.delong import Placements
from clinical_peft.metrics.evaluate import STRICT_LEVEL
from clinical_peft.metrics.metric import Metric
from clinical_peft.metrics.records import RunMetrics
from clinical_peft.metrics.registry import COMPARED
from clinical_peft.metrics.resampling import bca_interval, percentile_interval, undefined
from clinical_peft.metrics.runs import check_comparable, check_pairs, read_scored
from clinical_peft.tasks import Task

MACRO = "macro_average"


def aggregate(
    metrics: Sequence[Path],
    replicates: Sequence[Path],
    *,
    tasks: Mapping[str, Task],
    groups: Mapping[str, Sequence[str]],
    output: Path,
    predictions: Sequence[Path] | None = None,
    classes: Mapping[str, Path] | None = None,
    level: float = 0.95,
    metric: Metric = COMPARED,
) -> Comparisons:
    """Summarise a study's runs and compare the models of each group.

    A model's value on a task is the mean of its seeds' test metric. Its interval is a percentile bootstrap over
    patients of that mean: the same resample is scored for every seed and the scores are averaged. It describes
    uncertainty about patients; `seed_sd` describes the spread over seeds, and `interval_total` holds both. The macro
    average is the mean over the study's tasks that are no control, each resample drawing the same patients in all of
    them.

    Args:
        metrics: Metrics files of all runs; none for a study that only trains adapters.
        replicates: Replicates files in the same order.
        tasks: The study's tasks by name, in its order.
        groups: Models whose pairs are compared, by name of the group; models without metrics are passed over.
        output: JSON file to write.
        predictions: Predictions files in the same order, for DeLong's test on binary tasks; without them none.
        classes: Label space of each task, a JSON list; needed with `predictions`.
        level: Coverage of the intervals.
        metric: The metric by which models are compared.

    Returns:
        What the file holds. Numbers of a task whose test split has a hidden count, and macro averages over it, have two
        digits and `undefined` is None (`clinical_peft.disclosure.counts`).

    Raises:
        DataError: Runs may not stand in one table (`clinical_peft.metrics.runs.check_comparable`), lists of files
            differ in length, or a predictions file is not the one that was scored.
    """
    check_pairs(metrics, replicates, "metrics and replicates")
    runs = [RunMetrics.read(path) for path in metrics]
    check_comparable(runs, metrics)
    by_cell: dict[Key, list[int]] = defaultdict(list)
    for index, run in enumerate(runs):
        if metric.is_for(run.task_type, run.classes, has_bands=False):
            by_cell[run.model, run.task].append(index)
    cells = {
        key: mean_cell([runs[index] for index in members], [replicates[index] for index in members], metric)
        for key, members in by_cell.items()
    }
    cells = with_seed_variances(cells)
    first_run = {key: runs[members[0]] for key, members in by_cell.items()}
    averaged = [name for name, task in tasks.items() if not task.is_control and any(key[1] == name for key in cells)]
    cells |= _macro_cells(cells, averaged)
    placements = None if predictions is None else _placements(metric, runs, metrics, predictions, classes or {})
    of_task: dict[str, list[RunMetrics]] = defaultdict(list)
    for run in runs:
        of_task[run.task].append(run)
    of_task[MACRO] = [run for run in runs if run.task in averaged]
    summaries = [summarise(key, cell, first_run.get(key), level, metric) for key, cell in sorted(cells.items())]
    result = Comparisons(
        level=level,
        resamples=runs[0].bootstrap.resamples if runs else 0,
        protocol=runs[0].protocol if runs else None,
        cohorts={run.task: run.cohort_sha256 for run in runs},
        macro_tasks=averaged,
        summaries=[as_published(row, of_task[row.task], metric) for row in summaries],
        differences=[
            as_published(row, of_task[row.task], metric) for row in compare_models(cells, groups, level, placements)
        ],
        metric=metric.name,
    )
    write_json(output, result.to_json())
    return result


def _placements(
    metric: Metric,
    runs: Sequence[RunMetrics],
    metrics: Sequence[Path],
    predictions: Sequence[Path],
    classes: Mapping[str, Path],
) -> dict[Key, Placements]:
    """Contributions to the metric of every model on every binary task, averaged over seeds."""
    check_pairs(metrics, predictions, "metrics and predictions")
    of_metric = metric.placements
    if of_metric is None:
        return {}
    found: dict[Key, list[Placements]] = defaultdict(list)
    for run, place, path in zip(runs, metrics, predictions, strict=True):
        if run.task_type == "binary":
            part = of_metric(read_scored(run, place, path, classes)["test"])
            if part is not None:
                found[run.model, run.task].append(part)
    return {
        key: Placements(np.mean([part.values for part in parts], axis=0), parts[0].positive, parts[0].patient)
        for key, parts in found.items()
    }


def _macro_cells(cells: Mapping[Key, Cell], tasks: Sequence[str]) -> dict[Key, Cell]:
    macro = {}
    for model in sorted({key[0] for key in cells}):
        parts = [cells[model, task] for task in tasks if (model, task) in cells]
        if not parts or len(parts) < len(tasks):
            continue
        same_seeds = len({len(part.by_seed) for part in parts}) == 1
        by_seed = np.mean([part.by_seed for part in parts], axis=0) if same_seeds else np.empty(0)
        macro[model, MACRO] = Cell(
            estimate=float(np.mean([part.estimate for part in parts])),
            by_seed=tuple(float(value) for value in by_seed),
            replicates=np.mean([part.replicates for part in parts], axis=0),
            left_out=np.mean([part.left_out for part in parts], axis=0),
            seed_variances={
                task: (variance / len(parts) ** 2, degrees)
                for part in parts
                for task, (variance, degrees) in part.seed_variances.items()
            },
        )
    return macro


def summarise(key: Key, cell: Cell, run: RunMetrics | None, level: float, metric: Metric) -> Summary:
    """The mean of a model on a task with its intervals.

    Args:
        key: Model and task.
        cell: The mean over seeds.
        run: Metrics file of a seed, for the sizes of the test split; None for a macro average.
        level: Coverage of the intervals.
        metric: The metric.
    """
    defined = math.isfinite(cell.estimate)
    total = Total.described(cell.estimate, cell.replicates, cell.seed_variances, level=level)
    ends = total.interval_total
    if ends is not None and metric.percent:
        ends = float(np.clip(ends[0], 0, 1)), float(np.clip(ends[1], 0, 1))
    return Summary(
        model=key[0],
        task=key[1],
        value=cell.estimate if defined else None,
        seed_sd=float(np.std(cell.by_seed, ddof=1)) if len(cell.by_seed) > 1 and defined else None,
        seeds=len(cell.by_seed),
        interval=percentile_interval(cell.replicates, level) if defined else None,
        interval_99=percentile_interval(cell.replicates, STRICT_LEVEL) if defined else None,
        interval_bca=bca_interval(cell.estimate, cell.replicates, cell.left_out, level),
        standard_error=total.standard_error,
        degrees_of_freedom=total.degrees_of_freedom,
        interval_total=ends,
        undefined=undefined(cell.replicates),
        n=run.n["test"] if run else None,
        patients=run.patients["test"] if run else None,
        classes=run.classes if run else None,
        classes_scored=run.classes_scored["test"] if run else None,
        positives=run.positives["test"] if run else None,
    )
