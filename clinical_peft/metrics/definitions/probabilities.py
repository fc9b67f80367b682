"""Metrics of scores as probabilities: Brier score, log-loss, calibration slope and intercept, calibration error.

Slope and intercept (Van Calster et al. 2019, BMC Med 17:230): the slope b of a logistic regression of the outcome on
the log-odds of the score, 1 when scores are neither too extreme nor too timid; and the intercept a with that slope held
at 1, 0 when they are right on average (calibration in the large), negative when too high. Tasks of several classes
pool all pairs of row and class. Slopes and intercepts of a resample are one Newton step from those of the data.
"""

import numpy as np

from clinical_peft.metrics.calibration import binned_pairs, calibration_error, log_losses, score_pairs
from clinical_peft.metrics.logistic import replicated_intercept, replicated_slope
from clinical_peft.metrics.metric import metric
from clinical_peft.metrics.weighted import WeightedPredictions


@metric(name="brier", title="Brier", direction="lower", percent=False, digits=3, judges_probabilities=True, place=5)
def brier(weighted: WeightedPredictions) -> np.ndarray:
    """Brier score; NaN in an empty resample.

    Binary: squared error of the second class's probability. Multiclass: squared errors summed over classes (0 to 2).
    Multilabel: mean over rows and classes.
    """
    squared = (weighted.data.scores - weighted.data.target) ** 2
    if weighted.type == "multilabel":
        by_row = squared.mean(axis=1)
    else:
        by_row = squared[:, 1] if weighted.type == "binary" else squared.sum(axis=1)
    return weighted.weighting.mean(by_row)


@metric(
    name="log_loss", title="Log-loss", direction="lower", percent=False, digits=3, judges_probabilities=True, place=6
)
def log_loss(weighted: WeightedPredictions) -> np.ndarray:
    """Log-loss (natural logarithm) of the true class; multilabel, binary cross-entropy over rows and classes."""
    return weighted.weighting.mean(log_losses(weighted.data))


@metric(
    name="ece",
    title="Expected calibration error",
    direction="lower",
    percent=False,
    digits=3,
    is_main=False,
    judges_probabilities=True,
    place=7,
)
def expected_calibration_error(weighted: WeightedPredictions) -> np.ndarray:
    """Mean distance of mean score and observed share, over bins; NaN in an empty resample. The bins are the data's."""
    return calibration_error(binned_pairs(weighted.data), weighted.weighting)


@metric(
    name="calibration_slope",
    title="Calibration slope",
    direction="nearer 1",
    percent=False,
    digits=3,
    is_main=False,
    judges_probabilities=True,
    when_few="coarse",
    place=8,
)
def calibration_slope(weighted: WeightedPredictions) -> np.ndarray:
    """Slope; NaN where scores are constant or separate the outcomes, or where all outcomes are alike."""
    pairs = score_pairs(weighted.data)
    return replicated_slope(pairs.log_odds, pairs.target, weighted.weighting)


@metric(
    name="calibration_intercept",
    title="Calibration intercept",
    direction="nearer 0",
    percent=False,
    digits=3,
    is_main=False,
    judges_probabilities=True,
    place=9,
)
def calibration_intercept(weighted: WeightedPredictions) -> np.ndarray:
    """Intercept; NaN where all outcomes are alike, and of a multiclass task: scores and outcomes of a row sum to 1."""
    if weighted.type == "multiclass":
        return np.full(weighted.weighting.width, np.nan)
    pairs = score_pairs(weighted.data)
    return replicated_intercept(pairs.log_odds, pairs.target, weighted.weighting)
