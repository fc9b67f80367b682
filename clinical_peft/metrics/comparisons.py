"""Paired comparisons of models: bootstrap and DeLong differences, with Holm's correction over a whole table."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, TypeVar

import numpy as np

from clinical_peft.metrics.delong import Placements, compare_areas
from clinical_peft.metrics.resampling import bca_interval, defined_replicates, holm, paired_difference

SIGNIFICANCE = 0.05
BEST, TIED = "best", "tied"

Key = tuple[str, str]
SeedVariances = Mapping[str, tuple[float, int]]
K = TypeVar("K")


@dataclass(frozen=True)
class Cell:
    """A model's AUROC on a task, or its macro average: the mean over seeds.

    Attributes:
        estimate: The mean over seeds, NaN where it is undefined.
        by_seed: AUROC of each seed.
        replicates: Its bootstrap over patients, float64 of shape (R,).
        left_out: Its jackknife over groups of patients, float64 of shape (G,).
        seed_variances: By task, the variance that seeds add to the mean, and its degrees of freedom; empty where they
            add none.
    """

    estimate: float
    by_seed: tuple[float, ...]
    replicates: np.ndarray
    left_out: np.ndarray
    seed_variances: SeedVariances


def pooled_seed_variance(by_seed: Mapping[Any, Sequence[float]]) -> tuple[float, int] | None:
    """Variance over seeds that the models of a task share, and its degrees of freedom.

    Two or three seeds tell little of one model's variance. The models that depend on the seed are pooled, as an
    analysis of variance does; what they differ in is averaged out.

    Args:
        by_seed: AUROC of each seed, by model.

    Returns:
        The variance of a single seed, or None when no model depends on it or all have one seed.
    """
    spread = [(float(np.var(values, ddof=1)), len(values) - 1) for values in by_seed.values() if len(set(values)) > 1]
    degrees = sum(part for _, part in spread)
    return (sum(variance * part for variance, part in spread) / degrees, degrees) if degrees else None


def seed_variances(by_seed: Mapping[K, Sequence[float]]) -> dict[K, tuple[float, int]]:
    """What seeds add to the variance of each mean over them, and its degrees of freedom.

    Args:
        by_seed: Figures by seed that are pooled; of differences whose seeds are paired, the differences.

    Returns:
        By key, those that depend on the seed and are defined for all; see `pooled_seed_variance`.
    """
    by_seed = {key: values for key, values in by_seed.items() if np.isfinite(values).all()}
    pooled = pooled_seed_variance(by_seed)
    if pooled is None:
        return {}
    return {key: (pooled[0] / len(values), pooled[1]) for key, values in by_seed.items() if len(set(values)) > 1}


def correct_over_table(rows: Sequence[dict[str, Any]], p_value: str = "p_total", adjusted: str = "p_holm") -> None:
    """Give every row of a table its p-value after Holm's correction over all of them, and whether that is significant.

    Args:
        rows: Rows to complete; those without a p-value are no part of the family.
        p_value: Where a row has its p-value, None where there is none.
        adjusted: Where the corrected one goes, beside `significant` (at most `SIGNIFICANCE`).
    """
    found = holm({place: row[p_value] for place, row in enumerate(rows)})
    for place, row in enumerate(rows):
        row[adjusted] = found.get(place)
        row["significant"] = place in found and found[place] <= SIGNIFICANCE


@dataclass(frozen=True)
class Total:
    """Uncertainty of a mean over patients and over seeds.

    The variances add up. Those of few seeds are poorly known, so that Student's distribution stands for the normal
    one, with Satterthwaite's degrees of freedom (1946, Biometrics Bull 2:110-114).

    Attributes:
        standard_error: Of patients and seeds together.
        degrees_of_freedom: Infinite where seeds add nothing.
    """

    standard_error: float
    degrees_of_freedom: float

    @classmethod
    def of(cls, replicates: np.ndarray, *seed_variances: SeedVariances) -> "Total | None":
        """Add the variances of bootstrap replicates of shape (R,), and of the seeds of each model compared.

        Returns:
            None where too few replicates are defined.
        """
        known = defined_replicates(replicates)
        if known is None or len(known) < 2:
            return None
        patients = float(np.var(known, ddof=1))
        # Models share the estimate of a task's variance: added up, it has the same degrees of freedom.
        parts: dict[str, tuple[float, int]] = {}
        for one in seed_variances:
            parts |= {task: (part + parts.get(task, (0.0, 0))[0], degrees) for task, (part, degrees) in one.items()}
        variance = patients + sum(part for part, _ in parts.values())
        unsure = sum(part**2 / degrees for part, degrees in parts.values())
        return cls(math.sqrt(variance), variance**2 / unsure if unsure > 0 else math.inf)

    @classmethod
    def described(
        cls, estimate: float, replicates: np.ndarray, *seed_variances: SeedVariances, level: float
    ) -> dict[str, Any]:
        """What the files say of a figure or a difference: all None where it, or its variance, is undefined.

        Args:
            estimate: The figure on the data.
            replicates: Its bootstrap, of shape (R,).
            seed_variances: As for `of`.
            level: Coverage of the interval.

        Returns:
            standard_error, degrees_of_freedom (None when infinite), interval_total and p_total (of no difference).
        """
        total = cls.of(replicates, *seed_variances)
        if total is None or not math.isfinite(estimate):
            return dict.fromkeys(("standard_error", "degrees_of_freedom", "interval_total", "p_total"))
        return {
            "standard_error": total.standard_error,
            "degrees_of_freedom": total.finite_degrees,
            "interval_total": total.interval(estimate, level),
            "p_total": total.p_value(estimate),
        }

    @property
    def finite_degrees(self) -> float | None:
        """The degrees of freedom as JSON holds them: None when infinite."""
        return self.degrees_of_freedom if math.isfinite(self.degrees_of_freedom) else None

    def interval(self, estimate: float, level: float) -> list[float]:
        """The interval about an estimate."""
        reach = float(_student().ppf((1 + level) / 2, self.degrees_of_freedom)) * self.standard_error
        return [estimate - reach, estimate + reach]

    def p_value(self, difference: float) -> float:
        """Two-sided p-value of a difference; 1 for none at all."""
        if difference == 0 or self.standard_error == 0:
            return 1.0 if difference == 0 else 0.0
        return 2 * float(_student().sf(abs(difference) / self.standard_error, self.degrees_of_freedom))


def _student() -> Any:
    from scipy.stats import t

    return t


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
        and p_holm (adjusted within the group and task), of the bootstrap over patients; interval_bca; standard_error,
        degrees_of_freedom (null when infinite), interval_total and p_total, of patients, and of seeds where there are
        several; p_holm_table (p_total adjusted over all pairs and tasks of the group); significant
        (p_holm_table at most `SIGNIFICANCE`); delong.{difference, standard_error, interval, p_value}, over patients
        (null unless the task is binary). What is undefined is null. A model whose figure on a task is undefined stands
        in no pair of that task.
    """
    rows = []
    for group, models in groups.items():
        table = [
            row
            for task in sorted({key[1] for key in cells})
            for row in _family(group, task, [one for one in models if _is_defined(cells, one, task)], cells, level)
        ]
        correct_over_table(table, adjusted="p_holm_table")
        for row in table:
            row["delong"] = _delong((row["first"], row["task"]), (row["second"], row["task"]), placements or {}, level)
        rows += table
    return rows


def _is_defined(cells: Mapping[Key, Cell], model: str, task: str) -> bool:
    return (model, task) in cells and math.isfinite(cells[model, task].estimate)


def _family(
    group: str, task: str, models: Sequence[str], cells: Mapping[Key, Cell], level: float
) -> list[dict[str, Any]]:
    pairs = {pair: compare_pair(cells[pair[0], task], cells[pair[1], task], level) for pair in combinations(models, 2)}
    adjusted = holm({pair: row["p_value"] for pair, row in pairs.items()})
    return [
        {"group": group, "task": task, "first": pair[0], "second": pair[1], **row, "p_holm": adjusted.get(pair)}
        for pair, row in pairs.items()
    ]


def compare_pair(first: Cell, second: Cell, level: float) -> dict[str, Any]:
    """Compare two cells whose resamples are paired.

    Returns:
        difference (second minus first), interval, undefined, p_value, interval_bca, standard_error,
        degrees_of_freedom, interval_total and p_total, each None where undefined; see `compare_models`.
    """
    patients = paired_difference((first.estimate, second.estimate), (first.replicates, second.replicates), level)
    difference = second.estimate - first.estimate
    replicates = second.replicates - first.replicates
    return {
        **patients,
        "interval_bca": bca_interval(difference, replicates, second.left_out - first.left_out, level),
        **Total.described(difference, replicates, first.seed_variances, second.seed_variances, level=level),
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
        aggregate: What `clinical_peft.metrics.aggregate.aggregate` returned.

    Returns:
        By model and task, `BEST` for a model whose lead over every other of its group is significant, `TIED` for the
        highest and all that do not differ significantly from it where there is no such lead; the others are absent.
    """
    values = {(row["model"], row["task"]): row["auroc"] for row in aggregate["summaries"]}
    # Every model of a pair has a figure.
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
