"""From the metrics and replicates of single seeds to what a comparison of models takes."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from clinical_peft.metrics.comparisons import Cell, Key, seed_variances
from clinical_peft.metrics.metric import Metric
from clinical_peft.metrics.records import RunMetrics
from clinical_peft.metrics.replicates import read_replicates


def mean_cell(runs: Sequence[RunMetrics], paths: Sequence[Path], metric: Metric) -> Cell:
    """The mean of a metric over the seeds of a model on a task.

    Args:
        runs: Metrics file of each seed.
        paths: Replicates files in the same order.
        metric: A main metric that the task has.

    Raises:
        DataError: A replicates file is missing or belongs to another run.
    """
    order = sorted(range(len(runs)), key=lambda index: runs[index].seed)
    found = (runs[index].metrics["test"][metric.name] for index in order)
    by_seed = tuple(math.nan if value is None else float(value) for value in found)
    values, left_out = (
        np.stack([read_replicates(paths[index], runs[index], metric, drawn=drawn) for index in order])
        for drawn in ("bootstrap", "jackknife")
    )
    return Cell(
        estimate=float(np.mean(by_seed)),
        by_seed=by_seed,
        replicates=values.mean(axis=0),
        left_out=left_out.mean(axis=0),
        seed_variances={},
    )


def with_seed_variances(cells: Mapping[Key, Cell]) -> dict[Key, Cell]:
    """Add to every cell the variance that its seeds add to its mean."""
    found = dict(cells)
    for task in {key[1] for key in cells}:
        members = {model: cell for (model, found_in), cell in cells.items() if found_in == task}
        for model, variance in seed_variances({model: cell.by_seed for model, cell in members.items()}).items():
            found[model, task] = replace(members[model], seed_variances={task: variance})
    return found
