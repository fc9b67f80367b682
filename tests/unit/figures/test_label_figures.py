"""Averages over labels and precision at k against scikit-learn, and what the paper's protocol computes."""

import numpy as np
import pytest
from scipy.special import softmax
from simulated_study import CLASSES, compute_all, simulate_predictions
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score, top_k_accuracy_score

from clinical_peft.metrics.areas import frequency_bands
from clinical_peft.metrics.definitions.classification import precision_at
from clinical_peft.metrics.predictions import read_predictions
from clinical_peft.metrics.resampling import patient_weights
from clinical_peft.metrics.variants import paper_metrics


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "diagnoses.parquet"
    simulate_predictions(path, "diagnoses", signal=1.0, seed=0, rows=300)
    return read_predictions(path, CLASSES["diagnoses"], "multilabel")["test"]


def test_every_average_equals_scikit_learns(data):
    bands = frequency_bands(np.repeat([101, 100, 20, 19], [7, 5, 5, 3]))
    assert {name: int(members.sum()) for name, members in bands.items()} == {"head": 7, "middle": 10, "tail": 3}
    weights = np.column_stack([np.ones(len(data), np.uint8), patient_weights(data.subject_id, resamples=3, seed=1)])
    found = compute_all(data, weights, cutoff=-0.8, bands=bands)
    scored = data.target.any(axis=0) & ~data.target.all(axis=0)
    for column in range(4):
        rows = np.repeat(np.arange(len(data)), weights[:, column])
        target, scores = data.target[rows], data.scores[rows]
        for name, measure in (("auroc", roc_auc_score), ("auprc", average_precision_score)):
            both = scored & target.any(axis=0) & ~target.all(axis=0)
            for average in ("macro", "weighted"):
                expected = measure(target[:, both], scores[:, both], average=average)
                key = name if average == "macro" else f"{name}_weighted"
                assert found[key][column] == pytest.approx(expected), key
            micro = measure(target[:, scored].ravel(), scores[:, scored].ravel())
            assert found[f"{name}_micro"][column] == pytest.approx(micro)
            for band, members in bands.items():
                inside = both & members
                if inside.any():
                    expected = measure(target[:, inside], scores[:, inside], average="macro")
                    assert found[f"{name}_{band}"][column] == pytest.approx(expected), band
                else:
                    assert np.isnan(found[f"{name}_{band}"][column])


@pytest.mark.parametrize("k", [1, 3, 10])
def test_precision_at_k_of_one_label_per_row_is_top_k_accuracy(k):
    generator = np.random.default_rng(k)
    scores, label = generator.random((200, 12)), generator.integers(0, 12, 200)
    target = label[:, None] == np.arange(12)
    expected = top_k_accuracy_score(label, scores, k=k, labels=range(12))
    assert k * precision_at(scores, target, k).mean() == pytest.approx(expected)


def test_tied_labels_share_the_last_places():
    target = np.array([[True, True, False, False, False]])
    assert precision_at(np.zeros((1, 5)), target, 3) == pytest.approx([2 / 5])
    assert precision_at(np.array([[0.9, 0.5, 0.5, 0.5, 0.1]]), target, 2) == pytest.approx([(1 + 1 / 3) / 2])


def test_paper_metrics_rank_the_softmax_across_patients(data):
    found = paper_metrics(data)
    scores = softmax(data.logits.astype(float), axis=1)
    assert found["auroc"][0] == pytest.approx(roc_auc_score(data.target, scores, average="macro"))
    assert found["auroc"][0] != pytest.approx(compute_all(data)["auroc"][0], abs=1e-3)
    chosen = scores >= 0.5
    assert found["f1_micro"][0] == pytest.approx(f1_score(data.target, chosen, average="micro"))
    assert found["f1_macro"][0] == pytest.approx(f1_score(data.target, chosen, average="macro", zero_division=0))
