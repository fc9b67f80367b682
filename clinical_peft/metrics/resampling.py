"""Bootstrap and jackknife clustered by patient, their intervals, and paired differences.

Admissions of one patient resemble each other, so whole patients are drawn. How often a patient enters a resample is
a Poisson(1) count from a generator keyed by (seed, patient): the Poisson bootstrap, which agrees with drawing a fixed
number of patients as their number grows (Hanley and MacGibbon 2006, Comput Methods Programs Biomed 83:57-62). Since a
patient's counts depend on nothing else, the resamples of any two models, seeds or tasks of a study are paired without
a common job.

The same holds for the jackknife, which leaves out one of `GROUPS` groups of patients at a time: a patient's group is a
hash of the patient. It gives the acceleration of BCa intervals (Efron 1987, J Am Stat Assoc 82:171-185).

A resample can leave a metric undefined (NaN or infinite): it draws no positive, or its scores separate the outcomes. It
says nothing of where the metric lies, so it is left out and counted. Where fewer than `LEAST_DEFINED` of the resamples
are left, there is no interval and no p-value: they would describe which resamples are defined, not the metric.
"""

import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Any

import numpy as np

from clinical_peft.data.patients import patient_keys
from clinical_peft.metrics.areas import weigh
from clinical_peft.metrics.comparison_records import PatientDifference
from clinical_peft.metrics.metric import Metric
from clinical_peft.metrics.predictions import Predictions
from clinical_peft.metrics.records import Ends
from clinical_peft.metrics.registry import compute_metrics

# Weights held in memory at a time: 64 MiB in the widest form.
CHUNK = 8_388_608
GROUPS = 200
LEAST_DEFINED = 0.5
_NORMAL = NormalDist()


def patient_weights(subject_id: np.ndarray, *, resamples: int, seed: int, source: str | None = None) -> np.ndarray:
    """Counts of each row in each resample.

    Args:
        subject_id: Patient of each row, of shape (N,): non-negative int64, or any id of an own table.
        resamples: Number of resamples R.
        seed: Seed of the study's bootstrap.
        source: The own table that the patients stand in; None for MIMIC.

    Returns:
        Counts, uint8 of shape (N, R); rows of one patient have the same counts.

    Raises:
        DataError: A patient id is negative.
    """
    patients, row = np.unique(patient_keys(subject_id, source), return_inverse=True)
    counts = np.empty((len(patients), resamples), dtype=np.uint8)
    for index, patient in enumerate(patients):
        counts[index] = _generator(seed, patient).poisson(1.0, resamples)
    return np.asarray(counts[row])


def leave_out_weights(subject_id: np.ndarray, *, seed: int, source: str | None = None) -> np.ndarray:
    """Weights that leave out one group of patients at a time.

    Args:
        subject_id: As for `patient_weights`.
        seed: Seed of the study's bootstrap.
        source: As for `patient_weights`.

    Returns:
        Zeros and ones, uint8 of shape (N, `GROUPS`).

    Raises:
        DataError: A patient id is negative.
    """
    patients, row = np.unique(patient_keys(subject_id, source), return_inverse=True)
    group = np.array([_generator(seed + 1, patient).integers(GROUPS) for patient in patients], dtype=np.int64)
    return np.asarray(group[row][:, None] != np.arange(GROUPS)).astype(np.uint8)


def _generator(seed: int, patient: np.uint64) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=np.array([seed, patient], dtype=np.uint64)))


def replicate(
    metrics: Sequence[Metric],
    data: Predictions,
    weights: np.ndarray,
    *,
    cutoff: float | None = None,
    bands: Mapping[str, np.ndarray] | None = None,
) -> dict[str, np.ndarray]:
    """Compute metrics under every column of weights, some columns at a time.

    Args:
        metrics: As for `clinical_peft.metrics.registry.compute_metrics`, like the other arguments.
        data: Predictions of N rows.
        weights: Row weights of shape (N, R).
        cutoff: Decision threshold.
        bands: Labels of each band of training frequency.

    Returns:
        By name, float64 of shape (R,), NaN where a column leaves the metric undefined.
    """
    width = max(1, CHUNK // max(1, len(data)))
    starts = range(0, weights.shape[1], width)
    weightings = [weigh(data, weights[:, start : start + width]) for start in starts]
    parts = [compute_metrics(metrics, data, weighting, cutoff=cutoff, bands=bands) for weighting in weightings]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def defined_replicates(replicates: np.ndarray) -> np.ndarray | None:
    """The replicates that are finite, or None where they are too few to stand for all.

    Args:
        replicates: Values of shape (R,), not finite where undefined.
    """
    defined = replicates[np.isfinite(replicates)]
    return defined if len(defined) and len(defined) >= LEAST_DEFINED * len(replicates) else None


def percentile_interval(replicates: np.ndarray, level: float) -> Ends:
    """Central percentile interval of the defined replicates.

    Args:
        replicates: Values of shape (R,), not finite where undefined.
        level: Coverage, between 0 and 1.

    Returns:
        Lower and upper end, finite; None when too few replicates are defined.
    """
    defined = defined_replicates(replicates)
    if defined is None:
        return None
    tail = (1 - level) / 2
    low, high = np.quantile(defined, [tail, 1 - tail])
    return float(low), float(high)


def bca_interval(estimate: float, replicates: np.ndarray, left_out: np.ndarray, level: float) -> Ends:
    """Bias-corrected and accelerated interval (Efron 1987), of the defined replicates.

    The acceleration comes from the jackknife over groups of patients: influences add up over a group, so that the
    ratio of their third moment to their second is estimated without leaving out every patient singly.

    Args:
        estimate: The metric on the data.
        replicates: Its bootstrap, of shape (R,), not finite where undefined.
        left_out: Its jackknife, of shape (G,).
        level: Coverage, between 0 and 1.

    Returns:
        Lower and upper end; None when too few replicates are defined, all lie on one side of the estimate, or a group's
        absence leaves the metric undefined.
    """
    defined = defined_replicates(replicates)
    if defined is None or not np.isfinite(left_out).all() or not np.isfinite(estimate):
        return None
    if (defined == estimate).all():
        return float(estimate), float(estimate)
    below = ((defined < estimate).mean() + (defined <= estimate).mean()) / 2
    if not 0 < below < 1:
        return None
    influence = estimate - left_out
    spread = float((influence**2).sum())
    acceleration = float((influence**3).sum()) / (6 * spread**1.5) if spread > 0 else 0.0
    bias = _NORMAL.inv_cdf(float(below))
    tails = []
    for probability in ((1 - level) / 2, (1 + level) / 2):
        shifted = bias + _NORMAL.inv_cdf(probability)
        if acceleration * shifted >= 1:
            return None
        tails.append(_NORMAL.cdf(bias + shifted / (1 - acceleration * shifted)))
    low, high = np.quantile(defined, tails)
    return float(low), float(high)


def undefined(replicates: np.ndarray) -> int:
    """Number of resamples that leave a metric undefined."""
    return int((~np.isfinite(replicates)).sum())


def paired_difference(
    estimates: tuple[float, float], replicates: tuple[np.ndarray, np.ndarray], level: float
) -> PatientDifference:
    """Difference, second minus first, of two metrics whose resamples are paired.

    Args:
        estimates: The two metrics on the data.
        replicates: Their bootstrap replicates, each of shape (R,), from the same resamples.
        level: Coverage of the interval.

    Returns:
        The difference; except for `undefined`, None where it is undefined.
    """
    with np.errstate(invalid="ignore"):
        difference = replicates[1] - replicates[0]
    estimate, left_out = estimates[1] - estimates[0], undefined(difference)
    if not math.isfinite(estimate):
        return PatientDifference(undefined=left_out)
    defined, p_value = defined_replicates(difference), None
    if defined is not None:
        sides = min((defined <= 0).sum(), (defined >= 0).sum())
        p_value = min(1.0, 2 * (int(sides) + 1) / (len(defined) + 1))
    interval = percentile_interval(difference, level)
    return PatientDifference(difference=estimate, interval=interval, undefined=left_out, p_value=p_value)


def holm(p_values: Mapping[Any, float | None]) -> dict[Any, float]:
    """Holm's step-down adjustment of a family of p-values, by key (Holm 1979, Scand J Stat 6:65-70).

    Args:
        p_values: The family; what is None or NaN was not tested, and is no part of it.

    Returns:
        Adjusted p-values of those that were tested.
    """
    tested = {key: value for key, value in p_values.items() if value is not None and math.isfinite(value)}
    adjusted: dict[Any, float] = {}
    running = 0.0
    for rank, (key, value) in enumerate(sorted(tested.items(), key=lambda item: item[1])):
        running = max(running, min(1.0, value * (len(tested) - rank)))
        adjusted[key] = running
    return adjusted
