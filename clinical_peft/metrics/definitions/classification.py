"""F1 of decisions at a threshold, and precision among the labels that rank highest."""

import numpy as np

from clinical_peft.metrics.areas import mean_of_defined
from clinical_peft.metrics.cutoffs import f1
from clinical_peft.metrics.metric import Compute, metric
from clinical_peft.metrics.weighted import WeightedPredictions

PRECISION_AT = (1, 5, 10)


@metric(name="f1_micro", title="F1 micro", direction="higher", when_few="steps", place=3)
def f1_micro(weighted: WeightedPredictions) -> np.ndarray:
    """F1 over all decisions (accuracy for one label per row); NaN where no class occurs."""
    counts = weighted.decisions
    return np.where(counts.occurs.any(axis=0), f1(counts.hits.sum(axis=0), counts.errors.sum(axis=0)), np.nan)


@metric(name="f1_macro", title="F1 macro", direction="higher", when_few="steps", place=4)
def f1_macro(weighted: WeightedPredictions) -> np.ndarray:
    """Mean F1 over the classes that occur; NaN where none does."""
    counts = weighted.decisions
    return mean_of_defined(np.where(counts.occurs, f1(counts.hits, counts.errors), np.nan))


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
