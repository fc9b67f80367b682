"""Logistic regression of outcomes on log-odds: the intercept and slope of a calibration, and of its resamples.

Every search is bounded. What has no maximum, or none that float64 can find, is None (in a resample NaN): undefined.
"""

import numpy as np

from clinical_peft.metrics.weighting import Weighting
from clinical_peft.models.scores import sigmoid

_STEPS, _HALVINGS, _TOLERANCE = 300, 60, 1e-10
# A smaller share of the product of its diagonal is a determinant of rounding errors.
_SINGULAR = 1e-12


def fit_logistic(x: np.ndarray, y: np.ndarray, *, fit_slope: bool) -> tuple[float, float] | None:
    """Maximum-likelihood intercept and slope of y on x; the slope is 1 unless it is fitted.

    Args:
        x: Log-odds, finite, of any shape.
        y: Outcomes, bool of the same shape.
        fit_slope: Whether the slope is fitted too.

    Returns:
        Intercept and slope, or None where none exists: outcomes all alike, or, for a slope, x constant or separating
        the outcomes; or where the search does not converge.
    """
    if y.all() or not y.any():
        return None
    if not fit_slope:
        place = _fit_intercept(x, y)
        return None if place is None else (place, 1.0)
    if x[y].min() >= x[~y].max() or x[~y].min() >= x[y].max():
        return None
    middle, scale = float(x.mean()), float(x.std())
    found = _fit_slope((x - middle) / scale, y)
    return None if found is None else (found[0] - found[1] * middle / scale, found[1] / scale)


def replicated_intercept(x: np.ndarray, y: np.ndarray, weighting: Weighting) -> np.ndarray:
    """The intercept at slope 1 in every resample, one Newton step from that of the data.

    Args:
        x: Log-odds of shape (N, M), M pairs a row.
        y: Outcomes, bool of the same shape.
        weighting: Row weights of R resamples.

    Returns:
        Float64 of shape (R,); NaN where it is undefined, as in a resample whose outcomes are all alike.
    """
    place = None if y.all() or not y.any() else _fit_intercept(x, y)
    if place is None:
        return np.full(weighting.width, np.nan)
    gradient, curvature = _derivatives(x, y, place, 1.0)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        values = place + weighting.sum(gradient)[0] / weighting.sum(curvature)[0]
    return np.where(_has_both(y, weighting) & np.isfinite(values), values, np.nan)


def replicated_slope(x: np.ndarray, y: np.ndarray, weighting: Weighting) -> np.ndarray:
    """The slope in every resample, one Newton step from that of the data.

    Args:
        x: Log-odds of shape (N, M), M pairs a row.
        y: Outcomes, bool of the same shape.
        weighting: Row weights of R resamples.

    Returns:
        Float64 of shape (R,); NaN where it is undefined: in a resample whose outcomes are all alike, or whose x is
        constant or separates them.
    """
    undefined = np.full(weighting.width, np.nan)
    if fit_logistic(x, y, fit_slope=True) is None:
        return undefined
    # About its mean and in its spread, x keeps the digits in which its values differ.
    scale = float(x.std())
    standard = (x - x.mean()) / scale
    fitted = _fit_slope(standard, y)
    if fitted is None:
        return undefined
    gradient, curvature = _derivatives(standard, y, *fitted)
    step = _newton_step(weighting.sum(gradient), weighting.sum(curvature))[1]
    values = (fitted[1] + step) / scale
    defined = _has_both(y, weighting) & ~_separated(x, y, weighting) & np.isfinite(values)
    return np.where(defined, values, np.nan)


def _fit_intercept(x: np.ndarray, y: np.ndarray) -> float | None:
    """The intercept at slope 1, which makes the mean probability that of the outcomes; both outcomes occur."""
    share = float(y.mean())
    centre = np.log(share / (1 - share))
    low, high = float(centre - x.max()), float(centre - x.min())
    place, last = min(max(0.0, low), high), np.inf
    for _ in range(_STEPS):
        gradient, curvature = (part.sum(axis=1) for part in _derivatives(x, y, place, 1.0))
        low, high = (place, high) if gradient[0] > 0 else (low, place)
        # A curvature next to 0 asks for a step far outside.
        steep = curvature[0] > abs(gradient[0]) / (2 * (high - low) + 1)
        step = float(gradient[0] / curvature[0]) if steep else np.inf
        # Newton's step where it stays inside and shrinks fast enough, otherwise bisection.
        if not (low <= place + step <= high and abs(step) <= last / 2):
            step = low / 2 + high / 2 - place
        place, last = place + step, abs(step)
        if last <= _TOLERANCE * max(1.0, abs(place)):
            _, curvature = _derivatives(x, y, place, 1.0)
            return place if curvature[0].sum() > 0 else None
    return None


def _fit_slope(x: np.ndarray, y: np.ndarray) -> tuple[float, float] | None:
    """Intercept and slope of standardised x that neither is constant nor separates the outcomes."""
    share = float(y.mean())
    place, slope = float(np.log(share / (1 - share))), 0.0
    loss = _loss(x, y, place, slope)
    for _ in range(_STEPS):
        gradient, curvature = (part.sum(axis=1) for part in _derivatives(x, y, place, slope))
        step = _newton_step(gradient, curvature)
        if not np.isfinite(step).all():
            return None
        for _ in range(_HALVINGS):
            moved = _loss(x, y, place + step[0], slope + step[1])
            if moved <= loss * (1 + _TOLERANCE):
                break
            step = step / 2
        place, slope, loss = float(place + step[0]), float(slope + step[1]), moved
        if np.abs(step).max() <= _TOLERANCE * max(1.0, abs(place), abs(slope)):
            return place, slope
    return None


def _loss(x: np.ndarray, y: np.ndarray, place: float, slope: float) -> float:
    return float(np.logaddexp(0, np.where(y, -1, 1) * (place + slope * x)).sum())


def _derivatives(x: np.ndarray, y: np.ndarray, place: float, slope: float) -> tuple[np.ndarray, np.ndarray]:
    """Gradient (2, N) and second derivatives (3, N) of the log-likelihood of each row, summed over its pairs."""
    fitted = place + slope * x
    likely, unlikely = sigmoid(fitted), sigmoid(-fitted)
    error, spread = np.where(y, unlikely, -likely).reshape(len(x), -1), (likely * unlikely).reshape(len(x), -1)
    x = x.reshape(len(x), -1)
    gradient = np.stack([error.sum(axis=1), (error * x).sum(axis=1)])
    curvature = np.stack([spread.sum(axis=1), (spread * x).sum(axis=1), (spread * x * x).sum(axis=1)])
    return gradient, curvature


def _newton_step(gradient: np.ndarray, curvature: np.ndarray) -> np.ndarray:
    """Newton steps of intercept and slope, of shape (2, ...), from summed derivatives of shapes (2, ...), (3, ...).

    NaN where the second derivatives are singular to rounding.
    """
    determinant = curvature[0] * curvature[2] - curvature[1] ** 2
    regular = determinant > _SINGULAR * curvature[0] * curvature[2]
    divisor = np.where(regular, determinant, np.nan)
    with np.errstate(invalid="ignore", over="ignore"):
        return np.stack(
            [
                (curvature[2] * gradient[0] - curvature[1] * gradient[1]) / divisor,
                (curvature[0] * gradient[1] - curvature[1] * gradient[0]) / divisor,
            ]
        )


def _has_both(y: np.ndarray, weighting: Weighting) -> np.ndarray:
    """Whether a resample has both outcomes, bool of shape (R,)."""
    y = y.reshape(len(y), -1)
    hits, misses = weighting.count(np.stack([y.sum(axis=1), (~y).sum(axis=1)]))
    return np.asarray((hits > 0) & (misses > 0))


def _separated(x: np.ndarray, y: np.ndarray, weighting: Weighting) -> np.ndarray:
    """Whether x is constant or separates the outcomes in a resample, bool of shape (R,)."""
    x, y = x.reshape(len(x), -1), y.reshape(len(y), -1)
    drawn = weighting.counts > 0

    def lowest(values: np.ndarray) -> np.ndarray:
        """Smallest value of the rows that a resample draws, of shape (R,), infinite where there is none."""
        return np.asarray(np.where(drawn, values.min(axis=1)[:, None], np.inf).min(axis=0))

    inside = lowest(np.where(y, x, np.inf)), -lowest(np.where(y, -x, np.inf))
    outside = lowest(np.where(y, np.inf, x)), -lowest(np.where(y, np.inf, -x))
    return np.asarray((inside[0] >= outside[1]) | (outside[0] >= inside[1]))
