"""BCa intervals, seeds as a source of variance, and how often intervals hold the truth."""

import math

import numpy as np
import pytest

from clinical_peft.metrics.areas import mean_of_defined, ranked_areas
from clinical_peft.metrics.comparisons import Total, pooled_seed_variance
from clinical_peft.metrics.delong import compare_areas, contributions
from clinical_peft.metrics.resampling import (
    GROUPS,
    bca_interval,
    leave_out_weights,
    patient_weights,
    percentile_interval,
)
from clinical_peft.metrics.weighting import Weighting

SIGNALS = (1.0, 1.0, 1.3)  # of three models
PER_PATIENT = 0.6  # standard deviation that a patient's admissions share


def area(signal):
    """The true AUROC of a signal."""
    return 0.5 * (1 + math.erf(signal / math.sqrt(2 * (1 + PER_PATIENT**2)) / math.sqrt(2)))


def weightings(patient, resamples):
    """Every row once, the resamples, and the jackknife."""
    weights = (
        np.ones((len(patient), 1), np.uint8),
        patient_weights(patient, resamples=resamples, seed=0),
        leave_out_weights(patient, seed=0),
    )
    return [Weighting(counts, compiled=True) for counts in weights]


def intervals(name, value, replicates, without):
    """Percentile and BCa interval of a figure."""
    return {
        name: percentile_interval(replicates, 0.95),
        f"{name}_bca": bca_interval(float(value[0]), replicates, without, 0.95),
    }


def clustered_scores(generator, patients=150, trial=0):
    """Scores of the three models on patients of one to three admissions each."""
    patient = np.repeat(np.arange(patients), generator.integers(1, 4, patients))
    positive = generator.random(len(patient)) < 0.4
    of_patient = generator.normal(scale=PER_PATIENT, size=patients)[patient]
    scores = [signal * positive + of_patient + generator.normal(size=len(patient)) for signal in SIGNALS]
    return scores, positive, patient + 100_000 * trial


def coverage(trials, resamples):
    """Share of trials in which 95 % intervals hold the truth: of an AUROC, of a difference of 0, and of another."""
    generator = np.random.default_rng(0)
    held = dict.fromkeys(("auroc", "auroc_bca", "equal", "equal_bca", "equal_delong"), 0)
    held |= dict.fromkeys(("unequal", "unequal_bca", "unequal_delong"), 0)
    for trial in range(trials):
        scores, positive, patient = clustered_scores(generator, trial=trial)
        drawn = weightings(patient, resamples)
        first, *others = ([weighting.rank(score, positive)[0] for weighting in drawn] for score in scores)
        found = intervals("auroc", *first)
        placed = [contributions(score, positive) for score in scores]
        for name, other, place in zip(("equal", "unequal"), others, (1, 2), strict=True):
            found |= intervals(name, *(two - one for one, two in zip(first, other, strict=True)))
            found[f"{name}_delong"] = compare_areas(placed[0], placed[place], positive, patient, 0.95).interval
        truths = {"auroc": area(SIGNALS[0]), "equal": 0.0, "unequal": area(SIGNALS[2]) - area(SIGNALS[0])}
        for name, (low, high) in found.items():
            held[name] += low <= truths[name.partition("_")[0]] <= high
    return {name: count / trials for name, count in held.items()}


def macro_coverage(trials, resamples, rates, signals):
    """The same of the macro average over labels with these rates and signals, and of a model that has 0.3 more of each.

    Half of a patient's admissions have the patient's labels, the others their own. The truth is that of the labels
    that a trial scores.
    """
    generator = np.random.default_rng(0)
    held = dict.fromkeys(("macro", "macro_bca", "macro_student", "unequal", "unequal_bca"), 0)
    for trial in range(trials):
        patient = np.repeat(np.arange(150), generator.integers(1, 4, 150))
        shape = (len(patient), len(rates))
        of_patient = (generator.random((150, len(rates))) < rates)[patient]
        positive = np.where(generator.random(shape) < 0.5, of_patient, generator.random(shape) < rates)
        level = generator.normal(scale=PER_PATIENT, size=(150, 1))[patient]
        drawn = weightings(patient + 100_000 * trial, resamples)
        columns = np.flatnonzero(positive.any(axis=0) & ~positive.all(axis=0))
        means, truth = [], []
        for of_model in (signals, signals + 0.3):
            scores = of_model * positive + level + generator.normal(size=shape)
            ranked = [[one.rank(scores[:, k], positive[:, k])[0] for k in columns] for one in drawn]
            means.append([mean_of_defined(np.array(areas)) for areas in ranked])
            truth.append(np.mean([area(of_model[k]) for k in columns]))
        found = intervals("macro", *means[0])
        found["macro_student"] = Total.of(means[0][1]).interval(float(means[0][0][0]), 0.95)
        found |= intervals("unequal", *(two - one for one, two in zip(*means, strict=True)))
        truths = {"macro": truth[0], "unequal": truth[1] - truth[0]}
        for name, (low, high) in found.items():
            held[name] += low <= truths[name.partition("_")[0]] <= high
    return {name: count / trials for name, count in held.items()}


def test_intervals_hold_the_truth_in_most_of_some_trials():
    shares = coverage(250, 200)
    assert all(0.9 <= share <= 0.99 for share in shares.values()), shares


@pytest.mark.slow
def test_intervals_hold_the_truth_as_often_as_they_say():
    shares = coverage(2000, 1000)
    assert all(0.93 <= share <= 0.97 for share in shares.values()), shares


@pytest.mark.slow
def test_percentile_intervals_of_a_macro_average_hold_the_truth_as_often_as_they_say():
    """Sixty labels, from three in ten admissions down to three in two hundred."""
    shares = macro_coverage(1000, 1000, np.geomspace(0.3, 0.015, 60), np.full(60, SIGNALS[0]))
    assert all(0.93 <= shares[name] <= 0.97 for name in ("macro", "unequal")), shares


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rates", "signals"),
    [(np.full(60, 0.008), np.full(60, SIGNALS[0])), (np.geomspace(0.3, 0.004, 60), np.linspace(2.0, 0.3, 60))],
    ids=["equal", "harder-when-rarer"],
)
def test_labels_with_few_positives_leave_bca_intervals_too_narrow(rates, signals):
    """Percentile intervals hold the truth somewhat too seldom there, BCa intervals far too seldom."""
    shares = macro_coverage(800, 500, rates, signals)
    for name in ("macro", "unequal"):
        assert 0.88 <= shares[name] < 0.95, shares
        assert shares[f"{name}_bca"] < shares[name] - 0.03, shares
    assert 0.88 <= shares["macro_student"] < 0.95, shares


def test_bca_is_the_percentile_interval_of_a_symmetric_figure():
    replicates = np.linspace(-1, 1, 2001)
    jackknife = np.tile([0.01, -0.01], GROUPS // 2)
    assert bca_interval(0.0, replicates, jackknife, 0.95) == pytest.approx(percentile_interval(replicates, 0.95))


def test_bca_equals_efrons_formula_for_a_mean():
    """Acceleration and bias written out from Efron (1987) for the mean of a skewed sample."""
    from statistics import NormalDist

    generator = np.random.default_rng(1)
    sample = generator.exponential(size=GROUPS)
    estimate = sample.mean()
    replicates = np.array([generator.choice(sample, GROUPS).mean() for _ in range(2000)])
    left_out = (sample.sum() - sample) / (GROUPS - 1)
    normal, influence = NormalDist(), sample - estimate
    acceleration = (influence**3).sum() / (6 * (influence**2).sum() ** 1.5)
    bias = normal.inv_cdf(float((replicates < estimate).mean()))
    tails = [
        normal.cdf(bias + (bias + z) / (1 - acceleration * (bias + z))) for z in map(normal.inv_cdf, (0.025, 0.975))
    ]
    found = bca_interval(float(estimate), replicates, left_out, 0.95)
    assert found == pytest.approx(np.quantile(replicates, tails).tolist(), abs=1e-3)
    assert found[1] > percentile_interval(replicates, 0.95)[1]


def test_bca_is_undefined_where_the_jackknife_or_all_replicates_are():
    replicates, jackknife = np.linspace(0, 1, 100), np.full(GROUPS, 0.5)
    assert bca_interval(0.5, np.full(10, np.nan), jackknife, 0.95) is None
    assert bca_interval(0.5, replicates, np.append(jackknife, np.nan), 0.95) is None
    assert bca_interval(2.0, replicates, jackknife, 0.95) is None
    assert bca_interval(0.7, np.full(10, 0.7), jackknife, 0.95) == (0.7, 0.7)


def test_every_patient_is_left_out_once_with_all_admissions():
    patients = np.array([5, 5, 9, 2, 9])
    weights = leave_out_weights(patients, seed=3)
    assert ((1 - weights).sum(axis=1) == 1).all()
    assert (weights[0] == weights[1]).all()
    assert (leave_out_weights(np.array([9]), seed=3)[0] == weights[2]).all()
    many = leave_out_weights(np.arange(4000), seed=3)
    assert (1 - many).sum(axis=0).max() < 45


def test_grouped_jackknife_gives_the_acceleration_of_the_single_one():
    generator = np.random.default_rng(4)
    positive = np.arange(2000) < 200
    scores = generator.normal(size=2000) + positive
    value = ranked_areas(scores, positive, np.ones((2000, 1)))[0][0]
    singly, _ = ranked_areas(scores, positive, 1 - np.eye(2000, dtype=np.uint8))
    grouped, _ = ranked_areas(scores, positive, leave_out_weights(np.arange(2000), seed=0))

    def acceleration(left_out):
        influence = value - left_out
        return (influence**3).sum() / (6 * (influence**2).sum() ** 1.5)

    assert acceleration(grouped) == pytest.approx(acceleration(singly), abs=0.02)


def test_seeds_add_their_variance_and_widen_the_tails():
    replicates = 0.7 + np.random.default_rng(5).normal(scale=0.01, size=20_000)
    pooled = pooled_seed_variance({"a": (0.67, 0.73), "b": (0.69, 0.71), "fixed": (0.9, 0.9)})
    assert pooled == (pytest.approx((0.06**2 / 2 + 0.02**2 / 2) / 2), 2)
    assert pooled_seed_variance({"a": (0.7,), "fixed": (0.9, 0.9)}) is None
    total = Total.of(replicates, {"los": (0.02**2, 2)})
    assert total.standard_error**2 == pytest.approx(replicates.var(ddof=1) + 0.02**2)
    assert total.degrees_of_freedom == pytest.approx((total.standard_error**2) ** 2 / (0.02**4 / 2))
    low, high = total.interval(0.7, 0.95)
    assert (high - low) / 2 > 2.5 * total.standard_error
    two = Total.of(replicates, {"los": (0.02**2, 2)}, {"los": (0.02**2, 2)})
    assert two.standard_error**2 == pytest.approx(replicates.var(ddof=1) + 2 * 0.02**2)
    alone = Total.of(replicates)
    assert (alone.interval(0.0, 0.95)[1], alone.p_value(0.0)) == (pytest.approx(0.0196, rel=0.02), 1.0)
    assert alone.p_value(alone.interval(0.0, 0.95)[1]) == pytest.approx(0.05)


def test_total_intervals_hold_the_truth_when_two_seeds_differ_as_much_as_patients():
    generator = np.random.default_rng(1)
    patients = generator.normal(scale=0.02, size=1000)
    held = 0
    for _ in range(1000):
        truth = generator.uniform(0.6, 0.9, 6)
        by_seed = truth[:, None] + generator.normal(scale=0.02 * np.sqrt(2), size=(6, 2))
        variance, degrees = pooled_seed_variance({str(model): tuple(values) for model, values in enumerate(by_seed)})
        estimate = by_seed[0].mean() + generator.normal(scale=0.02)
        low, high = Total.of(patients, {"los": (variance / 2, degrees)}).interval(estimate, 0.95)
        held += low <= truth[0] <= high
    assert 0.93 <= held / 1000 <= 0.97
