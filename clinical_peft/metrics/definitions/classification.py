"""Accuracy and F1 of decisions at a threshold, and precision among the labels that rank highest."""

import numpy as np

from clinical_peft.metrics.areas import ByClass, mean_of_defined
from clinical_peft.metrics.metric import Compute, metric
from clinical_peft.metrics.weighted import WeightedPredictions
from clinical_peft.models.decisions import f1

PRECISION_AT = (1, 5, 10)


@metric(
    name="accuracy",
    title="Accuracy",
    direction="higher",
    types=("binary", "multiclass"),
    when_few="decisions",
    is_default=False,
    judges_decisions=True,
    decide_by="accuracy",
    place=3,
)
def accuracy(weighted: WeightedPredictions) -> np.ndarray:
    """Share of rows whose class is predicted; NaN in an empty resample."""
    hits = (weighted.chosen & weighted.data.target).any(axis=1)
    with np.errstate(invalid="ignore"):
        return np.asarray(weighted.weighting.count(hits[None, :])[0] / weighted.weighting.total)


@metric(name="f1_micro", title="F1 micro", direction="higher", when_few="decisions", judges_decisions=True, place=3)
def f1_micro(weighted: WeightedPredictions) -> np.ndarray:
    """F1 over all decisions (accuracy for one label per row); NaN where no class occurs."""
    counts = weighted.decisions
    return np.where(counts.occurs.any(axis=0), f1(counts.hits.sum(axis=0), counts.errors.sum(axis=0)), np.nan)


def _f1_by_class(weighted: WeightedPredictions, among: np.ndarray) -> ByClass:
    values = _f1_of_classes(weighted)
    return {(column,): values[column] for column in np.flatnonzero(among & weighted.data.target.any(axis=0)).tolist()}


def _f1_of_classes(weighted: WeightedPredictions) -> np.ndarray:
    """F1 of every class, float64 of shape (K, R); NaN where it does not occur."""
    counts = weighted.decisions
    return np.where(counts.occurs, f1(counts.hits, counts.errors), np.nan)


@metric(
    name="f1_macro",
    title="F1 macro",
    direction="higher",
    when_few="decisions",
    judges_decisions=True,
    by_class=_f1_by_class,
    place=4,
)
def f1_macro(weighted: WeightedPredictions) -> np.ndarray:
    """Mean F1 over the classes that occur; NaN where none does."""
    return mean_of_defined(_f1_of_classes(weighted))


def precision_at(scores: np.ndarray, target: np.ndarray, k: int) -> np.ndarray:
    """Share of true labels among the k highest-scored of each row, float64 of shape (N,).

    Labels tied at the last place count with their share of true ones, so that no order among them is made up.

    Args:
        scores: Scores, or log-odds, of shape (N, K), K at least k.
        target: True labels, bool of shape (N, K).
        k: Number of labels to take.
    """
    last = -np.partition(-scores, k - 1, axis=1)[:, k - 1 : k]
    above, tied = scores > last, scores == last
    places = k - above.sum(axis=1)
    share = (target & tied).sum(axis=1) / tied.sum(axis=1)
    return np.asarray(((target & above).sum(axis=1) + places * share) / k)


def _mean_precision_at(k: int) -> Compute:
    def mean(weighted: WeightedPredictions) -> np.ndarray:
        return weighted.weighting.mean(precision_at(weighted.data.log_odds, weighted.data.target, k))

    return mean


for _k in PRECISION_AT:
    metric(
        name=f"precision_at_{_k}",
        title=f"Precision at {_k}",
        direction="higher",
        types=("multilabel",),
        is_main=False,
        when_few="steps",
        least_classes=_k,
    )(_mean_precision_at(_k))
