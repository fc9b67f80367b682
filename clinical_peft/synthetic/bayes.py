"""AUROC that a reader who knew the latent state, and nothing of the outcome, would reach."""

import math
from collections.abc import Sequence
from itertools import pairwise, permutations

import numpy as np
from numpy.typing import NDArray

from clinical_peft.synthetic.codes import CodedAdmission, ventilation_exceeds
from clinical_peft.synthetic.patients import (
    DAY,
    LOS_MEDIAN_LOG_DAYS,
    LOS_NOISE,
    LOS_SLOPE,
    VENTILATION_TO_DISCHARGE,
    Admission,
)

LOS_BOUNDS_DAYS = (3.0, 7.0, 14.0)
COHORT_DAYS, PROLONGED_DAYS = 1.75, 6.75


def expected_auroc(scores: Sequence[float], positive: Sequence[float], negative: Sequence[float]) -> float:
    """Return the expected AUROC of scores whose labels are random.

    Args:
        scores: Score of each case.
        positive: Probability that the case is positive.
        negative: Probability that it is negative (the two need not add up to 1: a third class is ignored).

    Returns:
        Weighted share of pairs ranked correctly, ties counting half; NaN without positive or negative weight.
    """
    order = np.argsort(np.asarray(scores, dtype=np.float64), kind="stable")
    values = np.asarray(scores, dtype=np.float64)[order]
    above: NDArray[np.float64] = np.asarray(positive, dtype=np.float64)[order]
    below: NDArray[np.float64] = np.asarray(negative, dtype=np.float64)[order]
    starts = np.flatnonzero(np.concatenate(([True], values[1:] != values[:-1])))
    positives, negatives = np.add.reduceat(above, starts), np.add.reduceat(below, starts)
    won = float(np.sum(positives * (np.cumsum(negatives) - 0.5 * negatives)))
    # A case is not paired with itself.
    itself = 0.5 * float(np.sum(above * below))
    pairs = float(above.sum() * below.sum()) - 2 * itself
    return (won - itself) / pairs if pairs > 0 else math.nan


def los_bin_probabilities(admission: Admission) -> tuple[float, ...]:
    """Return the probability of each length-of-stay bin of a survivor, given the latent state."""
    mean = LOS_MEDIAN_LOG_DAYS + LOS_SLOPE * admission.severity
    below = []
    for bound in LOS_BOUNDS_DAYS:
        share = 0.5 * math.erfc((mean - math.log(bound)) / (LOS_NOISE * math.sqrt(2)))
        if admission.ventilated:
            # Ventilation starts some hours into the stay and ends a day before its end.
            latest = bound - (VENTILATION_TO_DISCHARGE / DAY + 0.25)
            share *= 1 - ventilation_exceeds(admission, latest)
        below.append(share)
    edges = [0.0, *below, 1.0]
    return tuple(upper - lower for lower, upper in pairwise(edges))


def bayes_auroc(admissions: Sequence[Admission], coded: Sequence[CodedAdmission]) -> dict[str, float]:
    """Return the expected AUROC per task over these admissions.

    Length of stay is macro one-versus-one, diagnoses and procedures the mean over the groups that a latent state
    makes likely; codes of the tail, which no note announces, are not counted.
    """
    death = [admission.death_probability for admission in admissions]
    eligible = [item for item in admissions if item.ventilation_days >= COHORT_DAYS]
    prolonged = [ventilation_exceeds(i, PROLONGED_DAYS) / ventilation_exceeds(i, COHORT_DAYS) for i in eligible]
    survivors = [los_bin_probabilities(admission) for admission in admissions if not admission.died]
    bins = range(len(LOS_BOUNDS_DAYS) + 1)
    los = [
        expected_auroc([p[one] for p in survivors], [p[one] for p in survivors], [p[other] for p in survivors])
        for one, other in permutations(bins, 2)
    ]
    return {
        "mortality": round(expected_auroc(death, death, [1 - p for p in death]), 4),
        "pmv": round(expected_auroc(prolonged, prolonged, [1 - p for p in prolonged]), 4),
        "los": round(sum(los) / len(los), 4),
        "diagnoses": round(_mean_group_auroc([item.diagnosis_probability for item in coded]), 4),
        "procedures": round(_mean_group_auroc([item.procedure_probability for item in coded]), 4),
        "control": 0.5,
    }


def _mean_group_auroc(probabilities: Sequence[dict[str, float]]) -> float:
    groups = sorted({group for admission in probabilities for group in admission})
    aurocs = []
    for group in groups:
        chances = [admission.get(group, 0.0) for admission in probabilities]
        auroc = expected_auroc(chances, chances, [1 - chance for chance in chances])
        if not math.isnan(auroc):
            aurocs.append(auroc)
    return sum(aurocs) / len(aurocs)
