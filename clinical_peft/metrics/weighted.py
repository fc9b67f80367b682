"""Predictions under row weights, and what several metrics of them share."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from clinical_peft.metrics.areas import Areas, class_areas, scored_classes
from clinical_peft.metrics.cutoffs import decide
from clinical_peft.metrics.predictions import Predictions
from clinical_peft.metrics.weighting import Weighting
from clinical_peft.tasks import TaskType


@dataclass(frozen=True)
class Decisions:
    """Decisions counted by class, float64 of shape (K, R) each, `occurs` bool.

    Attributes:
        hits: Rows of the class that were predicted as such.
        errors: Rows that were predicted as the class without being of it, or the reverse.
        occurs: Whether the class has rows.
    """

    hits: np.ndarray
    errors: np.ndarray
    occurs: np.ndarray


@dataclass(frozen=True)
class WeightedPredictions:
    """N rows of predictions, each weighted in every one of R resamples; what a metric is computed from.

    Attributes:
        data: The predictions.
        weighting: Row weights.
        cutoff: Decision threshold of a binary or multilabel task, in log-odds; None to predict the highest score.
        bands: By name, the labels of each band of training frequency, bool of shape (K,); None if they are unknown.
    """

    data: Predictions
    weighting: Weighting
    cutoff: float | None = None
    bands: Mapping[str, np.ndarray] | None = None

    @property
    def type(self) -> TaskType:
        """Type of the task."""
        return self.data.type

    @cached_property
    def columns(self) -> np.ndarray:
        """Classes whose areas are averaged: of a binary task the second, otherwise those with both labels present."""
        return np.array([1]) if self.type == "binary" else np.flatnonzero(scored_classes(self.data.target))

    @cached_property
    def areas(self) -> Areas:
        """`auroc` and `auprc` of each of `columns` against the rest, float64 of shape (C, R)."""
        return class_areas(self.data, self.weighting, self.columns)

    @cached_property
    def pooled_areas(self) -> Areas:
        """`auroc` and `auprc` of all pairs of row and class ranked together, float64 of shape (R,)."""
        rows = np.repeat(np.arange(len(self.data)), len(self.columns))
        scores, target = self.data.log_odds[:, self.columns], self.data.target[:, self.columns]
        return dict(zip(("auroc", "auprc"), self.weighting.rank(scores.ravel(), target.ravel(), rows), strict=True))

    @cached_property
    def positives(self) -> np.ndarray:
        """Positive rows of each of `columns`, float64 of shape (C, R)."""
        return self.weighting.count(self.data.target[:, self.columns].T)

    @cached_property
    def chosen(self) -> np.ndarray:
        """Classes that are predicted at the cutoff, bool of shape (N, K)."""
        return decide(self.data, self.cutoff)

    @cached_property
    def decisions(self) -> Decisions:
        """Decisions at the cutoff, by class."""
        chosen, target = self.chosen, self.data.target
        return Decisions(
            hits=self.weighting.count((chosen & target).T),
            errors=self.weighting.count((chosen ^ target).T),
            occurs=self.weighting.count(target.T) > 0,
        )
