"""Every metric, by name: each function that a module of `clinical_peft.metrics.definitions` registers."""

from collections.abc import Iterable, Mapping
from importlib import import_module
from pkgutil import iter_modules

import numpy as np

from clinical_peft.disclosure.counts import declare_metric
from clinical_peft.errors import ConfigError
from clinical_peft.metrics import definitions
from clinical_peft.metrics.areas import weigh
from clinical_peft.metrics.metric import DEFINED, Metric
from clinical_peft.metrics.predictions import Predictions
from clinical_peft.metrics.weighted import WeightedPredictions
from clinical_peft.metrics.weighting import Weighting
from clinical_peft.tasks import TaskType


def read_metrics() -> dict[str, Metric]:
    """Import every module of definitions and return its metrics by name, in their order.

    Raises:
        ConfigError: A metric is incomplete, or two share a name.
    """
    for module in iter_modules(definitions.__path__):
        name, place = f"{definitions.__name__}.{module.name}", f"clinical_peft/metrics/definitions/{module.name}.py"
        try:
            import_module(name)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"{place}: {error}") from None
        if not any(one.compute.__module__ == name for one in DEFINED):
            raise ConfigError(f"{place}: expected a function with the decorator `metric`, found none")
    metrics: dict[str, Metric] = {}
    for one in sorted(DEFINED, key=lambda metric: metric.place):
        if metrics.setdefault(one.name, one) is not one:
            raise ConfigError(f"clinical_peft/metrics/definitions: a second metric is called {one.name}; rename one")
    for one in metrics.values():
        declare_metric(one.name, one.when_few)
    return metrics


METRICS = read_metrics()
MAIN_METRICS = tuple(metric for metric in METRICS.values() if metric.is_main and metric.is_default)


def find_metric(name: str) -> Metric:
    """Return a metric by its name.

    Raises:
        ConfigError: There is no such metric.
    """
    if name not in METRICS:
        raise ConfigError(f"metric: expected one of {', '.join(METRICS)}, found {name}")
    return METRICS[name]


COMPARED = find_metric("auroc")
"""The metric by which models are compared where a study names no other."""


def main_metrics(compared: Metric) -> tuple[Metric, ...]:
    """Metrics of table `metrics`, in their order: those of every study, and the compared one."""
    return tuple(metric for metric in METRICS.values() if metric in MAIN_METRICS or metric is compared)


def metrics_of(
    kind: TaskType, classes: int, *, has_bands: bool = False, compared: Metric = COMPARED
) -> tuple[Metric, ...]:
    """Metrics of a task.

    Args:
        kind: Its type.
        classes: Number of its classes.
        has_bands: Whether labels in training were counted.
        compared: The metric by which the study compares models, which need not be one of every study.
    """
    known = (metric for metric in METRICS.values() if metric.is_default or metric is compared)
    return tuple(metric for metric in known if metric.is_for(kind, classes, has_bands=has_bands))


def compute_metrics(
    metrics: Iterable[Metric],
    data: Predictions,
    weights: np.ndarray | Weighting | None = None,
    *,
    cutoff: float | None = None,
    bands: Mapping[str, np.ndarray] | None = None,
) -> dict[str, np.ndarray]:
    """Compute metrics of the same predictions, with what they share computed once.

    Args:
        metrics: The metrics, all of them for this type of task.
        data: Predictions of N rows and K classes.
        weights: Row weights of shape (N, R), or None for one column of ones.
        cutoff: Decision threshold of a binary or multilabel task, in log-odds; None to predict the highest score.
        bands: Labels of each band of training frequency, bool of shape (K,), of a multilabel task.

    Returns:
        By name, float64 of shape (R,), NaN where undefined.
    """
    weighted = WeightedPredictions(data, weigh(data, weights), cutoff, bands)
    return {metric.name: metric.compute(weighted) for metric in metrics}
