"""Figures against scikit-learn, and the properties of the bootstrap."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from simulated_study import CLASSES, compute_all, simulate_predictions
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    f1_score,
    log_loss,
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)

from clinical_peft.metrics.areas import over_shared, ranked_areas, scored_classes
from clinical_peft.metrics.curves import GRID, ranking_curves
from clinical_peft.metrics.cutoffs import choose_cutoff
from clinical_peft.metrics.predictions import read_predictions
from clinical_peft.metrics.registry import metrics_of
from clinical_peft.metrics.resampling import (
    holm,
    paired_difference,
    patient_weights,
    percentile_interval,
    replicate,
    undefined,
)
from clinical_peft.models.decisions import EVEN
from clinical_peft.tasks import find_task


@pytest.fixture
def split(tmp_path):
    """A function that simulates a task and returns its test split."""

    def make(task, rows=200, signal=0.8, name="test", classes=None):
        path = tmp_path / f"{task}.parquet"
        simulate_predictions(path, task, signal=signal, seed=0, rows=rows, classes=classes)
        return read_predictions(path, classes or CLASSES[task], find_task(task).type)[name]

    return make


def bootstrap(data, cutoff=EVEN, *, resamples, seed=0):
    weights = patient_weights(data.subject_id, resamples=resamples, seed=seed)
    return replicate(metrics_of(data.type, data.target.shape[1]), data, weights, cutoff=cutoff)


def written_out(data, counts):
    """A resample row by row: labels as scikit-learn takes them, scores, target."""
    rows = np.repeat(np.arange(len(data)), counts.astype(int))
    return data.target[rows].argmax(axis=1), data.scores[rows], data.target[rows]


@settings(max_examples=60, deadline=None)
@given(
    arrays(np.int64, 12, elements=st.integers(0, 4)),
    arrays(np.bool_, 12),
    arrays(np.int64, (12, 3), elements=st.integers(0, 3)),
)
def test_ranked_areas_equal_scikit_learn_on_every_resample(ranks, positive, weights):
    scores = (ranks / 4).astype(np.float32)
    auroc, auprc = ranked_areas(scores, positive, weights.astype(float))
    for column in range(3):
        rows = np.repeat(np.arange(12), weights[:, column])
        if len(set(positive[rows])) < 2:
            assert np.isnan(auroc[column])
            assert np.isnan(auprc[column])
        else:
            assert auroc[column] == pytest.approx(roc_auc_score(positive[rows], scores[rows]))
            assert auprc[column] == pytest.approx(average_precision_score(positive[rows], scores[rows]))


@pytest.mark.parametrize("task", ["mortality", "los", "diagnoses"])
def test_metrics_equal_scikit_learns_on_resamples(split, task):
    data = split(task)
    weights = np.column_stack([np.ones(len(data)), patient_weights(data.subject_id, resamples=4, seed=1)])
    cutoff = None if task == "los" else np.log(0.3 / 0.7)
    found = compute_all(data, weights, cutoff=cutoff)
    for column in range(weights.shape[1]):
        label, scores, target = written_out(data, weights[:, column])
        for name, expected in reference(data.type, label, scores, target).items():
            assert found[name][column] == pytest.approx(expected, rel=1e-6), name


def reference(kind, label, scores, target):
    """Every figure by scikit-learn, at threshold 0.3."""
    scores = scores.astype(np.float64)
    if kind != "multilabel":
        scores = scores / scores.sum(axis=1, keepdims=True)
    if kind == "binary":
        chosen = scores[:, 1] >= 0.3
        return {
            "auroc": roc_auc_score(label, scores[:, 1]),
            "auprc": average_precision_score(label, scores[:, 1]),
            "f1_micro": f1_score(label, chosen, average="micro"),
            "f1_macro": f1_score(label, chosen, average="macro"),
            "brier": brier_score_loss(label, scores[:, 1]),
            "log_loss": log_loss(label, scores),
        }
    if kind == "multiclass":
        return {
            "auroc": roc_auc_score(label, scores, multi_class="ovo", average="macro"),
            "auprc": average_precision_score(target, scores, average="macro"),
            "f1_micro": f1_score(label, scores.argmax(axis=1), average="micro"),
            "f1_macro": f1_score(label, scores.argmax(axis=1), average="macro"),
            "brier": brier_score_loss(label, scores, labels=range(scores.shape[1])),
            "log_loss": log_loss(label, scores),
        }
    scored = scored_classes(target)
    chosen = scores >= 0.3
    occurs = target.any(axis=0)
    return {
        "auroc": roc_auc_score(target[:, scored], scores[:, scored], average="macro"),
        "auprc": average_precision_score(target[:, scored], scores[:, scored], average="macro"),
        "f1_micro": f1_score(target, chosen, average="micro"),
        "f1_macro": f1_score(target[:, occurs], chosen[:, occurs], average="macro", zero_division=0),
        "brier": np.mean([brier_score_loss(t, s, pos_label=True) for t, s in zip(target.T, scores.T, strict=True)]),
        "log_loss": np.mean(
            [log_loss(t, np.stack([1 - s, s], 1), labels=[0, 1]) for t, s in zip(target.T, scores.T, strict=True)]
        ),
    }


def test_macro_averages_skip_classes_without_both_labels(split):
    data = split("procedures")
    target = data.target.copy()
    target[:, 3], target[:, 4] = False, True
    changed = replace(data, target=target)
    scored = scored_classes(target)
    assert not scored[[3, 4]].any()
    expected = np.mean([roc_auc_score(target[:, k], data.scores[:, k]) for k in np.flatnonzero(scored)])
    assert compute_all(changed)["auroc"][0] == pytest.approx(expected)


def test_pairs_skip_length_of_stay_classes_that_are_empty(split):
    data = split("los")
    kept = ~data.target[:, 2]
    fewer = data.of_rows(kept)
    normalised = fewer.scores.astype(np.float64) / fewer.scores.sum(axis=1, keepdims=True)
    expected = roc_auc_score(
        fewer.target.argmax(axis=1), normalised, multi_class="ovo", average="macro", labels=range(4)
    )
    assert compute_all(fewer)["auroc"][0] == pytest.approx(expected)


@pytest.mark.parametrize(("task", "figure"), [("mortality", "f1_macro"), ("diagnoses", "f1_micro")])
def test_no_other_threshold_is_better_on_validation(split, task, figure):
    data = split(task, name="validation")
    columns = slice(1, 2) if task == "mortality" else slice(None)
    chosen = compute_all(data, cutoff=choose_cutoff(data))[figure][0]
    others = [compute_all(data, cutoff=float(t))[figure][0] for t in np.unique(data.log_odds[:, columns])]
    assert chosen == pytest.approx(max(others))


def test_threshold_without_a_positive_row_is_a_half(split):
    data = split("diagnoses", name="validation")
    assert choose_cutoff(replace(data, target=np.zeros_like(data.target))) == EVEN


def test_curves_pass_through_scikit_learns_points(split):
    data = split("mortality")
    scores, positive = data.scores[:, 1], data.target[:, 1]
    curves = ranking_curves(scores, positive)
    false_rate, true_rate, _ = roc_curve(positive, scores)
    assert curves.true_positive_rate == pytest.approx(np.interp(GRID, false_rate, true_rate))
    precision, recall, _ = precision_recall_curve(positive, scores)
    best_at_recall = precision[:-1][::-1][np.searchsorted(recall[:-1][::-1], 0.5)]
    assert curves.precision[50] == pytest.approx(best_at_recall)
    assert curves.precision[100] == pytest.approx(precision[recall == 1][-1])


def test_weights_follow_the_patient_alone():
    patients = np.array([5, 5, 9, 2, 9])
    weights = patient_weights(patients, resamples=400, seed=3)
    assert (weights[0] == weights[1]).all()
    assert (weights[2] == weights[4]).all()
    assert (patient_weights(np.array([9]), resamples=400, seed=3)[0] == weights[2]).all()
    assert (patient_weights(patients, resamples=400, seed=4) != weights).any()
    assert (weights[0] != weights[3]).any()


def test_weights_are_poisson():
    weights = patient_weights(np.arange(300), resamples=300, seed=0)
    assert weights.mean() == pytest.approx(1, abs=0.02)
    assert weights.var() == pytest.approx(1, abs=0.03)
    assert abs(np.corrcoef(weights[:2])[0, 1]) < 0.2


def test_repeated_admissions_add_no_certainty(split):
    data = split("mortality")
    rows = np.repeat(np.arange(len(data)), 4)
    repeated = data.of_rows(rows)
    once = bootstrap(data, resamples=100)
    assert bootstrap(repeated, resamples=100)["auroc"] == pytest.approx(once["auroc"])


def test_chunks_do_not_change_the_bootstrap(split, monkeypatch):
    data = split("procedures")
    whole = bootstrap(data, -0.4, resamples=50)
    monkeypatch.setattr("clinical_peft.metrics.resampling.CHUNK", 7 * len(data))
    parts = bootstrap(data, -0.4, resamples=50)
    for name in whole:
        assert parts[name] == pytest.approx(whole[name], nan_ok=True)


def test_auroc_intervals_cover_as_often_as_they_say():
    generator = np.random.default_rng(0)
    covered = 0
    for trial in range(200):
        positive = np.arange(120) < 50
        scores = generator.normal(size=120) + positive
        patients = np.arange(120) + 1000 * trial
        values, _ = ranked_areas(scores, positive, patient_weights(patients, resamples=200, seed=0))
        low, high = percentile_interval(values, 0.95)
        covered += low <= 0.7602499 <= high  # Phi(1 / sqrt(2))
    assert 180 <= covered <= 198


def test_undefined_resamples_are_dropped_and_counted(split):
    data = split("mortality")
    target = np.zeros_like(data.target)
    target[:, 0] = True
    target[0] = [False, True]
    alone = replace(data, target=target, subject_id=np.arange(len(data)))
    values = bootstrap(alone, resamples=300)["auroc"]
    absent = (patient_weights(np.array([0]), resamples=300, seed=0)[0] == 0).sum()
    assert undefined(values) == absent > 50
    assert percentile_interval(values, 0.95) is not None
    assert percentile_interval(np.full(5, np.nan), 0.95) is None


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**16), st.integers(1, 4), st.integers(2, 3))
def test_groups_share_the_classes_defined_in_a_resample(seed, classes, groups):
    generator = np.random.default_rng(seed)
    drawn = []
    for _ in range(groups):
        known = [column for column in range(classes) if generator.random() < 0.7]
        values = {(column,): generator.random(6) for column in known}
        for value in values.values():
            value[generator.random(6) < 0.3] = np.nan
        drawn.append(values)
    found = over_shared(*drawn, width=6)
    for place in range(6):
        shared = [
            column
            for column in range(classes)
            if all(np.isfinite(group.get((column,), np.full(6, np.nan))[place]) for group in drawn)
        ]
        for group, means in zip(drawn, found, strict=True):
            expected = np.mean([group[column,][place] for column in shared]) if shared else np.nan
            assert means[place] == pytest.approx(expected, nan_ok=True)


def test_paired_differences_are_narrower(split):
    data = split("diagnoses")
    noisy = data.with_scores(
        np.clip(data.scores + 0.02 * np.sin(np.arange(data.scores.size)).reshape(data.scores.shape), 0, 1)
    )
    one, two = (bootstrap(d, resamples=200)["auroc"] for d in (data, noisy))
    other = bootstrap(noisy, resamples=200, seed=1)["auroc"]
    paired = np.ptp(paired_difference((0.0, 0.0), (one, two), 0.95).interval)
    assert paired < np.ptp(paired_difference((0.0, 0.0), (one, other), 0.95).interval) / 2


def test_no_difference_has_p_one_and_a_clear_one_the_smallest_p():
    values = np.linspace(0.6, 0.7, 99)
    same = paired_difference((0.65, 0.65), (values, values), 0.95)
    assert (same.interval, same.p_value) == ((0.0, 0.0), 1.0)
    clear = paired_difference((0.65, 0.75), (values, values + 0.1), 0.95)
    assert clear.p_value == pytest.approx(2 / 100)
    assert clear.difference == pytest.approx(0.1)


def test_holm_steps_down():
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005}) == pytest.approx(
        {"d": 0.02, "a": 0.03, "c": 0.06, "b": 0.06}
    )
