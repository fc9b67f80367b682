"""The validation figure that picks an epoch or a penalty: area under the ROC curve, averaged over classes.

Training runs on nodes that hold little besides PyTorch, so the figure is computed here with numpy; the evaluation of
finished predictions, with intervals and further metrics, is `clinical_peft.metrics`.
"""

import numpy as np

from clinical_peft.tasks import TaskType


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


def selection_auroc(scores: np.ndarray, targets: np.ndarray, type: TaskType) -> float:
    """AUROC of a task on one split.

    Binary: of the second class. Multiclass: mean of the classes one against the rest. Multilabel: mean of the labels.
    Classes without both a positive and a negative row are left out of a mean.

    Args:
        scores: Log-odds of shape (N, K), see `clinical_peft.models.scores`: probabilities next to 1 tie.
        targets: Class indices of shape (N,), or 0/1 of shape (N, K).
        type: Kind of label.

    Returns:
        The area, or NaN when no class has both kinds of row.
    """
    if type == "multilabel":
        areas = column_auroc(scores, targets)
    else:
        areas = column_auroc(scores, targets[:, None] == np.arange(scores.shape[1]))
        if type == "binary":
            areas = areas[1:]
    defined = areas[~np.isnan(areas)]
    return float(defined.mean()) if len(defined) else float("nan")
