"""DeLong's test: contributions by counting, published properties, a permutation test, and clusters."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from clinical_peft.metrics.areas import ranked_areas
from clinical_peft.metrics.delong import clustered_covariance, compare_areas, contributions, normal_p_value
from clinical_peft.metrics.resampling import patient_weights


def two_models(seed, rows=160, first=1.0, second=1.0):
    """Scores of two models that share part of what they know, and the outcome."""
    generator = np.random.default_rng(seed)
    positive = generator.random(rows) < 0.35
    shared = generator.normal(size=rows)
    scores = [signal * positive + shared + generator.normal(size=rows) for signal in (first, second)]
    return scores, positive


def test_delong_contributions_average_to_the_auroc():
    generator = np.random.default_rng(0)
    scores, positive = np.round(generator.random(50), 1), generator.random(50) < 0.4
    found = contributions(scores, positive)
    for row in range(50):
        others = scores[positive != positive[row]]
        wins = (others < scores[row]) if positive[row] else (others > scores[row])
        assert found[row] == pytest.approx(np.mean(wins + 0.5 * (others == scores[row])))
    area = roc_auc_score(positive, scores)
    assert found[positive].mean() == pytest.approx(area)
    assert found[~positive].mean() == pytest.approx(area)


def test_without_clusters_the_covariance_is_delongs():
    scores, positive = two_models(1)
    values = np.stack([contributions(score, positive) for score in scores])
    expected = np.cov(values[:, positive]) / positive.sum() + np.cov(values[:, ~positive]) / (~positive).sum()
    assert clustered_covariance(values, positive, np.arange(len(positive))) == pytest.approx(expected)


def test_variance_without_signal_is_mann_and_whitneys():
    """Mann and Whitney (1947): (m + n + 1) / (12 m n) when scores say nothing."""
    generator = np.random.default_rng(2)
    positive = np.arange(100) < 30
    found = [
        clustered_covariance(contributions(generator.normal(size=100), positive)[None, :], positive, np.arange(100))
        for _ in range(400)
    ]
    assert np.mean(found) == pytest.approx(101 / (12 * 30 * 70), rel=0.02)


def test_only_ranks_matter():
    scores, positive = two_models(3)
    cluster = np.arange(len(positive))
    values = [contributions(score, positive) for score in scores]
    again = [contributions(np.exp(3 * score), positive) for score in scores]
    assert compare_areas(*again, positive, cluster, 0.95) == compare_areas(*values, positive, cluster, 0.95)


@pytest.mark.parametrize("seed", range(6))
def test_p_value_is_near_that_of_brute_force_swaps(seed):
    """Venkatraman and Begg (1996): swap both models' ranks within patients at random."""
    scores, positive = two_models(seed, second=1.0 + 0.12 * seed)
    found = compare_areas(*(contributions(s, positive) for s in scores), positive, np.arange(len(positive)), 0.95)
    ranks = np.stack([np.argsort(np.argsort(score)) for score in scores]).astype(float)
    generator = np.random.default_rng(100 + seed)
    swapped = []
    for _ in range(2000):
        swap = generator.random(len(positive)) < 0.5
        mixed = np.where(swap, ranks[::-1], ranks)
        # Ties that the swap made are broken at random, as they propose.
        mixed = mixed + generator.uniform(0, 0.5, mixed.shape)
        swapped.append(np.subtract(*(contributions(row, positive)[positive].mean() for row in mixed)))
    p_value = np.mean(np.abs(swapped) >= abs(found.difference))
    assert found.p_value == pytest.approx(p_value, abs=0.05)


def test_clusters_of_repeated_admissions_add_no_certainty():
    scores, positive = two_models(4)
    cluster = np.arange(len(positive))
    values = np.stack([contributions(score, positive) for score in scores])
    once = clustered_covariance(values, positive, cluster)
    repeated = np.stack([contributions(np.tile(score, 3), np.tile(positive, 3)) for score in scores])
    tripled, patients = np.tile(positive, 3), np.tile(cluster, 3)
    assert clustered_covariance(repeated, tripled, patients) == pytest.approx(once)
    assert clustered_covariance(repeated, tripled, np.arange(3 * len(positive))) == pytest.approx(once / 3, rel=0.05)


def test_clustered_error_is_near_that_of_the_bootstrap():
    generator = np.random.default_rng(5)
    patient = generator.integers(0, 150, 400)
    positive = generator.random(400) < 0.2 + 0.4 * (generator.random(150) < 0.3)[patient]
    scores = positive + generator.normal(size=150)[patient] + generator.normal(size=400)
    found = np.sqrt(clustered_covariance(contributions(scores, positive)[None, :], positive, patient)[0, 0])
    replicates, _ = ranked_areas(scores, positive, patient_weights(patient, resamples=2000, seed=0))
    assert found == pytest.approx(replicates.std(ddof=1), rel=0.1)


def test_models_that_rank_alike_do_not_differ():
    (scores, _), positive = two_models(6)
    values = contributions(scores, positive)
    found = compare_areas(values, values, positive, np.arange(len(positive)), 0.95)
    assert (found.difference, found.standard_error, found.p_value) == (0.0, 0.0, 1.0)


def test_positives_of_one_patient_leave_the_variance_undefined():
    (first, second), positive = two_models(7)
    values = [contributions(score, positive) for score in (first, second)]
    assert compare_areas(*values, positive, np.where(positive, 0, np.arange(len(positive)) + 1), 0.95) is None


def test_normal_p_values():
    assert normal_p_value(0.0, 0.0) == 1.0
    assert normal_p_value(0.1, 0.0) == 0.0
    assert normal_p_value(-1.959964, 1.0) == pytest.approx(0.05)
