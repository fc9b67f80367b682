"""Paired comparisons of models: bootstrap and DeLong differences, with Holm's correction over a whole table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from clinical_peft.evaluation.delong import compare_areas, normal_p_value
from clinical_peft.evaluation.resampling import bca_interval, holm, paired_difference, percentile_interval

SIGNIFICANCE = 0.05
BEST, TIED = "best", "tied"

Key = tuple[str, str]


@dataclass(frozen=True)
class Placements:
    """What each test admission contributes to a model's AUROC on a binary task, on average over its seeds.

    Attributes:
        values: Contributions, float64 of shape (N,).
        positive: True where the admission is positive, of shape (N,).
        subject_id: Patient of each admission, of shape (N,).
    """

    values: np.ndarray
    positive: np.ndarray
    subject_id: np.ndarray


@dataclass(frozen=True)
class Cell:
    """A model's AUROC on a task, or its macro average: the mean over seeds.

    Attributes:
        estimate: The mean over seeds.
        by_seed: AUROC of each seed.
        replicates: Its bootstrap over patients, float64 of shape (R,).
        total: Its bootstrap over patients and seeds, of the same shape; None for one seed.
        left_out: Its jackknife over groups of patients, float64 of shape (G,).
    """

    estimate: float
    by_seed: tuple[float, ...]
    replicates: np.ndarray
    total: np.ndarray | None
    left_out: np.ndarray

    @property
    def widest(self) -> np.ndarray:
        """The replicates that hold every source of variance there is."""
        return self.replicates if self.total is None else self.total


def with_seeds(by_seed: np.ndarray, generator: np.random.Generator) -> np.ndarray | None:
    """Replicates of the mean over seeds that draw the seeds too.

    Every resample of patients draws as many seeds as there are, with replacement. The deviations of the drawn seeds
    are stretched by sqrt(S / (S - 1)), without which their variance would be too small by that factor squared (Rao and
    Wu 1988, J Am Stat Assoc 83:231-241). Two or three seeds tell little of their spread all the same.

    Args:
        by_seed: Bootstrap replicates of S seeds, of shape (S, R).
        generator: Source of the draws.

    Returns:
        Float64 of shape (R,), or None for one seed.
    """
    seeds, resamples = by_seed.shape
    if seeds == 1:
        return None
    drawn = np.take_along_axis(by_seed, generator.integers(seeds, size=(seeds, resamples)), axis=0).mean(axis=0)
    centre = by_seed.mean(axis=0)
    return np.asarray(centre + np.sqrt(seeds / (seeds - 1)) * (drawn - centre))


def compare_models(
    cells: Mapping[Key, Cell],
    groups: Mapping[str, Sequence[str]],
    level: float,
    placements: Mapping[Key, Placements] | None = None,
) -> list[dict[str, Any]]:
    """Compare the models of each group in pairs, on every task that both have.

    Args:
        cells: By model and task.
        groups: Models whose pairs are compared, by name of the group (the table that they stand in).
        level: Coverage of the intervals.
        placements: By model and task, of binary tasks, for DeLong's test.

    Returns:
        One mapping per pair: group, task, first, second, difference (second minus first); interval, undefined, p_value
        and p_holm (adjusted within the group and task), of the bootstrap over patients; interval_bca; interval_total
        (over patients and seeds; null for one seed); standard_error and p_normal (of patients, and of seeds where
        there are several); p_holm_table (p_normal adjusted over all pairs and tasks of the group); significant
        (p_holm_table at most `SIGNIFICANCE`); delong.{difference, standard_error, interval, p_value}, over patients
        (null unless the task is binary).
    """
    rows = []
    for group, models in groups.items():
        table = [
            row
            for task in sorted({key[1] for key in cells})
            for row in _family(group, task, [model for model in models if (model, task) in cells], cells, level)
        ]
        adjusted = holm({place: row["p_normal"] for place, row in enumerate(table)})
        for place, row in enumerate(table):
            row["p_holm_table"] = adjusted[place]
            row["significant"] = adjusted[place] <= SIGNIFICANCE
            row["delong"] = _delong((row["first"], row["task"]), (row["second"], row["task"]), placements or {}, level)
        rows += table
    return rows


def _family(
    group: str, task: str, models: Sequence[str], cells: Mapping[Key, Cell], level: float
) -> list[dict[str, Any]]:
    pairs = {pair: _pair(cells[pair[0], task], cells[pair[1], task], level) for pair in combinations(models, 2)}
    adjusted = holm({pair: row["p_value"] for pair, row in pairs.items()})
    return [
        {"group": group, "task": task, "first": pair[0], "second": pair[1], **row, "p_holm": adjusted[pair]}
        for pair, row in pairs.items()
    ]


def _pair(first: Cell, second: Cell, level: float) -> dict[str, Any]:
    patients = paired_difference((first.estimate, second.estimate), (first.replicates, second.replicates), level)
    difference = patients["difference"]
    total = second.widest - first.widest
    error = float(np.nanstd(total, ddof=1)) if np.isfinite(total).sum() > 1 else 0.0
    drew_seeds = first.total is not None and second.total is not None
    return {
        **patients,
        "interval_bca": bca_interval(
            difference, second.replicates - first.replicates, second.left_out - first.left_out, level
        ),
        "interval_total": percentile_interval(total, level) if drew_seeds else None,
        "standard_error": error,
        "p_normal": normal_p_value(difference, error),
    }


def _delong(first: Key, second: Key, placements: Mapping[Key, Placements], level: float) -> dict[str, Any] | None:
    if first not in placements or second not in placements:
        return None
    one, two = placements[first], placements[second]
    found = compare_areas(one.values, two.values, one.positive, one.subject_id, level)
    if found is None:
        return None
    return {
        "difference": found.difference,
        "standard_error": found.standard_error,
        "interval": list(found.interval),
        "p_value": found.p_value,
    }


def best_and_tied(aggregate: Mapping[str, Any]) -> dict[Key, str]:
    """Which models lead a column of their table, and which cannot be told apart from the leader.

    Args:
        aggregate: What `clinical_peft.evaluation.aggregate.aggregate` returned.

    Returns:
        By model and task, `BEST` for a model whose lead over every other of its group is significant, `TIED` for the
        highest and all that do not differ significantly from it where there is no such lead; the others are absent.
    """
    values = {(row["model"], row["task"]): row["auroc"] for row in aggregate["summaries"]}
    families: dict[Key, dict[frozenset[str], bool]] = {}
    for row in aggregate.get("differences", ()):
        pair = frozenset((row["first"], row["second"]))
        families.setdefault((row["group"], row["task"]), {})[pair] = row["significant"]
    marks: dict[Key, str] = {}
    for (_, task), pairs in families.items():
        models = sorted({name for pair in pairs for name in pair})
        leader = max(models, key=lambda model: values[model, task])
        near = [model for model in models if model != leader and not pairs[frozenset((leader, model))]]
        marks |= {(model, task): TIED for model in (leader, *near)} if near else {(leader, task): BEST}
    return marks
