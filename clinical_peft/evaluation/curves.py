"""ROC and precision-recall curves on a common grid, so that seeds and classes can be averaged."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clinical_peft.evaluation.areas import scored_classes
from clinical_peft.evaluation.predictions import Predictions, read_classes, read_predictions
from clinical_peft.recipes import TASK_TYPES

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
        scores: Scores of shape (N,).
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


def mean_curves(predictions: Sequence[Path], classes: Path, task: str) -> Curves:
    """A model's test curves, averaged over seeds (and, for a multiclass task, over classes).

    Args:
        predictions: Predictions files of the seeds.
        classes: JSON list, the ordered label space.
        task: Name of the task.
    """
    space, kind = read_classes(classes), TASK_TYPES[task]
    curves = [
        curve
        for path in predictions
        for curve in _curves(read_predictions(path, space, kind, patients_apart=False)["test"])
    ]
    return Curves(
        true_positive_rate=np.mean([curve.true_positive_rate for curve in curves], axis=0),
        precision=np.mean([curve.precision for curve in curves], axis=0),
        prevalence=float(np.mean([curve.prevalence for curve in curves])),
    )


def _curves(data: Predictions) -> list[Curves]:
    scored = np.flatnonzero(scored_classes(data.target))
    if data.type == "multilabel":
        return [ranking_curves(data.scores[:, scored].ravel(), data.target[:, scored].ravel())]
    columns = scored if data.type == "multiclass" else scored[-1:]
    return [ranking_curves(data.scores[:, column], data.target[:, column]) for column in columns]
