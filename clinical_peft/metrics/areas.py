"""Areas under ROC and precision-recall curves of single classes and pairs of classes, and their means.

Everything takes weights of shape (N, R) and returns R values: a column of ones gives the area itself, a column of
counts that of a bootstrap resample, equal to scikit-learn's on the resample written out row by row.
"""

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from clinical_peft.metrics.predictions import Predictions
from clinical_peft.metrics.weighting import Weighting, kernel_pays

# Bands of labels by their admissions in training, as Liu et al. (2019, CVPR) divide long-tailed classes: many-shot
# more than 100, few-shot fewer than 20.
HEAD_ABOVE, TAIL_BELOW = 100, 20
BANDS = ("head", "middle", "tail")
MOST_PAIRED = 12
"""Classes up to which pairs of them are ranked one by one; of more, a class against all others at once."""

Areas = dict[str, np.ndarray]
ByClass = dict[tuple[int, ...], np.ndarray]
"""By the number of a class, those of a pair of classes, or those of all that a value is of: float64 of shape (R,)."""


def ranked_areas(scores: np.ndarray, positive: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Area under the ROC curve (ties count half) and average precision of one ranking.

    Args:
        scores: Scores of shape (N,).
        positive: True where the row is positive, of shape (N,).
        weights: Whole-number row weights of shape (N, R).

    Returns:
        AUROC and average precision, float64 of shape (R,); NaN where a column has no positive or no negative weight.
    """
    compiled = kernel_pays(int(positive.sum()), len(scores), weights.shape[1])
    return Weighting(weights, compiled=compiled).rank(scores, positive)


def weigh(data: Predictions, weights: np.ndarray | Weighting | None = None) -> Weighting:
    """Row weights as all metrics take them, with the faster way of ranking for this task.

    Args:
        data: Predictions of N rows and K classes.
        weights: Row weights of shape (N, R), or None for one column of ones.
    """
    if isinstance(weights, Weighting):
        return weights
    counts = np.ones((len(data), 1), np.uint8) if weights is None else weights
    positives = int(data.target.sum())
    if data.type == "multilabel":
        positives *= 2  # ranked within a label, and over all labels
    elif data.type == "multiclass":
        positives *= data.target.shape[1]
    return Weighting(counts, compiled=kernel_pays(positives, len(data), counts.shape[1]))


def scored_classes(target: np.ndarray) -> np.ndarray:
    """Classes that have both a positive and a negative row, bool of shape (K,), from targets of shape (N, K)."""
    return np.asarray(target.any(axis=0) & ~target.all(axis=0))


def frequency_bands(train_positives: np.ndarray) -> dict[str, np.ndarray]:
    """Bands of labels, bool of shape (K,) each, by their admissions in training, int of shape (K,).

    Returns:
        `head` (more than `HEAD_ABOVE`), `tail` (fewer than `TAIL_BELOW`) and `middle`.
    """
    head, tail = train_positives > HEAD_ABOVE, train_positives < TAIL_BELOW
    return {"head": head, "middle": ~head & ~tail, "tail": tail}


def class_areas(data: Predictions, weighting: Weighting, columns: Sequence[int] | np.ndarray) -> Areas:
    """Areas of single classes against the rest.

    Returns:
        `auroc` and `auprc`, float64 of shape (C, R) for C columns, NaN where undefined.
    """
    areas = [weighting.rank(data.log_odds[:, column], data.target[:, column]) for column in columns]
    shape = (len(areas), weighting.width)
    return {
        name: np.array([pair[place] for pair in areas]).reshape(shape) for place, name in enumerate(("auroc", "auprc"))
    }


def pair_areas(data: Predictions, weighting: Weighting, among: np.ndarray | None = None) -> ByClass:
    """AUROC of every pair of classes that both occur, the mean of its two directions.

    Args:
        data: Predictions of N rows and K classes.
        weighting: Row weights of R resamples.
        among: Classes whose pairs are taken, bool of shape (K,); None for all.
    """
    areas: ByClass = {}
    occurring = data.target.any(axis=0) & (True if among is None else among)
    for first, second in combinations(np.flatnonzero(occurring).tolist(), 2):
        rows = np.flatnonzero(data.target[:, first] | data.target[:, second])
        towards_first, _ = weighting.rank(data.log_odds[rows, first], data.target[rows, first], rows)
        towards_second, _ = weighting.rank(data.log_odds[rows, second], data.target[rows, second], rows)
        areas[first, second] = (towards_first + towards_second) / 2
    return areas


def mean_pair_area(data: Predictions, weighting: Weighting) -> np.ndarray:
    """Mean AUROC over the pairs of classes of a multiclass task, float64 of shape (R,); NaN where there is none.

    Both ways of computing it agree to rounding. With many classes time grows with N x K, and no pair is held in memory.

    Args:
        data: Predictions of N rows and K classes.
        weighting: Row weights of R resamples.
    """
    classes = np.flatnonzero(data.target.any(axis=0))
    if len(classes) <= MOST_PAIRED:
        return mean_of_defined(np.array(list(pair_areas(data, weighting).values())).reshape(-1, weighting.width))
    total, number = np.zeros(weighting.width), np.zeros(weighting.width)
    order = np.argsort(data.target.argmax(axis=1), kind="stable")
    target, log_odds, counts = data.target[order], data.log_odds[order], weighting.counts[order].astype(np.float64)
    begins = np.searchsorted(target.argmax(axis=1), classes)
    sizes = np.add.reduceat(counts, begins, axis=0)
    for place, column in enumerate(classes):
        positive, scores = target[:, column], log_odds[:, column]
        mine = scores[positive]
        # Twice the rows of the class that stand below each row, a tied one counting one.
        misordered = 2.0 * (scores[:, None] > mine) + (scores[:, None] == mine)
        wrong = np.add.reduceat(counts * (misordered @ counts[positive]), begins, axis=0)
        pairs = sizes * sizes[place]
        pairs[place] = 0
        with np.errstate(invalid="ignore", divide="ignore"):
            total += np.where(pairs > 0, (pairs - wrong / 2) / pairs, 0).sum(axis=0)
        number += (pairs > 0).sum(axis=0)
    return np.where(number > 0, total / np.where(number > 0, number, 1), np.nan)


def areas_by_class(
    data: Predictions, weighting: Weighting, *, area: str = "auroc", among: np.ndarray | None = None
) -> ByClass:
    """Areas of single classes against the rest, of those that the rows define.

    Args:
        data: Predictions of N rows and K classes.
        weighting: Row weights of R resamples.
        area: `auroc` or `auprc`.
        among: Classes that are taken, bool of shape (K,); None for all.
    """
    scored = np.arange(data.target.shape[1]) == 1 if data.type == "binary" else scored_classes(data.target)
    columns = np.flatnonzero(scored & (True if among is None else among)).tolist()
    values = class_areas(data, weighting, columns)[area]
    return {(column,): value for column, value in zip(columns, values, strict=True)}


def over_shared(*groups: ByClass, width: int) -> list[np.ndarray]:
    """Mean of a metric over the same classes in groups of rows: those that all groups define, in each resample anew.

    Args:
        groups: Of each group, what `clinical_peft.metrics.metric.Metric.by_classes` returned.
        width: R.

    Returns:
        Of each group float64 of shape (R,), NaN where no class is defined in all.
    """
    shared = sorted(set.intersection(*(set(areas) for areas in groups)))
    values = np.array([[areas[classes] for classes in shared] for areas in groups]).reshape(
        len(groups), len(shared), width
    )
    defined = ~np.isnan(values).any(axis=0)
    return [mean_of_defined(np.where(defined, of_group, np.nan)) for of_group in values]


def mean_of_defined(values: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Means over the first axis of what is not NaN, of shape (R,); NaN where nothing is.

    Args:
        values: Values of shape (M, R).
        weights: Weights of shape (M, R), or None for equal ones.
    """
    defined = ~np.isnan(values)
    used = defined.astype(np.float64) if weights is None else defined * weights
    total = used.sum(axis=0)
    return np.where(
        total > 0, (np.where(defined, values, 0.0) * used).sum(axis=0) / np.where(total > 0, total, 1), np.nan
    )
