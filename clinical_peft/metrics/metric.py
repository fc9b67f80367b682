"""Properties of a metric in one record, and the decorator that registers it."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from clinical_peft.disclosure.counts import WhenFew
from clinical_peft.errors import ConfigError
from clinical_peft.metrics.areas import ByClass
from clinical_peft.metrics.delong import Placements
from clinical_peft.metrics.predictions import Predictions
from clinical_peft.metrics.weighted import WeightedPredictions
from clinical_peft.models.decisions import DecideBy
from clinical_peft.tasks import Task, TaskType

Compute = Callable[[WeightedPredictions], np.ndarray]
ComputeByClass = Callable[[WeightedPredictions, np.ndarray], ByClass]
Direction = Literal["higher", "lower", "nearer 0", "nearer 1"]
ALL_TYPES: tuple[TaskType, ...] = get_args(TaskType)
LAST = 100


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A number that judges predictions.

    Attributes:
        name: Key in metrics files, and column in replicates files and tables.
        title: Name for readers.
        compute: From predictions under R columns of row weights to float64 of shape (R,), NaN where undefined. A column
            of ones gives the metric itself, a column of counts that of a bootstrap resample.
        direction: Which values are better.
        types: Types of task that have it.
        percent: Whether it is written in percent.
        digits: Decimals in tables for readers.
        is_main: Whether it stands in table `metrics`, and its resamples are stored.
        judges_probabilities: Whether it asks if scores are right as probabilities, so that recalibration changes it.
        when_few: How it is published for a split with a hidden count, as for
            `clinical_peft.disclosure.counts.declare_metric`.
        least_classes: Fewest classes of a task that has it.
        needs_both_outcomes: Whether it leaves out classes without a positive or without a negative row.
        band: Band of training frequency over whose labels it is a mean, or None.
        is_default: Whether every study has it; any other metric stands only where it is the compared one.
        judges_decisions: Whether it asks if decisions are right, so that it depends on a threshold.
        decide_by: What the threshold of a binary task is chosen by on validation where the study compares by it.
        by_class: What it is the mean of, of the classes that are true in a mask of shape (K,): values by class, or by
            pair of classes, that the rows define; None for a metric of all classes together.
        placements: Contribution of each row of a binary task, for a metric whose variance DeLong's method gives;
            returns None where it is undefined.
        chance: Its expected value for scores that know nothing, whatever the shares of the classes; None without one.
        place: Order among metrics; equal ones stand in the order of their definition.
    """

    name: str
    title: str
    compute: Compute
    direction: Direction
    types: tuple[TaskType, ...] = ALL_TYPES
    percent: bool = True
    digits: int = 1
    is_main: bool = True
    judges_probabilities: bool = False
    when_few: WhenFew = "hidden"
    least_classes: int = 2
    needs_both_outcomes: bool = False
    band: str | None = None
    is_default: bool = True
    judges_decisions: bool = False
    decide_by: DecideBy = "f1"
    by_class: ComputeByClass | None = None
    placements: Callable[[Predictions], Placements | None] | None = None
    chance: float | None = None
    place: int = LAST

    def __post_init__(self) -> None:
        for what, found, known in (
            ("direction", (self.direction,), get_args(Direction)),
            ("types", self.types, ALL_TYPES),
            ("when_few", (self.when_few,), get_args(WhenFew)),
            ("decide_by", (self.decide_by,), get_args(DecideBy)),
        ):
            if unknown := [one for one in found if one not in known]:
                raise ValueError(f"metric {self.name}: {what}: expected one of {', '.join(known)}, found {unknown[0]}")

    def better(self, value: float | None) -> float:
        """A number that is higher the better a value is; None is worst."""
        if value is None:
            return -math.inf
        match self.direction:
            case "higher":
                return value
            case "lower":
                return -value
            case "nearer 0":
                return -abs(value)
            case "nearer 1":
                return -abs(value - 1)

    def is_for(self, kind: TaskType, classes: int, *, has_bands: bool) -> bool:
        """Whether a task of a type, with so many classes, has it; `has_bands`: labels in training were counted."""
        return kind in self.types and classes >= self.least_classes and (self.band is None or has_bands)

    def by_classes(self, weighted: WeightedPredictions, among: np.ndarray) -> ByClass:
        """Values that the metric is the mean of, of some classes alone.

        Args:
            weighted: Predictions of K classes.
            among: Classes that may be used, bool of shape (K,).

        Returns:
            Values by class or pair of classes; of a metric of all classes together, one value by all of them, and none
            where some may not be used.
        """
        if self.by_class is not None:
            return self.by_class(weighted, among)
        return {tuple(range(len(among))): self.compute(weighted)} if among.all() else {}

    def refuse_without(self, task: Task) -> None:
        """Refuse a task whose models cannot be compared by this metric.

        Raises:
            ConfigError: Tasks of its type have no such metric.
        """
        if task.type not in self.types:
            raise ConfigError(
                f"evaluation.metric: {task.type} task {task.name} has no {self.name}; choose auroc, auprc or f1_macro"
            )


DEFINED: list[Metric] = []
"""Every metric so far, in the order of definition; `clinical_peft.metrics.registry` reads it."""


def metric(**facts: Any) -> Callable[[Compute], Compute]:
    """Register a function as a metric.

    Args:
        facts: Attributes of `Metric` but `compute`; name, title and direction are required.

    Raises:
        TypeError: One is missing or unknown.
        ValueError: One has a value that is not among the known ones.
    """

    def register(compute: Compute) -> Compute:
        DEFINED.append(Metric(compute=compute, **facts))
        return compute

    return register
