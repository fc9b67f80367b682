"""Paired comparisons of models: bootstrap and DeLong differences, with Holm's correction over a whole table."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any, NamedTuple, TypeVar

import numpy as np

from clinical_peft.metrics.comparison_records import Comparisons, Difference, ModelDifference, Uncertainty
from clinical_peft.metrics.delong import DelongTest, Placements, compare_areas
from clinical_peft.metrics.registry import find_metric
from clinical_peft.metrics.resampling import bca_interval, defined_replicates, holm, paired_difference

SIGNIFICANCE = 0.05
BEST, TIED = "best", "tied"

Key = tuple[str, str]
SeedVariances = Mapping[str, tuple[float, int]]
K = TypeVar("K")


@dataclass(frozen=True)
class Cell:
    """A model's metric on a task, or its macro average: the mean over seeds.

    Attributes:
        estimate: The mean over seeds, NaN where it is undefined.
        by_seed: Metric of each seed.
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

    Two or three seeds say little about one model's variance. The models that depend on the seed are pooled, as an
    analysis of variance does; what they differ in is averaged out.

    Args:
        by_seed: Metric of each seed, by model.

    Returns:
        The variance of a single seed, or None when no model depends on it or all have one seed.
    """
    spread = [(float(np.var(values, ddof=1)), len(values) - 1) for values in by_seed.values() if len(set(values)) > 1]
    degrees = sum(part for _, part in spread)
    return (sum(variance * part for variance, part in spread) / degrees, degrees) if degrees else None


def seed_variances(by_seed: Mapping[K, Sequence[float]]) -> dict[K, tuple[float, int]]:
    """What seeds add to the variance of each mean over them, and its degrees of freedom.

    Args:
        by_seed: Means by seed that are pooled; of differences whose seeds are paired, the differences.

    Returns:
        By key, those that depend on the seed and are defined for all; see `pooled_seed_variance`.
    """
    by_seed = {key: values for key, values in by_seed.items() if np.isfinite(values).all()}
    pooled = pooled_seed_variance(by_seed)
    if pooled is None:
        return {}
    return {key: (pooled[0] / len(values), pooled[1]) for key, values in by_seed.items() if len(set(values)) > 1}


class Corrected(NamedTuple):
    """A p-value after Holm's correction, None where nothing was tested; and whether it is at most `SIGNIFICANCE`."""

    p_value: float | None
    significant: bool


def correct_over_table(p_values: Sequence[float | None]) -> list[Corrected]:
    """Correct the p-values of a table's rows by Holm's method over all of them.

    Args:
        p_values: Of each row; those that are None are no part of the family.
    """
    found = holm(dict(enumerate(p_values)))
    return [
        Corrected(found.get(place), place in found and found[place] <= SIGNIFICANCE) for place in range(len(p_values))
    ]


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
    ) -> Uncertainty:
        """What the files say of a mean or a difference: all None where it, or its variance, is undefined.

        Args:
            estimate: The mean or difference on the data.
            replicates: Its bootstrap, of shape (R,).
            seed_variances: As for `of`.
            level: Coverage of the interval.
        """
        total = cls.of(replicates, *seed_variances)
        if total is None or not math.isfinite(estimate):
            return Uncertainty()
        return Uncertainty(
            standard_error=total.standard_error,
            degrees_of_freedom=total.finite_degrees,
            interval_total=total.interval(estimate, level),
            p_total=total.p_value(estimate),
        )

    @property
    def finite_degrees(self) -> float | None:
        """The degrees of freedom as JSON holds them: None when infinite."""
        return self.degrees_of_freedom if math.isfinite(self.degrees_of_freedom) else None

    def interval(self, estimate: float, level: float) -> tuple[float, float]:
        """The interval about an estimate."""
        reach = float(_student().ppf((1 + level) / 2, self.degrees_of_freedom)) * self.standard_error
        return estimate - reach, estimate + reach

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
) -> list[ModelDifference]:
    """Compare the models of each group in pairs, on every task that both have.

    Args:
        cells: By model and task.
        groups: Models whose pairs are compared, by name of the group (the table that they stand in).
        level: Coverage of the intervals.
        placements: By model and task, of binary tasks, for DeLong's test.

    Returns:
        One record per pair, in the order of groups, tasks and models. A model whose mean on a task is undefined stands
        in no pair of that task.
    """
    rows: list[ModelDifference] = []
    for group, models in groups.items():
        table = [
            row
            for task in sorted({key[1] for key in cells})
            for row in _family(group, task, [one for one in models if _is_defined(cells, one, task)], cells, level)
        ]
        corrected = correct_over_table([row.p_total for row in table])
        rows += [
            replace(
                row,
                p_holm_table=found.p_value,
                significant=found.significant,
                delong=_delong((row.first, row.task), (row.second, row.task), placements or {}, level),
            )
            for row, found in zip(table, corrected, strict=True)
        ]
    return rows


def _is_defined(cells: Mapping[Key, Cell], model: str, task: str) -> bool:
    return (model, task) in cells and math.isfinite(cells[model, task].estimate)


def _family(
    group: str, task: str, models: Sequence[str], cells: Mapping[Key, Cell], level: float
) -> list[ModelDifference]:
    pairs = {pair: compare_pair(cells[pair[0], task], cells[pair[1], task], level) for pair in combinations(models, 2)}
    adjusted = holm({pair: found.p_value for pair, found in pairs.items()})
    return [
        ModelDifference(group=group, task=task, first=pair[0], second=pair[1], p_holm=adjusted.get(pair), **vars(found))
        for pair, found in pairs.items()
    ]


def compare_pair(first: Cell, second: Cell, level: float) -> Difference:
    """Compare two cells whose resamples are paired; second minus first."""
    patients = paired_difference((first.estimate, second.estimate), (first.replicates, second.replicates), level)
    difference = second.estimate - first.estimate
    replicates = second.replicates - first.replicates
    total = Total.described(difference, replicates, first.seed_variances, second.seed_variances, level=level)
    bca = bca_interval(difference, replicates, second.left_out - first.left_out, level)
    return Difference(interval_bca=bca, **vars(patients), **vars(total))


def _delong(first: Key, second: Key, placements: Mapping[Key, Placements], level: float) -> DelongTest | None:
    if first not in placements or second not in placements:
        return None
    one, two = placements[first], placements[second]
    return compare_areas(one.values, two.values, one.positive, one.patient, level)


def best_and_tied(comparisons: Comparisons) -> dict[Key, str]:
    """Which models lead a column of their table, and which do not differ significantly from the leader.

    Args:
        comparisons: What `clinical_peft.metrics.aggregate.aggregate` returned.

    Returns:
        By model and task, `BEST` for a model whose lead over every other of its group is significant, `TIED` for the
        best and all that do not differ significantly from it where there is no such lead; the others are absent.
    """
    better = find_metric(comparisons.metric).better
    values = {(row.model, row.task): row.value for row in comparisons.summaries}
    # Every model of a pair has a mean.
    families: dict[Key, dict[frozenset[str], bool]] = {}
    for row in comparisons.differences:
        pair = frozenset((row.first, row.second))
        families.setdefault((row.group, row.task), {})[pair] = row.significant
    marks: dict[Key, str] = {}
    for (_, task), pairs in families.items():
        models = sorted({name for pair in pairs for name in pair})
        leader = max(models, key=lambda model: better(values[model, task]))
        near = [model for model in models if model != leader and not pairs[frozenset((leader, model))]]
        marks |= {(model, task): TIED for model in (leader, *near)} if near else {(leader, task): BEST}
    return marks
