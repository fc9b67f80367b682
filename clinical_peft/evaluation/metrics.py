"""Discrimination, classification and calibration of predictions, for any weighting of the rows.

Every figure takes weights of shape (N, R) and returns R values: a column of ones gives the figure itself, a column of
counts gives the figure of a bootstrap resample. One definition thus serves the estimate and its interval. On a
resample written out row by row the values equal those of scikit-learn.
"""

from itertools import combinations

import numpy as np

from clinical_peft.evaluation.predictions import Predictions

FIGURES = ("auroc", "auprc", "f1_micro", "f1_macro", "brier", "log_loss")

# Scores are stored as float32: a probability closer to 0 or 1 than this cannot be told from 0 or 1.
SMALLEST_PROBABILITY = float(np.finfo(np.float32).eps)


def rank_figures(scores: np.ndarray, positive: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Area under the ROC curve (ties count half) and average precision of one ranking.

    Args:
        scores: Scores of shape (N,).
        positive: True where the row is positive, of shape (N,).
        weights: Non-negative row weights of shape (N, R).

    Returns:
        AUROC and average precision, float64 of shape (R,); NaN where a column has no positive or no negative weight.
    """
    order = np.argsort(-scores, kind="stable")
    ranked_positive = positive[order]
    if not ranked_positive.any():
        return np.full(weights.shape[1], np.nan), np.full(weights.shape[1], np.nan)
    tie_starts = np.append(0, np.flatnonzero(np.diff(scores[order])) + 1)
    tie_ends = np.append(tie_starts[1:], len(order))
    # Only ties that hold a positive row matter: labels are rare, so rows between them are summed and forgotten.
    tie_of_positive = np.searchsorted(tie_starts, np.flatnonzero(ranked_positive), side="right") - 1
    ties, first_positive = np.unique(tie_of_positive, return_index=True)
    borders = np.unique(np.concatenate([[0], tie_starts[ties], tie_ends[ties]]))
    segments = _segment_sums(weights[order], borders)
    own = segments[np.searchsorted(borders, tie_starts[ties])]
    selected = np.cumsum(segments, axis=0)[np.searchsorted(borders, tie_ends[ties]) - 1]
    new_hits = _segment_sums(weights[order[ranked_positive]], first_positive)
    hits = np.cumsum(new_hits, axis=0)
    negatives = segments.sum(axis=0) - hits[-1]
    new_alarms = own - new_hits
    below = negatives - (selected - hits) + new_alarms / 2
    total = hits[-1] * negatives
    with np.errstate(invalid="ignore", divide="ignore"):
        auroc = np.where(total > 0, (new_hits * below).sum(axis=0) / total, np.nan)
        precision = hits / np.where(selected > 0, selected, 1.0)
        auprc = np.where(total > 0, (new_hits * precision).sum(axis=0) / hits[-1], np.nan)
    return auroc, auprc


def _segment_sums(rows: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Sums of consecutive rows, from each start to the next; several times faster here than `np.add.reduceat`."""
    ends = [*starts[1:], len(rows)]
    return np.stack([rows[start:end].sum(axis=0) for start, end in zip(starts, ends, strict=True)])


def scored_classes(target: np.ndarray) -> np.ndarray:
    """Classes that have both a positive and a negative row, bool of shape (K,), from targets of shape (N, K)."""
    return np.asarray(target.any(axis=0) & ~target.all(axis=0))


def area_figures(data: Predictions, weights: np.ndarray) -> dict[str, np.ndarray]:
    """AUROC and AUPRC as the paper defines them.

    Binary: of the second class. Multilabel: mean over the classes with both labels present. Multiclass: AUROC is the
    mean over pairs of classes, each pair the mean of its two directions (macro one-versus-one, Hand and Till 2001);
    AUPRC is the mean over classes against the rest. Within a resample, means run over what that resample defines.

    Args:
        data: Predictions of N rows.
        weights: Row weights of shape (N, R).

    Returns:
        `auroc` and `auprc`, float64 of shape (R,), NaN where undefined.
    """
    columns = [1] if data.type == "binary" else np.flatnonzero(scored_classes(data.target))
    areas = [rank_figures(data.scores[:, column], data.target[:, column], weights) for column in columns]
    auprc = _mean_of_defined([pair[1] for pair in areas], weights.shape[1])
    if data.type == "multiclass":
        return {"auroc": one_versus_one(data.scores, data.target, weights), "auprc": auprc}
    return {"auroc": _mean_of_defined([pair[0] for pair in areas], weights.shape[1]), "auprc": auprc}


def one_versus_one(scores: np.ndarray, target: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Macro one-versus-one AUROC, float64 of shape (R,), over the pairs of classes that both occur.

    Args:
        scores: Scores of shape (N, K).
        target: One true class per row, bool of shape (N, K).
        weights: Row weights of shape (N, R).
    """
    areas = []
    for first, second in combinations(np.flatnonzero(target.any(axis=0)), 2):
        rows = target[:, first] | target[:, second]
        towards_first, _ = rank_figures(scores[rows, first], target[rows, first], weights[rows])
        towards_second, _ = rank_figures(scores[rows, second], target[rows, second], weights[rows])
        areas.append((towards_first + towards_second) / 2)
    return _mean_of_defined(areas, weights.shape[1])


def _mean_of_defined(values: list[np.ndarray], width: int) -> np.ndarray:
    total, count = np.zeros(width), np.zeros(width)
    for value in values:
        defined = ~np.isnan(value)
        total += np.where(defined, value, 0.0)
        count += defined
    return np.where(count > 0, total / np.where(count > 0, count, 1.0), np.nan)


def predicted(data: Predictions, threshold: float | None) -> np.ndarray:
    """Predicted classes, bool of shape (N, K).

    Binary: the second class where its score reaches the threshold. Multilabel: every class whose score does.
    Multiclass: the class with the highest score, whatever the threshold.
    """
    if data.type == "multiclass" or threshold is None:
        chosen: np.ndarray = data.scores.argmax(axis=1)[:, None] == np.arange(data.scores.shape[1])
        return chosen
    if data.type == "binary":
        positive = data.scores[:, 1] >= threshold
        return np.stack([~positive, positive], axis=1)
    return np.asarray(data.scores >= threshold)


def f1_figures(data: Predictions, threshold: float | None, weights: np.ndarray) -> dict[str, np.ndarray]:
    """F1 over all decisions (micro; accuracy for one label per row) and its mean over the classes that occur (macro).

    Args:
        data: Predictions of N rows.
        threshold: Decision threshold of a binary or multilabel task.
        weights: Row weights of shape (N, R).

    Returns:
        `f1_micro` and `f1_macro`, float64 of shape (R,); NaN where no class occurs.
    """
    chosen = predicted(data, threshold)
    hits = (chosen & data.target).T.astype(np.float64) @ weights
    errors = (chosen ^ data.target).T.astype(np.float64) @ weights
    occurs = data.target.T.astype(np.float64) @ weights > 0
    by_class = [np.where(here, _f1(hit, error), np.nan) for hit, error, here in zip(hits, errors, occurs, strict=True)]
    micro = np.where(occurs.any(axis=0), _f1(hits.sum(axis=0), errors.sum(axis=0)), np.nan)
    return {"f1_micro": micro, "f1_macro": _mean_of_defined(by_class, weights.shape[1])}


def _f1(hits: np.ndarray, errors: np.ndarray) -> np.ndarray:
    # 2 TP / (2 TP + FP + FN); without any decision to make the quotient is 0.
    denominator = 2 * hits + errors
    return np.asarray(2 * hits / np.where(denominator > 0, denominator, 1.0))


def calibration_figures(data: Predictions, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Brier score and log-loss (natural logarithm), float64 of shape (R,); NaN where a resample is empty.

    Brier score: binary, squared error of the second class's probability; multiclass, squared errors summed over classes
    (0 to 2); multilabel, mean over rows and classes. Log-loss: of the true class; multilabel, binary cross-entropy
    averaged over rows and classes.

    Args:
        data: Predictions of N rows.
        weights: Row weights of shape (N, R).
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
    rows = weights.sum(axis=0)
    rows = np.where(rows > 0, rows, np.nan)
    return {"brier": brier @ weights / rows, "log_loss": loss @ weights / rows}


def all_figures(data: Predictions, threshold: float | None, weights: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """Every figure of `FIGURES`.

    Args:
        data: Predictions of N rows.
        threshold: Decision threshold of a binary or multilabel task.
        weights: Row weights of shape (N, R), or None for one column of ones.

    Returns:
        Figure name to float64 of shape (R,), NaN where undefined.
    """
    if weights is None:
        weights = np.ones((len(data), 1))
    return area_figures(data, weights) | f1_figures(data, threshold, weights) | calibration_figures(data, weights)


def choose_threshold(data: Predictions) -> float | None:
    """The decision threshold with the highest F1 on the given (validation) rows.

    Binary: highest macro F1. Multilabel: one threshold for all classes, highest micro F1, since many classes are too
    rare for one of their own. Among equals the highest threshold wins. It lies midway between two scores.

    Args:
        data: Predictions of the validation split.

    Returns:
        The threshold; 0.5 when no row is positive; None for a multiclass task, which takes the highest score.
    """
    if data.type == "multiclass":
        return None
    columns = slice(1, 2) if data.type == "binary" else slice(None)
    scores, positive = data.scores[:, columns].ravel().astype(np.float64), data.target[:, columns].ravel()
    if not positive.any():
        return 0.5
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
    return float(lowest[best] if best == len(ends) - 1 else (lowest[best] + lowest[best + 1]) / 2)
