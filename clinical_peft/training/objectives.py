"""Losses of the clinical tasks, and scores from logits."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from clinical_peft.models.scores import Link
from clinical_peft.tasks import TaskType


def class_weights(targets: np.ndarray, classes: int) -> np.ndarray:
    """Balance classes by N / (K n_c), so that the weights of all rows sum to N.

    Args:
        targets: Class index per training row, int64 of shape (N,).
        classes: Number of classes K.

    Returns:
        Weights, float32 of shape (K,). A class without training rows gets 0: no training row uses its weight, and
        validation rows of a class that cannot be learned do not decide which epoch is best.
    """
    counts = np.bincount(targets, minlength=classes)
    weights = np.zeros(classes, dtype=np.float32)
    present = counts > 0
    weights[present] = len(targets) / (classes * counts[present])
    return weights


@dataclass(frozen=True)
class Objective:
    """The loss of a task as a sum over rows, and the weight of rows.

    They are sums, not means, so that a batch gives the same gradient however it is divided into micro-batches.

    Attributes:
        type: Kind of label.
        weights: Class weights of a single-label task, float32 of shape (K,), or None for equal weights.
    """

    type: TaskType
    weights: Tensor | None

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Sum cross-entropy over rows; for a multilabel task binary cross-entropy, averaged over labels.

        Args:
            logits: Logits of shape (batch, K).
            targets: Class indices of shape (batch,), or 0/1 of shape (batch, K).

        Returns:
            The summed loss, a scalar.
        """
        if self.type == "multilabel":
            targets = targets.to(logits.dtype)
            return functional.binary_cross_entropy_with_logits(logits, targets, reduction="none").mean(dim=1).sum()
        weights = None if self.weights is None else self.weights.to(logits.device)
        return functional.cross_entropy(logits, targets, weight=weights, reduction="sum")

    def weight(self, targets: Tensor) -> float:
        """Total weight of rows, by which their summed loss is divided to give a mean."""
        if self.type == "multilabel" or self.weights is None:
            return float(len(targets))
        return float(self.weights[targets].sum())


def scores_from_logits(logits: np.ndarray, link: Link) -> np.ndarray:
    """Turn logits into scores between 0 and 1.

    Args:
        logits: Logits, float32 of shape (N, K).
        link: How they become probabilities; see `clinical_peft.models.scores.link_of`. A softmax over the labels of a
            multilabel task, as in the original, makes the score of a label depend on the other labels of the same
            admission.

    Returns:
        Scores, float32 of shape (N, K).
    """
    tensor = torch.from_numpy(logits)
    return (torch.sigmoid(tensor) if link == "sigmoid" else torch.softmax(tensor, dim=1)).numpy()
