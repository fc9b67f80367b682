"""Decision thresholds against all others that could have been chosen."""

import numpy as np
import pytest

from clinical_peft.models.decisions import EVEN, best_cutoff, predicted


def binary(scores, positive):
    """Log-odds and targets of a binary task."""
    positive = np.asarray(positive, dtype=bool)
    second = np.asarray(scores, dtype=np.float64)
    return np.stack([-second, second], axis=1), np.stack([~positive, positive], axis=1)


def accuracy_at(log_odds, target, cutoff):
    return (predicted(log_odds, "binary", cutoff) & target).any(axis=1).mean()


def every_cutoff(log_odds):
    """A threshold of every set of decisions that scores allow, as probabilities' midpoints."""
    bounds = np.concatenate(([0.0], np.unique(1 / (1 + np.exp(-log_odds[:, 1]))), [1.0]))
    middle = (bounds[1:] + bounds[:-1]) / 2
    return np.append(np.log(middle) - np.log1p(-middle), EVEN)


@pytest.mark.parametrize("seed", range(60))
def test_no_threshold_is_more_accurate_or_nearer_to_a_half(seed):
    generator = np.random.default_rng(seed)
    rows = int(generator.integers(1, 30))
    positive = generator.random(rows) < generator.choice([0.0, 0.1, 0.5, 0.9, 1.0])
    scores = np.round(generator.normal(size=rows) + positive + generator.normal() * 2, int(generator.integers(0, 3)))
    log_odds, target = binary(scores, positive)
    found = best_cutoff(log_odds, target, "binary", by="accuracy")
    others = every_cutoff(log_odds)
    accuracies = np.array([accuracy_at(log_odds, target, one) for one in others])
    assert accuracy_at(log_odds, target, found) == accuracies.max()
    assert abs(found) <= np.abs(others[accuracies == accuracies.max()]).min() + 1e-9


@pytest.mark.parametrize(("scores", "below"), [([2.0, 3.0, 4.0], False), ([-2.0, -3.0, -4.0], True)])
def test_the_most_accurate_threshold_may_predict_one_class_alone(scores, below):
    log_odds, target = binary(scores, [below] * 3)
    found = best_cutoff(log_odds, target, "binary", by="accuracy")
    assert predicted(log_odds, "binary", found)[:, 1].tolist() == [below] * 3


def test_scores_without_end_decide_too():
    log_odds, target = binary([np.inf, np.inf, -np.inf], [True, False, False])
    found = best_cutoff(log_odds, target, "binary", by="accuracy")
    assert accuracy_at(log_odds, target, found) == pytest.approx(2 / 3)


def test_a_threshold_is_chosen_by_what_a_study_compares():
    log_odds, target = binary([-3, -2, -1, 1, 2, 3], [True, False, False, False, False, True])
    by = {
        name: predicted(log_odds, "binary", best_cutoff(log_odds, target, "binary", by=name))
        for name in ("f1", "accuracy")
    }
    assert by["accuracy"][:, 1].tolist() == [False] * 5 + [True]
    rare = binary([-3, -2, -1, 1, 2, 3], [False, False, False, True, False, False])
    assert not predicted(rare[0], "binary", best_cutoff(*rare, "binary", by="accuracy"))[:, 1].any()
    assert predicted(rare[0], "binary", best_cutoff(*rare, "binary"))[:, 1].any()
