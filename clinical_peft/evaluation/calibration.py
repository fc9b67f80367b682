"""Calibration of scores: Brier score, log-loss, slope and intercept, expected calibration error, reliability bins.

Slope and intercept (Van Calster et al. 2019, BMC Med 17:230): the slope b of a logistic regression of the outcome on
the logit of the score, 1 when scores are neither too extreme nor too timid; and the intercept a with that slope held
at 1, 0 when they are right on average (calibration in the large), negative when too high. Tasks of several classes
pool all pairs of row and class; a multiclass task has no intercept, since scores and outcomes of a row both sum to 1.
Expected calibration error: mean distance between the mean score and the observed
share over `BINS` bins that hold equally many scores, weighted by size; of a multiclass task, of the predicted class
(Guo et al. 2017, ICML).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from clinical_peft.disclosure import merged_ranges
from clinical_peft.evaluation.predictions import Predictions
from clinical_peft.evaluation.weighting import Weighting

BINS = 10
# Scores are stored as float32: a probability closer to 0 or 1 than this cannot be told from 0 or 1.
SMALLEST_PROBABILITY = float(np.finfo(np.float32).eps)
_STEPS, _TOLERANCE = 100, 1e-10


@dataclass(frozen=True)
class Pairs:
    """Scores and what came of them.

    Attributes:
        scores: Probabilities, float64 of shape (N, M).
        target: Outcomes, bool of shape (N, M).
    """

    scores: np.ndarray
    target: np.ndarray


def score_pairs(data: Predictions) -> Pairs:
    """What slope and intercept are fitted on: of a binary task the second class, otherwise every row and class."""
    columns = slice(1, 2) if data.type == "binary" else slice(None)
    return Pairs(data.scores[:, columns].astype(np.float64), data.target[:, columns])


def binned_pairs(data: Predictions) -> Pairs:
    """What calibration error and reliability bins are of: as `score_pairs`, of a multiclass task the highest score."""
    if data.type != "multiclass":
        return score_pairs(data)
    chosen = data.scores.argmax(axis=1)[:, None]
    return Pairs(
        np.take_along_axis(data.scores, chosen, axis=1).astype(np.float64), np.take_along_axis(data.target, chosen, 1)
    )


def calibration_figures(data: Predictions, weighting: Weighting) -> dict[str, np.ndarray]:
    """Brier score, log-loss, calibration slope and intercept, and expected calibration error.

    Brier score: binary, squared error of the second class's probability; multiclass, squared errors summed over classes
    (0 to 2); multilabel, mean over rows and classes. Log-loss (natural logarithm): of the true class; multilabel,
    binary cross-entropy averaged over rows and classes. Slope and intercept of a resample are one Newton step from
    those of the data; the bins are those of the data.

    Args:
        data: Predictions of N rows.
        weighting: Row weights of R resamples.

    Returns:
        `brier`, `log_loss`, `calibration_slope`, `calibration_intercept` and `ece`, float64 of shape (R,); NaN where
        undefined: in an empty resample, a slope where scores are constant or separate the outcomes, an intercept where
        all outcomes are alike or the task is multiclass.
    """
    scores = data.scores.astype(np.float64)
    squared = (scores - data.target) ** 2
    clipped = np.clip(scores, SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)
    if data.type == "multilabel":
        brier = squared.mean(axis=1)
        loss = -np.log(np.where(data.target, clipped, 1 - clipped)).mean(axis=1)
    else:
        brier = squared[:, 1] if data.type == "binary" else squared.sum(axis=1)
        loss = -np.log(clipped[data.target])
    pairs = score_pairs(data)
    intercept = np.full(weighting.width, np.nan)
    if data.type != "multiclass":
        intercept = _replicated(pairs, weighting, fit_slope=False)
    return {
        "brier": weighting.mean(brier),
        "log_loss": weighting.mean(loss),
        "calibration_slope": _replicated(pairs, weighting, fit_slope=True),
        "calibration_intercept": intercept,
        "ece": _calibration_error(binned_pairs(data), weighting),
    }


def logit(scores: np.ndarray) -> np.ndarray:
    """Logits of probabilities, which are kept away from 0 and 1 by `SMALLEST_PROBABILITY`."""
    clipped = np.clip(scores, SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)
    return np.asarray(np.log(clipped / (1 - clipped)))


def fit_logistic(x: np.ndarray, y: np.ndarray, *, fit_slope: bool) -> tuple[float, float] | None:
    """Maximum-likelihood intercept and slope of y on x; the slope is 1 unless it is fitted.

    Args:
        x: Logits, of any shape.
        y: Outcomes, bool of the same shape.
        fit_slope: Whether the slope is fitted too.

    Returns:
        Intercept and slope, or None where none exists: outcomes all alike, or, for a slope, x constant or separating
        the outcomes.
    """
    if y.all() or not y.any():
        return None
    inside, outside = x[y], x[~y]
    if fit_slope and (inside.min() >= outside.max() or outside.min() >= inside.max()):
        return None
    place, slope = 0.0, 0.0 if fit_slope else 1.0
    loss = _loss(x, y, place, slope)
    for _ in range(_STEPS):
        gradient, curvature = _derivatives(x, y, place, slope)
        step = _newton_step(gradient.sum(axis=1), curvature.sum(axis=1), fit_slope=fit_slope)
        while (moved := _loss(x, y, place + step[0], slope + step[1])) > loss * (1 + _TOLERANCE):
            step = step / 2
        place, slope, loss = place + step[0], slope + step[1], moved
        if np.abs(step).max() < _TOLERANCE:
            break
    return float(place), float(slope)


def _loss(x: np.ndarray, y: np.ndarray, place: float, slope: float) -> float:
    return float(np.logaddexp(0, np.where(y, -1, 1) * (place + slope * x)).sum())


def _derivatives(x: np.ndarray, y: np.ndarray, place: float, slope: float) -> tuple[np.ndarray, np.ndarray]:
    """Gradient (2, N) and second derivatives (3, N) of the log-likelihood of each row, summed over its pairs."""
    fitted = 0.5 * (1 + np.tanh((place + slope * x) / 2))
    error, spread = (y - fitted).reshape(len(x), -1), (fitted * (1 - fitted)).reshape(len(x), -1)
    x = x.reshape(len(x), -1)
    gradient = np.stack([error.sum(axis=1), (error * x).sum(axis=1)])
    curvature = np.stack([spread.sum(axis=1), (spread * x).sum(axis=1), (spread * x * x).sum(axis=1)])
    return gradient, curvature


def _newton_step(gradient: np.ndarray, curvature: np.ndarray, *, fit_slope: bool) -> np.ndarray:
    """Newton steps of intercept and slope, of shape (2, ...), from summed derivatives of shapes (2, ...), (3, ...)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        if not fit_slope:
            return np.stack([gradient[0] / curvature[0], np.zeros_like(gradient[0])])
        determinant = curvature[0] * curvature[2] - curvature[1] ** 2
        return np.stack(
            [
                (curvature[2] * gradient[0] - curvature[1] * gradient[1]) / determinant,
                (curvature[0] * gradient[1] - curvature[1] * gradient[0]) / determinant,
            ]
        )


def _replicated(pairs: Pairs, weighting: Weighting, *, fit_slope: bool) -> np.ndarray:
    """Slope, or intercept at slope 1, in every resample."""
    x = logit(pairs.scores)
    fitted = fit_logistic(x, pairs.target, fit_slope=fit_slope)
    if fitted is None:
        return np.full(weighting.width, np.nan)
    gradient, curvature = _derivatives(x, pairs.target, *fitted)
    step = _newton_step(weighting.sum(gradient), weighting.sum(curvature), fit_slope=fit_slope)
    place = 1 if fit_slope else 0
    return np.asarray(np.where(weighting.total > 0, fitted[place] + step[place], np.nan))


def _bin_of(scores: np.ndarray) -> np.ndarray:
    """Bin of each score, from 0 to `BINS` - 1; borders are quantiles, so that bins hold equally many without ties."""
    borders = np.quantile(scores, np.linspace(0, 1, BINS + 1)[1:-1])
    return np.searchsorted(borders, scores)


def _by_bin(values: np.ndarray, bins: np.ndarray) -> np.ndarray:
    """Sums of values of shape (N, M) over the pairs of each row in each bin, float64 of shape (BINS, N)."""
    rows = np.repeat(np.arange(len(values)), values.shape[1])
    flat = np.bincount(bins.ravel() * len(values) + rows, weights=values.ravel(), minlength=BINS * len(values))
    return flat.reshape(BINS, len(values))


def _calibration_error(pairs: Pairs, weighting: Weighting) -> np.ndarray:
    distance = np.abs(weighting.sum(_by_bin(pairs.scores - pairs.target, _bin_of(pairs.scores)))).sum(axis=0)
    number = weighting.total * pairs.scores.shape[1]
    return np.asarray(distance / np.where(number > 0, number, np.nan))


def reliability_bins(data: Predictions, weighting: Weighting, *, joined: bool = False) -> list[dict[str, Any]]:
    """What a reliability diagram shows.

    Args:
        data: Predictions of N rows.
        weighting: Row weights of R resamples.
        joined: Join neighbours until a bin has enough outcomes and enough pairs without one to be published; there is
            no bin where all of them have too few.

    Returns:
        One mapping per bin that is not empty, by rising score: `pairs` (number of scores), `low`, `high` (their
        range), `mean_score`, `observed` (share of outcomes) and `observed_replicates`, float64 of shape (R,).
    """
    pairs = binned_pairs(data)
    bins = _bin_of(pairs.scores)
    if joined:
        merged = merged_ranges(*(np.bincount(bins[kind], minlength=BINS) for kind in (pairs.target, ~pairs.target)))
        if not len(merged):
            return []
        bins = merged[bins]
    found = weighting.sum(_by_bin(pairs.target.astype(np.float64), bins))
    number = weighting.sum(_by_bin(np.ones_like(pairs.scores), bins))
    with np.errstate(invalid="ignore"):
        replicates = found / np.where(number > 0, number, np.nan)
    described = []
    for index in range(BINS):
        inside = bins == index
        if inside.any():
            scores = pairs.scores[inside]
            described.append(
                {
                    "pairs": int(inside.sum()),
                    "low": float(scores.min()),
                    "high": float(scores.max()),
                    "mean_score": float(scores.mean()),
                    "observed": float(pairs.target[inside].mean()),
                    "observed_replicates": replicates[index],
                }
            )
    return described
