"""Recalibration of scores: one temperature, or an isotonic map, fitted on the validation split."""

from collections.abc import Callable
from typing import Any

import numpy as np

from clinical_peft.evaluation.calibration import SMALLEST_PROBABILITY
from clinical_peft.evaluation.metrics import sigmoid, softmax
from clinical_peft.evaluation.predictions import Predictions

Recalibration = Callable[[Predictions], Predictions]

# Logarithm of the temperature is searched in this range, by golden section.
_LOG_RANGE, _GOLDEN, _STEPS = (-4.0, 4.0), (5**0.5 - 1) / 2, 60


def scores_at(data: Predictions, temperature: float) -> np.ndarray:
    """Probabilities of logits divided by a temperature: a sigmoid per label if multilabel, otherwise a softmax."""
    logits = data.logits.astype(np.float64) / temperature
    return sigmoid(logits) if data.type == "multilabel" else softmax(logits)


def fit_temperature(data: Predictions) -> float:
    """The temperature with the least log-loss (Guo et al. 2017, ICML), between exp(-4) and exp(4).

    Args:
        data: Predictions of the validation split; logits are read, scores are not.
    """

    def loss(log_temperature: float) -> float:
        scores = scores_at(data, float(np.exp(log_temperature)))
        if data.type != "multilabel":
            return -float(np.log(np.maximum(scores[data.target], SMALLEST_PROBABILITY)).sum())
        scores = np.clip(scores, SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)
        return -float(np.log(np.where(data.target, scores, 1 - scores)).sum())

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
    """What puts scores at a temperature in the place of a run's own."""
    return lambda data: data.with_scores(scores_at(data, temperature))


def isotonic_map(validation: Predictions) -> Recalibration:
    """What puts isotonic regressions of the scores in their place.

    Binary: of the second class. Multiclass: of every class against the rest, then divided by their sum (Zadrozny and
    Elkan 2002, KDD); where all are 0, the scores stay. Multilabel: one regression of all pairs of row and label, since
    most labels are too rare for one of their own.

    Args:
        validation: Predictions of the validation split.
    """
    if validation.type == "multilabel":
        pooled = _fit_isotonic(validation.scores, validation.target)
        return lambda data: data.with_scores(_apply(pooled, data.scores))
    if validation.type == "binary":
        second = _fit_isotonic(validation.scores[:, 1], validation.target[:, 1])

        def map_binary(data: Predictions) -> Predictions:
            scores = _apply(second, data.scores[:, 1])
            return data.with_scores(np.stack([1 - scores, scores], axis=1))

        return map_binary
    columns = range(validation.scores.shape[1])
    fitted = [_fit_isotonic(validation.scores[:, column], validation.target[:, column]) for column in columns]

    def map_classes(data: Predictions) -> Predictions:
        scores = np.stack([_apply(one, data.scores[:, column]) for column, one in enumerate(fitted)], axis=1)
        total = scores.sum(axis=1, keepdims=True)
        return data.with_scores(np.where(total > 0, scores / np.where(total > 0, total, 1), data.scores))

    return map_classes


def _fit_isotonic(scores: np.ndarray, target: np.ndarray) -> Any:
    from sklearn.isotonic import IsotonicRegression

    regression = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip")
    return regression.fit(scores.ravel().astype(np.float64), target.ravel().astype(np.float64))


def _apply(regression: Any, scores: np.ndarray) -> np.ndarray:
    return np.asarray(regression.predict(scores.ravel().astype(np.float64))).reshape(scores.shape)
