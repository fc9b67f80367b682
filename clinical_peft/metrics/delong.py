"""The variance of an AUROC and of a difference of two, without resampling, for patients with several admissions.

DeLong, DeLong and Clarke-Pearson (1988, Biometrics 44:837-845) write an AUROC as a mean of what each positive and each
negative contributes, whose variances add up. Obuchowski (1997, Biometrics 53:567-578) sums the contributions of a
cluster first, and adds the covariance between positives and negatives of one cluster. Where every patient has one
admission the two agree.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np


@dataclass(frozen=True)
class Placements:
    """Contribution of each test admission to a model's AUROC on a binary task, averaged over its seeds.

    Attributes:
        values: Contributions, float64 of shape (N,).
        positive: True where the admission is positive, of shape (N,).
        patient: Key of each admission's patient, of shape (N,).
    """

    values: np.ndarray
    positive: np.ndarray
    patient: np.ndarray


@dataclass(frozen=True)
class DelongTest:
    """DeLong's test of a difference of two AUROCs, second minus first.

    Attributes:
        difference: Its estimate.
        standard_error: Its standard error.
        interval: Normal interval at the level asked for.
        p_value: Two-sided, of no difference; 1 for models that rank alike.
    """

    difference: float
    standard_error: float
    interval: tuple[float, float]
    p_value: float


def contributions(scores: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """What each row contributes to the AUROC, whose mean over the positives is the AUROC, and over the negatives too.

    Args:
        scores: Scores of shape (N,).
        positive: True where the row is positive, of shape (N,), with both values present.

    Returns:
        Of a positive the share of negatives that score lower, of a negative the share of positives that score higher,
        ties counting half; float64 of shape (N,).
    """
    found = np.empty(len(scores))
    for own in (True, False):
        mine, others = scores[positive == own], np.sort(scores[positive != own])
        below = (np.searchsorted(others, mine, "left") + np.searchsorted(others, mine, "right")) / 2
        found[positive == own] = (below if own else len(others) - below) / len(others)
    return found


def clustered_covariance(values: np.ndarray, positive: np.ndarray, cluster: np.ndarray) -> np.ndarray:
    """Covariance of the AUROCs of M models on the same rows.

    Args:
        values: Contributions of every model, of shape (M, N).
        positive: True where the row is positive, of shape (N,), with both values present.
        cluster: Cluster (patient) of each row, of shape (N,).

    Returns:
        Float64 of shape (M, M); NaN where positives or negatives come from one cluster alone.
    """
    _, place = np.unique(cluster, return_inverse=True)
    clusters = int(place.max()) + 1
    centred = values - values[:, positive].mean(axis=1, keepdims=True)
    sums, sizes, factors = [], [], []
    for side in (positive, ~positive):
        sums.append(np.stack([np.bincount(place[side], weights=row[side], minlength=clusters) for row in centred]))
        sizes.append(int(side.sum()))
        held = len(np.unique(place[side]))
        factors.append(held / (held - 1) if held > 1 else math.nan)
    above, below = sums
    mixed = above @ below.T
    both = clusters / (clusters - 1) if clusters > 1 else math.nan
    return np.asarray(
        factors[0] * (above @ above.T) / sizes[0] ** 2
        + factors[1] * (below @ below.T) / sizes[1] ** 2
        + both * (mixed + mixed.T) / (sizes[0] * sizes[1])
    )


def compare_areas(
    first: np.ndarray, second: np.ndarray, positive: np.ndarray, cluster: np.ndarray, level: float
) -> DelongTest | None:
    """Test the difference of two models' AUROCs on the same rows.

    Args:
        first: Contributions of the first model, of shape (N,); the mean over its seeds, for a mean AUROC.
        second: Contributions of the second.
        positive: True where the row is positive, of shape (N,).
        cluster: Patient of each row, of shape (N,).
        level: Coverage of the interval.

    Returns:
        The difference, or None where its variance is undefined: positives or negatives of fewer than two patients.
    """
    covariance = clustered_covariance(np.stack([first, second]), positive, cluster)
    variance = float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    if not math.isfinite(variance):
        return None
    error = math.sqrt(max(variance, 0.0))
    difference = float(second[positive].mean() - first[positive].mean())
    reach = NormalDist().inv_cdf((1 + level) / 2) * error
    return DelongTest(difference, error, (difference - reach, difference + reach), normal_p_value(difference, error))


def normal_p_value(difference: float, standard_error: float) -> float:
    """Two-sided p-value of a difference that is normal about 0; 1 for none at all."""
    if difference == 0:
        return 1.0
    return math.erfc(abs(difference) / standard_error / math.sqrt(2)) if standard_error > 0 else 0.0
