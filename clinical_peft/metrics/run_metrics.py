"""Every figure of a run's predictions: discrimination, classification and calibration, for any weighting of the rows.

Every figure takes weights of shape (N, R) and returns R values: a column of ones gives the figure itself, a column of
counts gives the figure of a bootstrap resample. One definition thus serves the estimate and its interval. On a
resample written out row by row the values equal those of scikit-learn, where it has the figure; slopes and intercepts
of a resample are one Newton step from those of the data. Rows are ranked, and decided on, by log-odds (see
`clinical_peft.models.scores`), so that no two scores tie because both round to 1.
"""

from collections.abc import Mapping

import numpy as np

from clinical_peft.metrics.areas import BANDS, area_figures, label_figures, mean_of_defined, scored_classes, weigh
from clinical_peft.metrics.calibration import calibration_figures
from clinical_peft.metrics.predictions import Predictions
from clinical_peft.metrics.weighting import Weighting
from clinical_peft.models.scores import log_sigmoid
from clinical_peft.tasks import TaskType

# The figures that every task has, and whose resamples are stored.
FIGURES = ("auroc", "auprc", "f1_micro", "f1_macro", "brier", "log_loss")
CALIBRATION = ("calibration_slope", "calibration_intercept", "ece")
PRECISION_AT = (1, 5, 10)
# Log-odds of a probability of one half.
EVEN = 0.0


def figure_names(kind: TaskType, classes: int, *, bands: bool = False) -> tuple[str, ...]:
    """Names of all figures of a task with so many classes, those by band of training frequency where asked for."""
    names = [*FIGURES, *CALIBRATION]
    if kind == "multilabel":
        averages = ["weighted", "micro", *(BANDS if bands else ())]
        names += [f"{area}_{average}" for area in ("auroc", "auprc") for average in averages]
        names += [f"precision_at_{k}" for k in PRECISION_AT if k <= classes]
    return tuple(names)


def predicted(data: Predictions, cutoff: float | None) -> np.ndarray:
    """Predicted classes, bool of shape (N, K).

    Binary: the second class where its log-odds reach the cutoff. Multilabel: every class whose log-odds do.
    Multiclass: the class with the highest score, whatever the cutoff.
    """
    if data.type == "multiclass" or cutoff is None:
        chosen: np.ndarray = data.log_odds.argmax(axis=1)[:, None] == np.arange(data.log_odds.shape[1])
        return chosen
    if data.type == "binary":
        positive = data.log_odds[:, 1] >= cutoff
        return np.stack([~positive, positive], axis=1)
    return np.asarray(data.log_odds >= cutoff)


def f1_figures(
    data: Predictions, cutoff: float | None, weights: np.ndarray | Weighting | None = None
) -> dict[str, np.ndarray]:
    """F1 over all decisions (micro; accuracy for one label per row) and its mean over the classes that occur (macro).

    Args:
        data: Predictions of N rows.
        cutoff: Decision threshold of a binary or multilabel task, in log-odds.
        weights: Row weights of shape (N, R), or None for one column of ones.

    Returns:
        `f1_micro` and `f1_macro`, float64 of shape (R,); NaN where no class occurs.
    """
    weighting = weigh(data, weights)
    chosen = predicted(data, cutoff)
    hits = weighting.count((chosen & data.target).T)
    errors = weighting.count((chosen ^ data.target).T)
    occurs = weighting.count(data.target.T) > 0
    by_class = np.where(occurs, _f1(hits, errors), np.nan)
    micro = np.where(occurs.any(axis=0), _f1(hits.sum(axis=0), errors.sum(axis=0)), np.nan)
    return {"f1_micro": micro, "f1_macro": mean_of_defined(by_class)}


def _f1(hits: np.ndarray, errors: np.ndarray) -> np.ndarray:
    # 2 TP / (2 TP + FP + FN); without any decision to make the quotient is 0.
    denominator = 2 * hits + errors
    return np.asarray(2 * hits / np.where(denominator > 0, denominator, 1.0))


def precision_at(scores: np.ndarray, target: np.ndarray, k: int) -> np.ndarray:
    """Share of true labels among the k highest-scored of each row, float64 of shape (N,).

    Labels tied at the last place count with their share of true ones, so that no order among them is made up.

    Args:
        scores: Scores, or log-odds, of shape (N, K), K at least k.
        target: True labels, bool of shape (N, K).
        k: Number of labels to take.
    """
    last = -np.partition(-scores, k - 1, axis=1)[:, k - 1 : k]
    above, tied = scores > last, scores == last
    places = k - above.sum(axis=1)
    share = (target & tied).sum(axis=1) / tied.sum(axis=1)
    return np.asarray(((target & above).sum(axis=1) + places * share) / k)


def all_figures(
    data: Predictions,
    cutoff: float | None,
    weights: np.ndarray | Weighting | None = None,
    bands: Mapping[str, np.ndarray] | None = None,
) -> dict[str, np.ndarray]:
    """Every figure of `figure_names`.

    Args:
        data: Predictions of N rows and K classes.
        cutoff: Decision threshold of a binary or multilabel task, in log-odds.
        weights: Row weights of shape (N, R), or None for one column of ones.
        bands: Labels of each band of training frequency, bool of shape (K,), of a multilabel task.

    Returns:
        Figure name to float64 of shape (R,), NaN where undefined.
    """
    weighting = weigh(data, weights)
    multilabel = data.type == "multilabel"
    figures = label_figures(data, weighting, bands) if multilabel else area_figures(data, weighting)
    figures |= f1_figures(data, cutoff, weighting) | calibration_figures(data, weighting)
    if multilabel:
        for k in PRECISION_AT:
            if k <= data.log_odds.shape[1]:
                figures[f"precision_at_{k}"] = weighting.mean(precision_at(data.log_odds, data.target, k))
    return figures


def paper_figures(data: Predictions) -> dict[str, np.ndarray]:
    """AUROC, AUPRC and F1 as the original computes them, float64 of shape (1,) each.

    Scores of a multilabel task are a softmax over its labels, decisions are made at 0.5, and the macro F1 leaves out
    classes without both labels; on other tasks the areas equal the corrected ones.
    """
    if data.type == "multilabel":
        data = data.scored_by("softmax")
    figures = area_figures(data) | f1_figures(data, EVEN)
    if data.type == "multilabel":
        scored = scored_classes(data.target)
        figures["f1_macro"] = f1_figures(data.of_classes(scored), EVEN)["f1_macro"]
    return figures


def choose_cutoff(data: Predictions) -> float | None:
    """The decision threshold with the highest F1 on the given (validation) rows, in log-odds.

    Binary: highest macro F1. Multilabel: one threshold for all classes, highest micro F1, since many classes are too
    rare for one of their own. Among equals the highest threshold wins. It lies midway between two scores.

    Args:
        data: Predictions of the validation split.

    Returns:
        The threshold; `EVEN` when no row is positive; None for a multiclass task, which takes the highest score.
    """
    if data.type == "multiclass":
        return None
    columns = slice(1, 2) if data.type == "binary" else slice(None)
    scores, positive = data.log_odds[:, columns].ravel(), data.target[:, columns].ravel()
    if not positive.any():
        return EVEN
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)
    hits = np.cumsum(positive[order])[ends].astype(np.float64)
    false_alarms = ends + 1 - hits
    misses = hits[-1] - hits
    quality = _f1(hits, false_alarms + misses)
    if data.type == "binary":
        rejected = len(scores) - (ends + 1) - misses
        quality = quality + _f1(rejected, false_alarms + misses)
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
