"""ROC and precision-recall curves on a common grid, so that seeds and classes can be averaged.

A figure shows them between points that lie at least `SMALLEST_CELL` positives and as many negatives apart
(`clinical_peft.disclosure.counts`): a corner per admission would say how single patients are ranked. Between two points
both counts grow evenly, which is a straight line of the ROC curve (Davis and Goadrich 2006, ICML).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clinical_peft.disclosure.counts import merged_ranges, publishable_classes
from clinical_peft.metrics.areas import scored_classes
from clinical_peft.metrics.predictions import Predictions, read_classes, read_predictions
from clinical_peft.models.scores import Link
from clinical_peft.tasks import Task

GRID = np.linspace(0, 1, 101)


@dataclass(frozen=True)
class Curves:
    """Curves over `GRID`, float64 of shape (101,) each.

    Attributes:
        true_positive_rate: By false-positive rate.
        precision: By recall.
        prevalence: Share of positives, the precision of guessing.
    """

    true_positive_rate: np.ndarray
    precision: np.ndarray
    prevalence: float


def ranking_curves(scores: np.ndarray, positive: np.ndarray) -> Curves:
    """Curves of one ranking.

    Args:
        scores: Scores, or log-odds, of shape (N,).
        positive: True where positive, of shape (N,), with both values present.
    """
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)
    hits = np.cumsum(positive[order])[ends]
    false_alarms = ends + 1 - hits
    recall = hits / hits[-1]
    reached = np.searchsorted(recall, GRID, side="left")
    return Curves(
        true_positive_rate=np.interp(GRID, np.append(0, false_alarms / false_alarms[-1]), np.append(0, recall)),
        precision=(hits / (ends + 1))[reached],
        prevalence=float(hits[-1] / len(scores)),
    )


def published_curves(scores: np.ndarray, positive: np.ndarray) -> Curves | None:
    """Curves of one ranking as they may be published; None where positives or negatives are too few for a corner.

    Args:
        scores: Scores of shape (N,).
        positive: True where positive, of shape (N,).
    """
    places = ranges_of_scores(scores, positive)
    if not len(places):
        return None
    hits, false_alarms = (
        np.cumsum(np.bincount(places[kind], minlength=places.max() + 1)) for kind in (positive, ~positive)
    )
    rate, precision = between_points(hits, false_alarms)
    return Curves(rate, precision, float(positive.mean()))


def ranges_of_scores(scores: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """The range of each score, 0 for the highest, each of enough positives and negatives; empty without two of them."""
    _, place = np.unique(-scores, return_inverse=True)
    counts = [np.bincount(place.ravel()[kind.ravel()], minlength=place.max() + 1) for kind in (positive, ~positive)]
    merged = merged_ranges(*counts)
    return merged[place] if len(merged) and merged[-1] else np.empty(0, np.int64)


def between_points(hits: np.ndarray, false_alarms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """True-positive rate by false-positive rate and precision by recall over `GRID`, float64 of shape (101,) each.

    Args:
        hits: Positives down to each point of the ranking, rising to all of them.
        false_alarms: Negatives down to it, likewise.
    """
    hits, false_alarms = np.append(0.0, hits), np.append(0.0, false_alarms)
    rate = np.interp(GRID, false_alarms / false_alarms[-1], hits / hits[-1])
    found = np.maximum(GRID * hits[-1], 1e-9)
    alarms = np.interp(found, hits, false_alarms)
    return rate, found / (found + alarms)


def mean_curves(predictions: Sequence[Path], classes: Path, task: Task, *, link: Link | None = None) -> Curves | None:
    """A model's test curves, averaged over seeds (and, for a multiclass task, over classes); None for too few rows.

    Args:
        predictions: Predictions files of the seeds.
        classes: JSON list, the ordered label space.
        task: The task.
        link: As for `clinical_peft.metrics.predictions.read_predictions`.
    """
    space, kind = read_classes(classes), task.type
    curves = [
        curve
        for path in predictions
        for curve in _curves(read_predictions(path, space, kind, link=link, patients_apart=False)["test"])
    ]
    if not curves:
        return None
    return Curves(
        true_positive_rate=np.mean([curve.true_positive_rate for curve in curves], axis=0),
        precision=np.mean([curve.precision for curve in curves], axis=0),
        prevalence=float(np.mean([curve.prevalence for curve in curves])),
    )


def _curves(data: Predictions) -> list[Curves]:
    found = (published_curves(scores.ravel(), positive.ravel()) for scores, positive in rankings(data))
    return [curve for curve in found if curve is not None]


def rankings(data: Predictions) -> list[tuple[np.ndarray, np.ndarray]]:
    """Log-odds and positives, of shape (N, M), of every ranking that a task's curve averages."""
    if data.type == "multilabel":
        scored = np.flatnonzero(scored_classes(data.target))
        return [(data.log_odds[:, scored], data.target[:, scored])] if len(scored) else []
    fine = np.flatnonzero(publishable_classes(data.target, exclusive=True))
    columns = fine if data.type == "multiclass" else fine[-1:]
    return [(data.log_odds[:, [column]], data.target[:, [column]]) for column in columns]
