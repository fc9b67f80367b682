"""Metrics of all runs -> means over seeds with intervals, macro averages, and paired differences of models."""

import math
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from clinical_peft.disclosure.counts import COARSE_DIGITS, DIGITS, coarse, has_hidden, is_unsized
from clinical_peft.files import read_json, write_json
from clinical_peft.metrics.cells import mean_cell, with_seed_variances
from clinical_peft.metrics.comparisons import Cell, Key, Placements, Total, compare_models
from clinical_peft.metrics.delong import contributions
from clinical_peft.metrics.evaluate import STRICT_LEVEL
from clinical_peft.metrics.resampling import bca_interval, percentile_interval, undefined
from clinical_peft.metrics.runs import check_comparable, check_pairs, read_scored
from clinical_peft.tasks import PAPER_TASKS

MACRO = "macro_average"


def aggregate(
    metrics: Sequence[Path],
    replicates: Sequence[Path],
    *,
    groups: Mapping[str, Sequence[str]],
    output: Path,
    predictions: Sequence[Path] | None = None,
    classes: Mapping[str, Path] | None = None,
    level: float = 0.95,
) -> dict[str, Any]:
    """Summarise a study's runs and compare the models of each group.

    A model's figure on a task is the mean of its seeds' test AUROC. Its interval is a percentile bootstrap over
    patients of that mean: the same resample is scored for every seed and the scores are averaged. It describes
    uncertainty about patients; `seed_sd` describes the spread over seeds, and `interval_total` holds both. The macro
    average is the mean over the paper's tasks that the study has, each resample drawing the same patients in all of
    them.

    Args:
        metrics: Metrics files of all runs; none for a study that only trains adapters.
        replicates: Replicates files in the same order.
        groups: Models whose pairs are compared, by name of the group; models without metrics are passed over.
        output: JSON file to write.
        predictions: Predictions files in the same order, for DeLong's test on binary tasks; without them none.
        classes: Label space of each task, a JSON list; needed with `predictions`.
        level: Coverage of the intervals.

    Returns:
        What the file holds. level; resamples; protocol of all runs; cohorts: checksum of each task's cohort;
        macro_tasks: list of task names;
        summaries: list of {model, task (or `macro_average`), auroc, seed_sd (null for one seed), seeds, interval,
        interval_99, interval_bca, standard_error, degrees_of_freedom (null when infinite) and interval_total (of
        patients, and of seeds where there are several), undefined, n, patients, classes, classes_scored, positives
        (the last five null for macro_average; a figure is null where it is undefined in a seed, or a macro average
        where it is on a task)}; differences: what
        `clinical_peft.metrics.comparisons.compare_models` returns. AUROCs are fractions, not percent. Figures of a
        task whose test split has a hidden count, and macro averages over it, have two digits and undefined is null
        (`clinical_peft.disclosure.counts`).

    Raises:
        DataError: Runs may not stand in one table (`clinical_peft.metrics.runs.check_comparable`), lists of files
            differ in length, or a predictions file is not the one that was scored.
    """
    check_pairs(metrics, replicates, "metrics and replicates")
    runs = [read_json(path) for path in metrics]
    check_comparable(runs, metrics)
    by_cell: dict[Key, list[int]] = defaultdict(list)
    for index, run in enumerate(runs):
        by_cell[run["model"], run["task"]].append(index)
    cells = {
        key: mean_cell([runs[index] for index in members], [replicates[index] for index in members])
        for key, members in by_cell.items()
    }
    cells = with_seed_variances(cells)
    first_run = {key: runs[members[0]] for key, members in by_cell.items()}
    tasks = [task for task in PAPER_TASKS if any(key[1] == task for key in cells)]
    cells |= _macro_cells(cells, tasks)
    placements = None if predictions is None else _placements(runs, metrics, predictions, classes or {})
    few = {run["task"] for run in runs if has_hidden(run["positives"]["test"])}
    few |= {MACRO} if few & set(tasks) else set()
    unsized = {run["task"] for run in runs if is_unsized(run)}
    unsized |= {MACRO} if unsized & set(tasks) else set()
    summaries = [_summary(key, cell, first_run.get(key), level) for key, cell in sorted(cells.items())]
    result = {
        "level": level,
        "resamples": runs[0]["bootstrap"]["resamples"] if runs else 0,
        "protocol": runs[0]["protocol"] if runs else None,
        "cohorts": {run["task"]: run["cohort_sha256"] for run in runs},
        "macro_tasks": tasks,
        "summaries": [_published(row, few, unsized) for row in summaries],
        "differences": [_published(row, few, unsized) for row in compare_models(cells, groups, level, placements)],
    }
    write_json(output, result)
    return result


def _published(row: dict[str, Any], few: Collection[str], unsized: Collection[str]) -> dict[str, Any]:
    """A row as it may be published, given the tasks whose test split hides the count of a class, or of all rows."""
    if row["task"] in few:
        return coarse(row, COARSE_DIGITS) | {"undefined": None}
    return coarse(row, DIGITS) if row["task"] in unsized else row


def _placements(
    runs: Sequence[Mapping[str, Any]], metrics: Sequence[Path], predictions: Sequence[Path], classes: Mapping[str, Path]
) -> dict[Key, Placements]:
    """Contributions to the AUROC of every model on every binary task, averaged over seeds."""
    check_pairs(metrics, predictions, "metrics and predictions")
    found: dict[Key, list[Placements]] = defaultdict(list)
    for run, place, path in zip(runs, metrics, predictions, strict=True):
        if run["task_type"] != "binary":
            continue
        test = read_scored(run, place, path, classes)["test"]
        positive = test.target[:, 1]
        if positive.all() or not positive.any():
            continue
        values = contributions(test.log_odds[:, 1], positive)
        found[run["model"], run["task"]].append(Placements(values, positive, test.subject_id))
    return {
        key: Placements(np.mean([part.values for part in parts], axis=0), parts[0].positive, parts[0].subject_id)
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


def _summary(key: Key, cell: Cell, run: Mapping[str, Any] | None, level: float) -> dict[str, Any]:
    defined = math.isfinite(cell.estimate)
    total = Total.described(cell.estimate, cell.replicates, cell.seed_variances, level=level)
    ends = total["interval_total"]
    return {
        "model": key[0],
        "task": key[1],
        "auroc": cell.estimate if defined else None,
        "seed_sd": float(np.std(cell.by_seed, ddof=1)) if len(cell.by_seed) > 1 and defined else None,
        "seeds": len(cell.by_seed),
        "interval": percentile_interval(cell.replicates, level) if defined else None,
        "interval_99": percentile_interval(cell.replicates, STRICT_LEVEL) if defined else None,
        "interval_bca": bca_interval(cell.estimate, cell.replicates, cell.left_out, level),
        "standard_error": total["standard_error"],
        "degrees_of_freedom": total["degrees_of_freedom"],
        "interval_total": None if ends is None else [float(np.clip(end, 0, 1)) for end in ends],
        "undefined": undefined(cell.replicates),
        "n": run["n"]["test"] if run else None,
        "patients": run["patients"]["test"] if run else None,
        "classes": run["classes"] if run else None,
        "classes_scored": run["classes_scored"]["test"] if run else None,
        "positives": run["positives"]["test"] if run else None,
    }
