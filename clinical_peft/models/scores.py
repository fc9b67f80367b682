"""What logits say of each class, without rounding to 0 or 1: log-odds, in float64.

A probability next to 1 is stored as 1, in float32 from a margin of 17 on and in float64 from 37 on, so that
probabilities of confident models tie. Log-odds of a class against the rest, log p - log(1 - p), rise with the
probability and never saturate: of two classes they are the difference of the logits, of a sigmoid the logit itself.
Everything that ranks, thresholds or scores predictions starts from them. Equal logits have equal log-odds.
"""

from collections.abc import Mapping
from typing import Literal

import numpy as np

from clinical_peft.recipes.switches import switch_on
from clinical_peft.tasks import TaskType

Link = Literal["softmax", "sigmoid"]
"""How logits become probabilities: over the classes of a row together, or each on its own."""
Links = Mapping[tuple[str, str], Link]
"""By model and task."""


def link_of(kind: TaskType, switches: Mapping[str, bool]) -> Link:
    """The link of a task under a protocol.

    Args:
        kind: Type of the task.
        switches: Switches of the protocol; `multilabel_softmax` of a multilabel task.

    Raises:
        ConfigError: A multilabel task is given without that switch.
    """
    return "softmax" if kind == "multilabel" and switch_on(switches, "multilabel_softmax") else default_link(kind)


def default_link(kind: TaskType) -> Link:
    """The link of a task without the original's choices: a softmax over classes, but a sigmoid per label."""
    return "sigmoid" if kind == "multilabel" else "softmax"


def log_odds(logits: np.ndarray, link: Link) -> np.ndarray:
    """Log-odds of every class against the rest.

    Args:
        logits: Finite logits of shape (N, K), K at least 2.
        link: How they become probabilities.

    Returns:
        Finite float64 of shape (N, K).
    """
    logits = np.asarray(logits, dtype=np.float64)
    if link == "sigmoid":
        return logits
    if logits.shape[1] == 2:
        margin = logits[:, 1] - logits[:, 0]
        return np.stack([-margin, margin], axis=1)
    return _against_the_rest(logits)


def _against_the_rest(logits: np.ndarray) -> np.ndarray:
    # Sums run over sorted logits, so that the order of the other classes changes no bit.
    ordered = np.sort(logits, axis=1)
    highest, second = ordered[:, -1:], ordered[:, -2:-1]
    lead = highest - second - np.log(np.exp(ordered[:, :-1] - second).sum(axis=1, keepdims=True))
    total = np.exp(ordered - highest).sum(axis=1, keepdims=True)
    distance = logits - highest
    # All but the highest class leave at least half of the sum to the others: the difference loses no digits.
    with np.errstate(divide="ignore"):
        others = np.log(total - np.exp(distance))
    return np.where(distance == 0, lead, distance - others)


def sigmoid(values: np.ndarray | float) -> np.ndarray:
    """Logistic function, float64, without overflow: the probability of log-odds."""
    values = np.asarray(values, dtype=np.float64)
    small = np.exp(-np.abs(values))
    return np.where(values >= 0, 1 / (1 + small), small / (1 + small))


def log_sigmoid(values: np.ndarray) -> np.ndarray:
    """Logarithm of the probability of log-odds, float64; of `-values`, that of its complement."""
    return np.asarray(-np.logaddexp(0.0, -np.asarray(values, dtype=np.float64)))
