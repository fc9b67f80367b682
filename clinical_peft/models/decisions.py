"""From log-odds to decisions: the threshold that is best on validation, and what is predicted at it.

Rows are ranked, and decided on, by log-odds (`clinical_peft.models.scores`), so that no two scores tie because both
round to 1.
"""

from typing import Literal

import numpy as np

from clinical_peft.models.scores import log_sigmoid
from clinical_peft.tasks import TaskType

DecideBy = Literal["f1", "accuracy"]
"""What a decision threshold is chosen by."""

EVEN = 0.0
"""Log-odds of a probability of one half."""


def predicted(log_odds: np.ndarray, kind: TaskType, cutoff: float | None) -> np.ndarray:
    """Predicted classes, bool of shape (N, K).

    Binary: the second class where its log-odds reach the cutoff. Multilabel: every class whose log-odds do.
    Multiclass: the class with the highest score, whatever the cutoff.

    Args:
        log_odds: Log-odds of shape (N, K).
        kind: Type of the task.
        cutoff: Decision threshold in log-odds; None to predict the highest score.
    """
    if kind == "multiclass" or cutoff is None:
        chosen: np.ndarray = log_odds.argmax(axis=1)[:, None] == np.arange(log_odds.shape[1])
        return chosen
    if kind == "binary":
        positive = log_odds[:, 1] >= cutoff
        return np.stack([~positive, positive], axis=1)
    return np.asarray(log_odds >= cutoff)


def f1(hits: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """F1 of counted decisions, 2 TP / (2 TP + FP + FN), 0 without any decision to make; float64 of their shape."""
    denominator = 2 * hits + errors
    return np.asarray(2 * hits / np.where(denominator > 0, denominator, 1.0))


def best_cutoff(log_odds: np.ndarray, target: np.ndarray, kind: TaskType, *, by: DecideBy = "f1") -> float | None:
    """The best decision threshold on the given (validation) rows, in log-odds.

    Binary, by F1: highest macro F1. Binary, by accuracy: the most decisions that are right. Multilabel, which has no
    accuracy: one threshold for all classes, highest micro F1, since many classes are too rare for one of their own.

    Args:
        log_odds: Log-odds of shape (N, K).
        target: True where a row belongs to a class, bool of shape (N, K).
        kind: Type of the task.
        by: What is best.

    Returns:
        The threshold, midway between two scores. Among equals the highest wins by F1, the nearest to `EVEN` by
        accuracy, `EVEN` itself if it is one of them. `EVEN` by F1 when no row is positive; None for a multiclass task,
        which takes the highest score.
    """
    if kind == "multiclass":
        return None
    if kind == "binary" and by == "accuracy":
        return _most_accurate_cutoff(log_odds[:, 1], target[:, 1])
    columns = slice(1, 2) if kind == "binary" else slice(None)
    return _cutoff_of_highest_f1(log_odds[:, columns].ravel(), target[:, columns].ravel(), kind)


def _cutoff_of_highest_f1(scores: np.ndarray, positive: np.ndarray, kind: TaskType) -> float:
    """The threshold of `best_cutoff` by F1, of the decisions of all classes: log-odds and truth of shape (D,)."""
    if not positive.any():
        return EVEN
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)
    hits = np.cumsum(positive[order])[ends].astype(np.float64)
    false_alarms = ends + 1 - hits
    misses = hits[-1] - hits
    quality = f1(hits, false_alarms + misses)
    if kind == "binary":
        rejected = len(scores) - (ends + 1) - misses
        quality = quality + f1(rejected, false_alarms + misses)
    best = int(quality.argmax())
    lowest = scores[order][ends]
    return float(lowest[best]) if best == len(ends) - 1 else midway(float(lowest[best]), float(lowest[best + 1]))


def _most_accurate_cutoff(scores: np.ndarray, positive: np.ndarray) -> float:
    """The threshold of `best_cutoff` by accuracy: log-odds and truth of shape (N,).

    Place i of P distinct scores stands for the thresholds above the score before and up to the score there; place 0
    predicts the class for every row, place P for none.
    """
    distinct = np.unique(scores)
    found, missed = np.sort(scores[positive]), np.sort(scores[~positive])
    hits = len(found) - np.searchsorted(found, distinct) + np.searchsorted(missed, distinct)
    right = np.append(hits, len(missed))
    best = np.flatnonzero(right == right.max())
    even = int(np.searchsorted(distinct, EVEN))
    if even in best:
        return EVEN
    bounds = np.concatenate(([-np.inf], distinct, [np.inf]))
    nearest = [*best[best < even][-1:], *best[best > even][:1]]
    return min((midway(float(bounds[at + 1]), float(bounds[at])) for at in nearest), key=abs)


def midway(high: float, low: float) -> float:
    """Log-odds that divide two others: those of the mean of their probabilities, as far as it still lies between.

    Args:
        high: The higher log-odds.
        low: The lower ones.

    Returns:
        A value above `low` and at most `high`.
    """
    ends = np.array([high, low])
    mean = float(np.logaddexp(*log_sigmoid(ends)) - np.logaddexp(*log_sigmoid(-ends)))
    candidates = (mean, high / 2 + low / 2)
    return next((one for one in candidates if low < one <= high), high)
