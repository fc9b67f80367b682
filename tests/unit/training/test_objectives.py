"""Losses of the tasks and the AUROC that chooses an epoch, against other implementations."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import roc_auc_score

from clinical_peft.training.objectives import Objective, class_weights, scores_from_logits
from clinical_peft.training.selection import column_auroc, selection_value


def test_class_weights_are_balanced_and_survive_an_absent_class():
    weights = class_weights(np.asarray([0, 0, 0, 2]), 3)
    np.testing.assert_allclose(weights, [4 / 9, 0, 4 / 3])
    assert weights[[0, 0, 0, 2]].sum() * 3 / 2 == pytest.approx(4)
    objective = Objective("multiclass", torch.from_numpy(weights))
    logits, targets = torch.randn(4, 3), torch.tensor([0, 0, 0, 2])
    mean = objective(logits, targets) / objective.weight(targets)
    torch.testing.assert_close(
        mean, torch.nn.functional.cross_entropy(logits, targets, weight=torch.from_numpy(weights))
    )


def test_multilabel_loss_is_pytorchs():
    logits, targets = torch.randn(4, 5), torch.randint(0, 2, (4, 5), dtype=torch.uint8)
    objective = Objective("multilabel", None)
    expected = torch.nn.functional.binary_cross_entropy_with_logits(logits, targets.float())
    torch.testing.assert_close(objective(logits, targets) / objective.weight(targets), expected)


@given(
    scores=hnp.arrays(np.float32, (12, 3), elements=st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.5000001, 1.0])),
    positive=hnp.arrays(bool, (12, 3)),
)
@settings(max_examples=60, deadline=None)
def test_auroc_is_sklearns(scores, positive):
    areas = column_auroc(scores, positive)
    for column, area in enumerate(areas):
        if positive[:, column].all() or not positive[:, column].any():
            assert math.isnan(area)
        else:
            assert area == pytest.approx(roc_auc_score(positive[:, column], scores[:, column]))


def test_selection_auroc_of_each_kind_of_task():
    generator = np.random.default_rng(0)
    scores = scores_from_logits(generator.normal(size=(50, 4)).astype(np.float32), "softmax")
    targets = generator.integers(0, 4, 50)
    expected = roc_auc_score(targets, scores, multi_class="ovr", average="macro")
    assert selection_value("auroc", scores, targets, "multiclass") == pytest.approx(expected)
    assert selection_value("auroc", scores[:, :2], targets % 2, "binary") == pytest.approx(
        roc_auc_score(targets % 2, scores[:, 1])
    )
    labels = generator.integers(0, 2, (50, 4))
    labels[:, 2] = 0
    expected = roc_auc_score(labels[:, [0, 1, 3]], scores[:, [0, 1, 3]], average="macro")
    assert selection_value("auroc", scores, labels, "multilabel") == pytest.approx(expected)
    assert math.isnan(selection_value("auroc", scores, np.zeros((50, 4)), "multilabel"))
