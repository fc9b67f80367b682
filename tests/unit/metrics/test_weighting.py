"""The two ways of walking a ranking: equal to each other and to scikit-learn, ties and empty sides included."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import average_precision_score, roc_auc_score

from clinical_peft.metrics import weighting as module
from clinical_peft.metrics.kernel import ranked_sums
from clinical_peft.metrics.weighting import Weighting, kernel_pays

ROWS, ENTRIES = 8, 24


@settings(max_examples=60, deadline=None)
@given(
    arrays(np.int64, ENTRIES, elements=st.integers(0, 5)),
    arrays(np.bool_, ENTRIES),
    arrays(np.int64, ENTRIES, elements=st.integers(0, ROWS - 1)),
    arrays(np.uint8, (ROWS, 4), elements=st.integers(0, 3)),
)
def test_both_solvers_equal_scikit_learn_on_shared_rows(ranks, positive, rows, counts):
    scores = (ranks / 5).astype(np.float32)
    dense = Weighting(counts).rank(scores, positive, rows)
    compiled = Weighting(counts, compiled=True).rank(scores, positive, rows)
    np.testing.assert_array_equal(dense[0], compiled[0])
    np.testing.assert_allclose(dense[1], compiled[1], rtol=1e-12)
    for column in range(4):
        drawn = np.repeat(np.arange(ENTRIES), counts[rows, column])
        if len(set(positive[drawn])) < 2:
            assert np.isnan(dense[0][column])
            assert np.isnan(dense[1][column])
        else:
            assert dense[0][column] == pytest.approx(roc_auc_score(positive[drawn], scores[drawn]))
            assert dense[1][column] == pytest.approx(average_precision_score(positive[drawn], scores[drawn]))


def test_kernel_says_the_same_uncompiled(monkeypatch):
    generator = np.random.default_rng(0)
    scores, positive = np.round(generator.random(60), 1), generator.random(60) < 0.3
    counts = generator.poisson(1, (60, 5)).astype(np.uint8)
    compiled = Weighting(counts, compiled=True).rank(scores, positive)
    monkeypatch.setattr(module, "compiled_ranked_sums", lambda: ranked_sums)
    plain = Weighting(counts, compiled=True).rank(scores, positive)
    np.testing.assert_array_equal(compiled, plain)


def test_small_blocks_give_the_same_areas(monkeypatch):
    generator = np.random.default_rng(1)
    scores, positive = np.round(generator.random(80), 2), generator.random(80) < 0.5
    counts = generator.poisson(1, (80, 6)).astype(np.uint8)
    whole = Weighting(counts).rank(scores, positive)
    monkeypatch.setattr(module, "BLOCK", 80 * 3)
    parts = Weighting(counts).rank(scores, positive)
    np.testing.assert_array_equal(whole[0], parts[0])
    np.testing.assert_allclose(whole[1], parts[1], rtol=1e-12)


def test_constant_scores_rank_no_row_above_another():
    counts = np.ones((10, 1), np.uint8)
    positive = np.arange(10) < 3
    for compiled in (False, True):
        auroc, auprc = Weighting(counts, compiled=compiled).rank(np.zeros(10), positive)
        assert (auroc[0], auprc[0]) == (0.5, pytest.approx(0.3))


def test_sums_beyond_float32_stay_exact():
    counts = np.ones((3, 1), np.uint8)
    large = np.array([[2**25, 1, 1]])
    assert Weighting(counts).count(large)[0, 0] == 2**25 + 2


def test_weights_that_are_no_counts_are_refused():
    for wrong in (0.5, -1.0, 300.0):
        with pytest.raises(ValueError, match="whole-number weights"):
            Weighting(np.array([[wrong]]))


def test_the_kernel_is_for_large_problems():
    assert not kernel_pays(positives=3700, rows=309, width=2000)  # a multilabel task of the demo
    assert kernel_pays(positives=150_000, rows=10_000, width=1000)
