"""Recalibration of scores: one temperature, or an isotonic map, fitted on the validation split."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from clinical_peft.metrics.calibration import log_losses
from clinical_peft.metrics.predictions import Predictions
from clinical_peft.models.scores import default_link, sigmoid

Recalibration = Callable[[Predictions], Predictions]

# Logarithm of the temperature is searched in this range, by golden section.
_LOG_RANGE, _GOLDEN, _STEPS = (-4.0, 4.0), (5**0.5 - 1) / 2, 60


def at_temperature(data: Predictions, temperature: float) -> Predictions:
    """The rows with logits divided by a temperature: a sigmoid per label if multilabel, otherwise a softmax."""
    return data.scored_by(default_link(data.type), temperature=temperature)


def fit_temperature(data: Predictions) -> float:
    """The temperature with the least log-loss (Guo et al. 2017, ICML), between exp(-4) and exp(4).

    Args:
        data: Predictions of the validation split; logits are read, scores are not.
    """

    def loss(log_temperature: float) -> float:
        return float(log_losses(at_temperature(data, float(np.exp(log_temperature)))).sum())

    low, high = _LOG_RANGE
    inner = [high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)]
    losses = [loss(inner[0]), loss(inner[1])]
    for _ in range(_STEPS):
        if losses[0] <= losses[1]:
            high = inner[1]
            inner = [high - _GOLDEN * (high - low), inner[0]]
            losses = [loss(inner[0]), losses[0]]
        else:
            low = inner[0]
            inner = [inner[1], low + _GOLDEN * (high - low)]
            losses = [losses[1], loss(inner[1])]
    return float(np.exp((low + high) / 2))


def temperature_map(temperature: float) -> Recalibration:
    """Return a function that replaces a run's scores by scores at a temperature."""
    return lambda data: at_temperature(data, temperature)


def isotonic_map(validation: Predictions) -> Recalibration:
    """Return a function that replaces scores by their isotonic regressions.

    Binary: of the second class. Multiclass: of every class against the rest, then divided by their sum (Zadrozny and
    Elkan 2002, KDD); where all are 0, the scores stay. Multilabel: one regression of all pairs of row and label, since
    most labels are too rare for one of their own.

    Args:
        validation: Predictions of the validation split.
    """
    if validation.type == "multilabel":
        pooled = Isotonic.fit(validation.log_odds, validation.target)
        return lambda data: data.with_scores(pooled(data.log_odds))
    if validation.type == "binary":
        second = Isotonic.fit(validation.log_odds[:, 1], validation.target[:, 1])

        def map_binary(data: Predictions) -> Predictions:
            scores = second(data.log_odds[:, 1])
            return data.with_scores(np.stack([1 - scores, scores], axis=1))

        return map_binary
    columns = range(validation.log_odds.shape[1])
    fitted = [Isotonic.fit(validation.log_odds[:, column], validation.target[:, column]) for column in columns]

    def map_classes(data: Predictions) -> Predictions:
        scores = np.stack([one(data.log_odds[:, column]) for column, one in enumerate(fitted)], axis=1)
        total = scores.sum(axis=1, keepdims=True)
        return data.with_scores(np.where(total > 0, scores / np.where(total > 0, total, 1), data.scores))

    return map_classes


@dataclass(frozen=True)
class Isotonic:
    """A rising function of log-odds, fitted by least squares; between its knots it is linear in the probability.

    Attributes:
        knots: Rising log-odds, float64 of shape (B,).
        values: Its values there, from 0 to 1, float64 of shape (B,).
    """

    knots: np.ndarray
    values: np.ndarray

    @classmethod
    def fit(cls, log_odds: np.ndarray, target: np.ndarray) -> "Isotonic":
        """Fit outcomes, bool, to log-odds of the same shape."""
        from sklearn.isotonic import isotonic_regression

        knots, place, counts = np.unique(log_odds.ravel(), return_inverse=True, return_counts=True)
        means = np.bincount(place.ravel(), weights=target.ravel(), minlength=len(knots)) / counts
        values = isotonic_regression(means, sample_weight=counts.astype(np.float64), y_min=0, y_max=1)
        return cls(knots, np.asarray(values))

    def __call__(self, log_odds: np.ndarray) -> np.ndarray:
        """Values at log-odds of any shape; beyond the outermost knots, those of the knots."""
        above = np.clip(np.searchsorted(self.knots, log_odds), 0, len(self.knots) - 1)
        below = np.maximum(above - 1, 0)
        part = _part_of_the_way(log_odds, self.knots[below], self.knots[above])
        return np.asarray(self.values[below] + part * (self.values[above] - self.values[below]))


def _part_of_the_way(place: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """How far log-odds lie from lower to higher ones, as probabilities, from 0 to 1.

    Where the probabilities are next to 1, their complements are compared; where those round to 0, log-odds are.
    """
    sign = np.where(low > 0, -1.0, 1.0)
    ends = [sigmoid(sign * one) for one in (place, low, high)]
    flat = ends[1] == ends[2]
    start, stop = np.where(flat, low, ends[1]), np.where(flat, high, ends[2])
    with np.errstate(invalid="ignore", divide="ignore"):
        part = (np.where(flat, place, ends[0]) - start) / (stop - start)
    return np.clip(np.where(high > low, part, 1.0), 0.0, 1.0)
