"""Percentile bootstrap clustered by patient, and paired differences.

Admissions of one patient resemble each other, so whole patients are drawn. How often a patient enters a resample is
a Poisson(1) count from a generator keyed by (seed, patient): the Poisson bootstrap, which agrees with drawing a fixed
number of patients as their number grows (Hanley and MacGibbon 2006, Comput Methods Programs Biomed 83:57-62). Since a
patient's counts depend on nothing else, the resamples of any two models, seeds or tasks of a study are paired without
a common job.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from clinical_peft.errors import DataError
from clinical_peft.evaluation.metrics import FIGURES, all_figures
from clinical_peft.evaluation.predictions import Predictions

# Weights held in memory at a time: 64 MiB.
CHUNK = 8_388_608


def patient_weights(subject_id: np.ndarray, *, resamples: int, seed: int) -> np.ndarray:
    """How often each row enters each resample.

    Args:
        subject_id: Patient of each row, non-negative int64 of shape (N,).
        resamples: Number of resamples R.
        seed: Seed of the study's bootstrap.

    Returns:
        Counts, float64 of shape (N, R); rows of one patient have the same counts.

    Raises:
        DataError: A patient id is negative.
    """
    patients, row = np.unique(subject_id, return_inverse=True)
    if len(patients) and patients[0] < 0:
        raise DataError("expected non-negative subject_id, found a negative one")
    counts = np.empty((len(patients), resamples), dtype=np.uint8)
    for index, patient in enumerate(patients):
        key = np.array([seed, patient], dtype=np.uint64)
        counts[index] = np.random.Generator(np.random.Philox(key=key)).poisson(1.0, resamples)
    return counts[row].astype(np.float64)


def bootstrap(data: Predictions, threshold: float | None, *, resamples: int, seed: int) -> dict[str, np.ndarray]:
    """Every figure in every resample.

    Args:
        data: Predictions of N rows.
        threshold: Decision threshold of a binary or multilabel task.
        resamples: Number of resamples R.
        seed: Seed of the study's bootstrap.

    Returns:
        Figure name to float64 of shape (R,), NaN where a resample leaves the figure undefined.
    """
    weights = patient_weights(data.subject_id, resamples=resamples, seed=seed)
    width = max(1, CHUNK // max(1, len(data)))
    parts = [all_figures(data, threshold, weights[:, start : start + width]) for start in range(0, resamples, width)]
    return {figure: np.concatenate([part[figure] for part in parts]) for figure in FIGURES}


def percentile_interval(replicates: np.ndarray, level: float) -> list[float] | None:
    """Central percentile interval of the defined replicates.

    Args:
        replicates: Values of shape (R,), NaN where undefined.
        level: Coverage, between 0 and 1.

    Returns:
        Lower and upper end, or None when no replicate is defined.
    """
    defined = replicates[~np.isnan(replicates)]
    if len(defined) == 0:
        return None
    tail = (1 - level) / 2
    low, high = np.quantile(defined, [tail, 1 - tail])
    return [float(low), float(high)]


def undefined(replicates: np.ndarray) -> int:
    """Number of resamples that leave a figure undefined."""
    return int(np.isnan(replicates).sum())


def paired_difference(
    estimates: tuple[float, float], replicates: tuple[np.ndarray, np.ndarray], level: float
) -> dict[str, Any]:
    """Difference, second minus first, of two figures whose resamples are paired.

    Args:
        estimates: The two figures on the data.
        replicates: Their bootstrap replicates, each of shape (R,), from the same resamples.
        level: Coverage of the interval.

    Returns:
        `difference`, `interval`, `undefined` (resamples left out) and `p_value`: two-sided, twice the smaller share of
        resamples on either side of zero, which cannot be below 2 / (R + 1).
    """
    difference = replicates[1] - replicates[0]
    defined = difference[~np.isnan(difference)]
    sides = min((defined <= 0).sum(), (defined >= 0).sum())
    return {
        "difference": estimates[1] - estimates[0],
        "interval": percentile_interval(difference, level),
        "undefined": undefined(difference),
        "p_value": min(1.0, 2 * (int(sides) + 1) / (len(defined) + 1)),
    }


def holm(p_values: Mapping[Any, float]) -> dict[Any, float]:
    """Holm's step-down adjustment of a family of p-values, by key (Holm 1979, Scand J Stat 6:65-70)."""
    adjusted: dict[Any, float] = {}
    running = 0.0
    for rank, (key, value) in enumerate(sorted(p_values.items(), key=lambda item: item[1])):
        running = max(running, min(1.0, value * (len(p_values) - rank)))
        adjusted[key] = running
    return adjusted
