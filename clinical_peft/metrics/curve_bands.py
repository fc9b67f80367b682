"""Bootstrap bands around ROC and precision-recall curves.

A curve per resample is drawn from counts: each row's scores fall into `BINS` ranges that hold equally many of them, so
that a resample's curve is a sum over rows of its counts, one matrix product for all resamples. With no more distinct
scores than ranges the curves are exact, otherwise their corners are rounded to a range.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clinical_peft.metrics.curves import GRID, between_points, ranges_of_scores, rankings
from clinical_peft.metrics.predictions import read_classes, read_predictions
from clinical_peft.metrics.resampling import patient_weights
from clinical_peft.models.scores import Link
from clinical_peft.tasks import Task

BINS = 512


@dataclass(frozen=True)
class Bands:
    """Pointwise intervals over `GRID`, float64 of shape (2, 101): lower and upper ends.

    Attributes:
        true_positive_rate: By false-positive rate.
        precision: By recall.
    """

    true_positive_rate: np.ndarray
    precision: np.ndarray


def curve_bands(
    predictions: Sequence[Path],
    classes: Path,
    task: Task,
    *,
    resamples: int,
    seed: int,
    level: float,
    link: Link | None = None,
) -> Bands:
    """Percentile bands of a model's test curves, averaged like `clinical_peft.metrics.curves.mean_curves`.

    Whole patients are drawn, the same ones for every seed of the model, as for the intervals of its AUROC.

    Args:
        predictions: Predictions files of the seeds.
        classes: JSON list, the ordered label space.
        task: The task.
        resamples: Number of resamples R.
        seed: Seed of the study's bootstrap.
        level: Coverage at each point of the grid.
        link: As for `clinical_peft.metrics.predictions.read_predictions`.
    """
    space, kind = read_classes(classes), task.type
    rates, precisions = [], []
    for path in predictions:
        data = read_predictions(path, space, kind, link=link, patients_apart=False)["test"]
        weights = patient_weights(data.subject_id, resamples=resamples, seed=seed, source=data.source)
        weights = weights.astype(np.float64)
        for scores, positive in rankings(data):
            found = published_resamples(scores, positive, weights)
            if found is not None:
                rates.append(found[0])
                precisions.append(found[1])
    tails = [(1 - level) / 2, (1 + level) / 2]
    return Bands(
        true_positive_rate=np.nanquantile(np.mean(rates, axis=0), tails, axis=0),
        precision=np.nanquantile(np.mean(precisions, axis=0), tails, axis=0),
    )


def published_resamples(
    scores: np.ndarray, positive: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray] | None:
    """The same curves as `resampled_curves`, between the points that `published_curves` shows; None without any.

    Arguments as for `resampled_curves`.
    """
    places = ranges_of_scores(scores, positive)
    if not len(places):
        return None
    places = places.reshape(scores.shape)
    hits, misses = (_cumulated(places, kind, weights) for kind in (positive, ~positive))
    rate, precision = np.full((2, weights.shape[1], len(GRID)), np.nan)
    for resample in range(weights.shape[1]):
        if hits[resample, -1] > 0 and misses[resample, -1] > 0:
            rate[resample], precision[resample] = between_points(hits[resample], misses[resample])
    return rate, precision


def resampled_curves(scores: np.ndarray, positive: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """True-positive rate by false-positive rate and precision by recall, in every resample.

    Args:
        scores: Scores, or log-odds, of shape (N, M), all ranked together.
        positive: True where positive, of shape (N, M).
        weights: Row weights of shape (N, R).

    Returns:
        Both over `GRID`, float64 of shape (R, 101); NaN in a resample without a positive or without a negative.
    """
    bins = _bins(scores)
    hits = _cumulated(bins, positive, weights)
    misses = _cumulated(bins, ~positive, weights)
    rate, precision = np.full((2, weights.shape[1], len(GRID)), np.nan)
    for resample in range(weights.shape[1]):
        found, false_alarms = hits[resample], misses[resample]
        if found[-1] == 0 or false_alarms[-1] == 0:
            continue
        recall = found / found[-1]
        rate[resample] = np.interp(GRID, np.append(0, false_alarms / false_alarms[-1]), np.append(0, recall))
        reached = np.searchsorted(recall, GRID, side="left")
        # A resample may draw no row of the highest ranges: its curve starts at the first that it holds.
        reached = np.maximum(reached, np.argmax(found + false_alarms > 0))
        precision[resample] = found[reached] / (found + false_alarms)[reached]
    return rate, precision


def _bins(scores: np.ndarray) -> np.ndarray:
    """Range of each score, 0 for the highest."""
    values, place = np.unique(-scores, return_inverse=True)
    if len(values) > BINS:
        borders = np.unique(np.quantile(-scores, np.linspace(0, 1, BINS + 1)[1:-1]))
        return np.searchsorted(borders, -scores, side="left")
    return np.asarray(place).reshape(scores.shape)


def _cumulated(bins: np.ndarray, counted: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted number of counted pairs in each range and all higher ones, float64 of shape (R, ranges)."""
    ranges, rows = int(bins.max()) + 1, len(bins)
    cells = (np.arange(rows)[:, None] * ranges + bins)[counted]
    counts = np.bincount(cells, minlength=rows * ranges).reshape(rows, ranges).astype(np.float64)
    return np.asarray((weights.T @ counts).cumsum(axis=1))
