"""Decisions on predictions: thresholds chosen on validation, and fixed ones."""

import numpy as np

from clinical_peft.metrics.predictions import Predictions
from clinical_peft.models.decisions import DecideBy, best_cutoff, predicted


def decide(data: Predictions, cutoff: float | None) -> np.ndarray:
    """Predicted classes at a threshold in log-odds, bool of shape (N, K); see `clinical_peft.models.decisions`."""
    return predicted(data.log_odds, data.type, cutoff)


def choose_cutoff(data: Predictions, by: DecideBy = "f1") -> float | None:
    """The best decision threshold on a validation split; see `clinical_peft.models.decisions.best_cutoff`."""
    return best_cutoff(data.log_odds, data.target, data.type, by=by)


def log_odds_of(probability: float) -> float:
    """Log-odds of a probability; infinite for 0 and 1."""
    with np.errstate(divide="ignore"):
        return float(np.log(probability) - np.log1p(-probability))
