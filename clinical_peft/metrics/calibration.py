"""Pairs of score and outcome, their log-loss, expected calibration error and reliability bins.

Expected calibration error: mean distance between the mean score and the observed share over `BINS` bins that hold
equally many scores, weighted by size; of a multiclass task, of the predicted class (Guo et al. 2017, ICML).
"""

from dataclasses import dataclass

import numpy as np

from clinical_peft.disclosure.counts import merged_ranges
from clinical_peft.disclosure.cuts import Cuts, rows_above
from clinical_peft.metrics.predictions import Predictions
from clinical_peft.metrics.weighting import Weighting
from clinical_peft.models.scores import log_sigmoid

BINS = 10


@dataclass(frozen=True)
class Pairs:
    """Scores and what came of them.

    Attributes:
        scores: Probabilities, float64 of shape (N, M).
        log_odds: Their log-odds, float64 of shape (N, M).
        target: Outcomes, bool of shape (N, M).
    """

    scores: np.ndarray
    log_odds: np.ndarray
    target: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Bin:
    """A bin of a reliability diagram.

    Attributes:
        pairs: Number of scores.
        low: Lowest score.
        high: Highest score.
        mean_score: Mean score.
        observed: Share of outcomes.
        observed_replicates: That share in every resample, float64 of shape (R,).
    """

    pairs: int
    low: float
    high: float
    mean_score: float
    observed: float
    observed_replicates: np.ndarray


def score_pairs(data: Predictions) -> Pairs:
    """Pairs to fit slope and intercept on: the second class of a binary task, otherwise every row and class."""
    columns = slice(1, 2) if data.type == "binary" else slice(None)
    return Pairs(data.scores[:, columns], data.log_odds[:, columns], data.target[:, columns])


def binned_pairs(data: Predictions) -> Pairs:
    """What calibration error and reliability bins are of: as `score_pairs`, of a multiclass task the highest score."""
    if data.type != "multiclass":
        return score_pairs(data)
    chosen = data.log_odds.argmax(axis=1)[:, None]
    return Pairs(*(np.take_along_axis(part, chosen, axis=1) for part in (data.scores, data.log_odds, data.target)))


def log_losses(data: Predictions) -> np.ndarray:
    """Log-loss of each row, float64 of shape (N,): of the true class; multilabel, the mean over labels."""
    if data.type == "multilabel":
        return np.asarray(-log_sigmoid(np.where(data.target, data.log_odds, -data.log_odds)).mean(axis=1))
    return -log_sigmoid(data.log_odds[data.target])


def _bin_of(log_odds: np.ndarray) -> np.ndarray:
    """Bin of each score, from 0 to `BINS` - 1; borders are quantiles, so that bins hold equally many without ties."""
    borders = np.quantile(log_odds, np.linspace(0, 1, BINS + 1)[1:-1])
    return np.searchsorted(borders, log_odds)


def _by_bin(values: np.ndarray, bins: np.ndarray) -> np.ndarray:
    """Sums of values of shape (N, M) over the pairs of each row in each bin, float64 of shape (BINS, N)."""
    rows = np.repeat(np.arange(len(values)), values.shape[1])
    flat = np.bincount(bins.ravel() * len(values) + rows, weights=values.ravel(), minlength=BINS * len(values))
    return flat.reshape(BINS, len(values))


def calibration_error(pairs: Pairs, weighting: Weighting) -> np.ndarray:
    """Expected calibration error, float64 of shape (R,); NaN in an empty resample."""
    distance = np.abs(weighting.sum(_by_bin(pairs.scores - pairs.target, _bin_of(pairs.log_odds)))).sum(axis=0)
    number = weighting.total * pairs.scores.shape[1]
    return np.asarray(distance / np.where(number > 0, number, np.nan))


def reliability_bins(
    data: Predictions, weighting: Weighting, *, joined: bool = False, cuts: Cuts | None = None
) -> list[Bin]:
    """What a reliability diagram shows.

    Args:
        data: Predictions of N rows.
        weighting: Row weights of R resamples.
        joined: Join neighbours until a bin has enough outcomes and enough pairs without one to be published; there is
            no bin where all of them have too few.
        cuts: Cuts of the ranking that are published already, of a binary task whose bins are joined.

    Returns:
        Bins that are not empty, by rising score.
    """
    pairs = binned_pairs(data)
    bins = _bin_of(pairs.log_odds)
    if joined:
        merged = merged_ranges(*(np.bincount(bins[kind], minlength=BINS) for kind in (pairs.target, ~pairs.target)))
        if not len(merged):
            return []
        bins = merged[bins]
        if cuts is not None:
            above = bins[:, 0] > np.arange(merged[-1])[:, None]
            kept = cuts.publish(rows_above(above, pairs.target[:, 0]))
            bins = np.concatenate([[0], np.cumsum(kept)])[bins]
    found = weighting.sum(_by_bin(pairs.target.astype(np.float64), bins))
    number = weighting.sum(_by_bin(np.ones_like(pairs.scores), bins))
    with np.errstate(invalid="ignore"):
        replicates = found / np.where(number > 0, number, np.nan)
    described = []
    for index in range(BINS):
        inside = bins == index
        if inside.any():
            scores = pairs.scores[inside]
            described.append(
                Bin(
                    pairs=int(inside.sum()),
                    low=float(scores.min()),
                    high=float(scores.max()),
                    mean_score=float(scores.mean()),
                    observed=float(pairs.target[inside].mean()),
                    observed_replicates=replicates[index],
                )
            )
    return described
