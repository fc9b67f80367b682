"""Validation metrics that pick an epoch or a penalty: the metrics by which a study may compare its models.

Training runs on nodes that hold little besides PyTorch, so they are computed here with numpy; the evaluation of
finished predictions, with intervals and further metrics, is `clinical_peft.metrics`. Decisions are made at the
threshold that is best by F1, or by accuracy for accuracy, on the same split, as they are on test.
"""

import math

import numpy as np

from clinical_peft.models.decisions import DecideBy, best_cutoff, f1, predicted
from clinical_peft.recipes import CompareBy
from clinical_peft.tasks import TaskType


def selection_value(metric: CompareBy, scores: np.ndarray, targets: np.ndarray, kind: TaskType) -> float:
    """A metric of a task on one split.

    AUROC and AUPRC of a binary task are of the second class, of a multiclass task the mean of the classes against the
    rest, of a multilabel task the mean of the labels; classes without both a positive and a negative row are dropped
    from a mean. Macro F1 is the mean over the classes that occur. A multilabel task has no accuracy.

    Args:
        metric: Name of the metric.
        scores: Log-odds of shape (N, K), see `clinical_peft.models.scores`: probabilities next to 1 tie.
        targets: Class indices of shape (N,), or 0/1 of shape (N, K).
        kind: Type of the task.

    Returns:
        The metric, or NaN where no class has both kinds of row; of accuracy and macro F1, where there is no row.
    """
    target = _indicators(scores, targets, kind)
    if metric in ("auroc", "auprc"):
        by_column = column_auroc(scores, target) if metric == "auroc" else column_auprc(scores, target)
        by_column = by_column[1:] if kind == "binary" else by_column
        return _mean(by_column[~np.isnan(by_column)])
    by: DecideBy = "accuracy" if metric == "accuracy" else "f1"
    chosen = predicted(scores, kind, best_cutoff(scores, target, kind, by=by))
    if metric == "accuracy":
        return _mean((chosen & target).any(axis=1))
    by_class = f1((chosen & target).sum(axis=0).astype(np.float64), (chosen ^ target).sum(axis=0).astype(np.float64))
    return _mean(by_class[target.any(axis=0)])


def is_defined(metric: CompareBy, targets: np.ndarray, classes: int, kind: TaskType) -> bool:
    """Whether a metric is defined on a split, whatever the scores; arguments as for `selection_value`."""
    return not math.isnan(selection_value(metric, np.zeros((len(targets), classes)), targets, kind))


def _indicators(scores: np.ndarray, targets: np.ndarray, kind: TaskType) -> np.ndarray:
    if kind == "multilabel":
        return np.asarray(targets, dtype=bool)
    return np.asarray(targets[:, None] == np.arange(scores.shape[1]))


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else math.nan


def column_auroc(scores: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """Area under the ROC curve of every column, tied scores counting half.

    Args:
        scores: Scores, or log-odds, of shape (N, K).
        positive: True where a row belongs to a class, of shape (N, K).

    Returns:
        Float64 of shape (K,); NaN for a column without a positive or without a negative row.
    """
    positive = np.asarray(positive, dtype=bool)
    positives = positive.sum(axis=0)
    negatives = len(positive) - positives
    areas = np.full(scores.shape[1], np.nan)
    for column in np.flatnonzero((positives > 0) & (negatives > 0)):
        _, place, counts = np.unique(scores[:, column], return_inverse=True, return_counts=True)
        # A group of equal scores shares the mean of the ranks it covers (Mann-Whitney U with midranks).
        midranks = np.cumsum(counts) - (counts - 1) / 2
        rank_sum = midranks[place][positive[:, column]].sum()
        n_positive = positives[column]
        areas[column] = (rank_sum - n_positive * (n_positive + 1) / 2) / (n_positive * negatives[column])
    return areas


def column_auprc(scores: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """Average precision of every column; arguments and return value as for `column_auroc`."""
    positive = np.asarray(positive, dtype=bool)
    areas = np.full(scores.shape[1], np.nan)
    for column in np.flatnonzero(positive.any(axis=0) & ~positive.all(axis=0)):
        order = np.argsort(-scores[:, column], kind="stable")
        ends = np.append(np.flatnonzero(np.diff(scores[order, column])), len(order) - 1)
        hits = np.cumsum(positive[order, column])[ends]
        areas[column] = float((np.diff(hits, prepend=0) * hits / (ends + 1)).sum() / hits[-1])
    return areas
