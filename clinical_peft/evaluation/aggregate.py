"""Metrics of all runs -> means over seeds with intervals, macro averages, and paired differences of models."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from clinical_peft.errors import DataError
from clinical_peft.evaluation.evaluate import STRICT_LEVEL, read_replicates
from clinical_peft.evaluation.published import PAPER_TASKS
from clinical_peft.evaluation.resampling import holm, paired_difference, percentile_interval, undefined
from clinical_peft.files import read_json, write_json

MACRO = "macro_average"


@dataclass(frozen=True)
class Cell:
    """A model's AUROC on a task, or its macro average: the mean over seeds and its replicates of shape (R,)."""

    estimate: float
    by_seed: tuple[float, ...]
    replicates: np.ndarray


def aggregate(
    metrics: Sequence[Path],
    replicates: Sequence[Path],
    *,
    groups: Mapping[str, Sequence[str]],
    output: Path,
    level: float = 0.95,
) -> dict[str, Any]:
    """Summarise a study's runs and compare the models of each group.

    A model's figure on a task is the mean of its seeds' test AUROC. Its interval is a percentile bootstrap over
    patients of that mean: the same resample is scored for every seed and the scores are averaged. It describes
    uncertainty about patients; `seed_sd` describes the spread over seeds. The macro average is the mean over the
    paper's tasks that the study has, each resample drawing the same patients in all of them.

    Args:
        metrics: Metrics files of all runs; none for a study that only trains adapters.
        replicates: Replicates files in the same order.
        groups: Models whose pairs are compared, by name of the group; models without metrics are passed over.
        output: JSON file to write.
        level: Coverage of `interval`.

    Returns:
        What the file holds. level; resamples; macro_tasks: list of task names;
        summaries: list of {model, task (or `macro_average`), auroc, seed_sd (null for one seed), seeds, interval,
        interval_99, undefined, n, patients, classes, classes_scored, positives (the last five null for macro_average)};
        differences: list of {group, task, first, second, difference (second minus first), interval, undefined, p_value,
        p_holm (adjusted within the group and task)}. AUROCs are fractions, not percent.

    Raises:
        DataError: Runs of a task have different cohorts, resamples or seeds, so that they cannot be paired.
    """
    if len(metrics) != len(replicates):
        raise DataError(f"expected metrics and replicates of the same runs, found {len(metrics)} and {len(replicates)}")
    runs = [read_json(path) for path in metrics]
    if runs:
        _check_comparable(runs, metrics)
    by_cell: dict[tuple[str, str], list[int]] = defaultdict(list)
    for index, run in enumerate(runs):
        by_cell[run["model"], run["task"]].append(index)
    cells = {
        key: _mean_cell([runs[index] for index in members], [replicates[index] for index in members])
        for key, members in by_cell.items()
    }
    first_run = {key: runs[members[0]] for key, members in by_cell.items()}
    tasks = [task for task in PAPER_TASKS if any(key[1] == task for key in cells)]
    cells |= _macro_cells(cells, tasks)
    result = {
        "level": level,
        "resamples": runs[0]["bootstrap"]["resamples"] if runs else 0,
        "macro_tasks": tasks,
        "summaries": [_summary(key, cell, first_run.get(key), level) for key, cell in sorted(cells.items())],
        "differences": _differences(cells, groups, level),
    }
    write_json(output, result)
    return result


def _check_comparable(runs: Sequence[Mapping[str, Any]], paths: Sequence[Path]) -> None:
    cohorts: dict[str, tuple[Any, Path]] = {}
    seen: dict[tuple[str, str, int], Path] = {}
    first = runs[0]["bootstrap"]
    for run, path in zip(runs, paths, strict=True):
        key = (run["model"], run["task"], run["seed"])
        if key in seen:
            raise DataError(f"{path}: the run {key} was already read from {seen[key]}")
        seen[key] = path
        cohort = (run["cohort_sha256"], run["n"]["test"], run["patients"]["test"])
        known, known_path = cohorts.setdefault(run["task"], (cohort, path))
        if cohort != known:
            raise DataError(f"{path}: {run['task']} was scored on another cohort than in {known_path}; run both again")
        drawn = run["bootstrap"]
        if (drawn["resamples"], drawn["seed"]) != (first["resamples"], first["seed"]):
            raise DataError(f"{path}: its bootstrap differs in resamples or seed from {paths[0]}; evaluate both again")


def _mean_cell(runs: Sequence[Mapping[str, Any]], paths: Sequence[Path]) -> Cell:
    order = sorted(range(len(runs)), key=lambda index: runs[index]["seed"])
    by_seed = tuple(float(runs[index]["metrics"]["test"]["auroc"]) for index in order)
    values = np.mean([read_replicates(paths[index], runs[index]) for index in order], axis=0)
    return Cell(estimate=float(np.mean(by_seed)), by_seed=by_seed, replicates=values)


def _macro_cells(cells: Mapping[tuple[str, str], Cell], tasks: Sequence[str]) -> dict[tuple[str, str], Cell]:
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
        )
    return macro


def _summary(key: tuple[str, str], cell: Cell, run: Mapping[str, Any] | None, level: float) -> dict[str, Any]:
    return {
        "model": key[0],
        "task": key[1],
        "auroc": cell.estimate,
        "seed_sd": float(np.std(cell.by_seed, ddof=1)) if len(cell.by_seed) > 1 else None,
        "seeds": len(cell.by_seed),
        "interval": percentile_interval(cell.replicates, level),
        "interval_99": percentile_interval(cell.replicates, STRICT_LEVEL),
        "undefined": undefined(cell.replicates),
        "n": run["n"]["test"] if run else None,
        "patients": run["patients"]["test"] if run else None,
        "classes": run["classes"] if run else None,
        "classes_scored": run["classes_scored"]["test"] if run else None,
        "positives": run["positives"]["test"] if run else None,
    }


def _differences(
    cells: Mapping[tuple[str, str], Cell], groups: Mapping[str, Sequence[str]], level: float
) -> list[dict[str, Any]]:
    tasks = sorted({key[1] for key in cells})
    rows = []
    for group, models in groups.items():
        for task in tasks:
            family = {
                (first, second): paired_difference(
                    (cells[first, task].estimate, cells[second, task].estimate),
                    (cells[first, task].replicates, cells[second, task].replicates),
                    level,
                )
                for first, second in combinations([model for model in models if (model, task) in cells], 2)
            }
            adjusted = holm({pair: row["p_value"] for pair, row in family.items()})
            for (first, second), row in family.items():
                names = {"group": group, "task": task, "first": first, "second": second}
                rows.append({**names, **row, "p_holm": adjusted[first, second]})
    return rows
