"""From log-odds to decisions: the threshold with the highest F1 on validation, and what is predicted at it.

Rows are ranked, and decided on, by log-odds (`clinical_peft.models.scores`), so that no two scores tie because both
round to 1.
"""

import numpy as np

from clinical_peft.models.scores import log_sigmoid
from clinical_peft.tasks import TaskType

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


def best_cutoff(log_odds: np.ndarray, target: np.ndarray, kind: TaskType) -> float | None:
    """The decision threshold with the highest F1 on the given (validation) rows, in log-odds.

    Binary: highest macro F1. Multilabel: one threshold for all classes, highest micro F1, since many classes are too
    rare for one of their own. Among equals the highest threshold wins. It lies midway between two scores.

    Args:
        log_odds: Log-odds of shape (N, K).
        target: True where a row belongs to a class, bool of shape (N, K).
        kind: Type of the task.

    Returns:
        The threshold; `EVEN` when no row is positive; None for a multiclass task, which takes the highest score.
    """
    if kind == "multiclass":
        return None
    columns = slice(1, 2) if kind == "binary" else slice(None)
    scores, positive = log_odds[:, columns].ravel(), target[:, columns].ravel()
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
