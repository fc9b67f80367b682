"""Calibration and recalibration against scikit-learn; decision curves and alerts against counting."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulated_study import CLASSES, compute_all, simulate_predictions, unweighted
from sklearn.calibration import calibration_curve
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from clinical_peft.figures.definitions.decision import decision_curves, decision_curves_of
from clinical_peft.figures.definitions.reliability import _pooled, reliability_diagram, reliability_of
from clinical_peft.metrics.calibrate import calibrate
from clinical_peft.metrics.calibration import BINS, reliability_bins
from clinical_peft.metrics.decisions import THRESHOLDS, alert_burden, cutoff_at_sensitivity, decision_curve
from clinical_peft.metrics.logistic import fit_logistic
from clinical_peft.metrics.predictions import read_predictions
from clinical_peft.metrics.recalibration import at_temperature, fit_temperature, isotonic_map
from clinical_peft.metrics.resampling import patient_weights
from clinical_peft.metrics.runs import RunFiles
from clinical_peft.tasks import find_task


@pytest.fixture
def splits(tmp_path):
    def make(task, rows=400):
        path = tmp_path / f"{task}.parquet"
        simulate_predictions(path, task, signal=1.0, seed=0, rows=rows)
        return read_predictions(path, CLASSES[task], find_task(task).type)

    return make


def figures(data):
    return {name: value[0] for name, value in compute_all(data).items()}


def binary(data, scores):
    return data.with_scores(np.stack([1 - scores, scores], axis=1))


def test_slope_and_intercept_equal_logistic_regression(splits):
    for task, columns in (("mortality", slice(1, 2)), ("diagnoses", slice(None))):
        data = splits(task)["test"]
        x, y = data.log_odds[:, columns].ravel(), data.target[:, columns].ravel()
        oracle = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(x[:, None], y)
        found = figures(data)
        assert found["calibration_slope"] == pytest.approx(oracle.coef_[0, 0], rel=1e-4)
        place, _ = fit_logistic(x, y, fit_slope=False)
        assert found["calibration_intercept"] == pytest.approx(place)
        # The maximum-likelihood offset makes the mean of the scores that of the outcomes.
        assert np.mean(1 / (1 + np.exp(-(x + place)))) == pytest.approx(y.mean())


def test_a_step_from_the_data_comes_near_the_fit_of_a_resample(splits):
    data = splits("mortality", rows=2000)["test"]
    weights = patient_weights(data.subject_id, resamples=20, seed=0)
    found = compute_all(data, weights)
    for column in range(20):
        rows = np.repeat(np.arange(len(data)), weights[:, column])
        refitted = figures(data.of_rows(rows))
        for name in ("calibration_slope", "calibration_intercept"):
            assert found[name][column] == pytest.approx(refitted[name], abs=0.02)


@pytest.mark.parametrize(
    ("x", "y", "slope", "place"),
    [
        ([0.0, 0.0, 0.0, 0.0], [1, 0, 1, 0], False, True),  # constant
        ([-2.0, -1.0, 1.0, 2.0], [0, 0, 1, 1], False, True),  # separating
        ([-2.0, -1.0, 1.0, 2.0], [1, 1, 0, 0], False, True),
        ([-2.0, 1.0, 1.0, 2.0], [0, 0, 1, 1], False, True),  # separating but for a tie
        ([-2.0, -1.0, 1.0, 2.0], [0, 0, 0, 0], False, False),  # outcomes alike
        ([-2.0, -1.0, 1.0, 2.0], [0, 1, 0, 1], True, True),
    ],
)
def test_what_cannot_be_fitted_is_undefined(x, y, slope, place):
    x, y = np.array(x), np.array(y, dtype=bool)
    assert (fit_logistic(x, y, fit_slope=True) is not None) == slope
    assert (fit_logistic(x, y, fit_slope=False) is not None) == place


def test_a_multiclass_task_has_no_intercept(splits):
    found = figures(splits("los")["test"])
    assert np.isnan(found["calibration_intercept"])
    assert np.isfinite(found["calibration_slope"])


@pytest.mark.parametrize("task", ["mortality", "diagnoses"])
def test_bins_equal_scikit_learns(splits, task):
    data = splits(task)["test"]
    columns = slice(1, 2) if task == "mortality" else slice(None)
    scores, target = data.scores[:, columns].astype(float).ravel(), data.target[:, columns].ravel()
    observed, mean_score = calibration_curve(target, scores, n_bins=BINS, strategy="quantile")
    bins = reliability_bins(data, unweighted(data))
    assert [row.observed for row in bins] == pytest.approx(observed.tolist())
    assert [row.mean_score for row in bins] == pytest.approx(mean_score.tolist())
    assert [row.observed_replicates[0] for row in bins] == pytest.approx(observed.tolist())
    sizes = np.array([row.pairs for row in bins])
    assert sizes.sum() == len(scores)
    assert figures(data)["ece"] == pytest.approx((sizes * np.abs(observed - mean_score)).sum() / len(scores))


def test_multiclass_calibration_error_is_of_the_prediction(splits):
    data = splits("los")["test"]
    certain = data.with_scores(np.where(data.target, 1.0, 0.0).astype(np.float32))
    assert figures(certain)["ece"] == 0
    wrong = data.with_scores(np.roll(certain.scores, 1, axis=1))
    assert figures(wrong)["ece"] == 1


@pytest.mark.parametrize("task", ["mortality", "los", "diagnoses"])
def test_a_temperature_undoes_a_scaling_of_the_logits(splits, task):
    validation = splits(task)["validation"]
    plain = fit_temperature(validation)
    scaled = fit_temperature(replace(validation, logits=validation.logits * 3))
    assert scaled == pytest.approx(3 * plain, rel=1e-4)

    def loss(temperature):
        return figures(at_temperature(validation, temperature))["log_loss"]

    assert loss(plain) <= min(loss(plain * 1.05), loss(plain / 1.05))


def test_isotonic_maps_equal_scikit_learns(splits):
    data = splits("mortality")
    validation, test = data["validation"], data["test"]
    oracle = IsotonicRegression(out_of_bounds="clip").fit(validation.scores[:, 1], validation.target[:, 1])
    mapped = isotonic_map(validation)(test)
    assert mapped.scores[:, 1] == pytest.approx(oracle.predict(test.scores[:, 1]), abs=1e-6)
    for task in ("mortality", "los", "diagnoses"):
        data = splits(task)
        scores = isotonic_map(data["validation"])(data["test"]).scores
        assert scores.min() >= 0
        assert scores.max() <= 1
        if task != "diagnoses":
            assert scores.sum(axis=1) == pytest.approx(1)


def test_isotonic_scores_are_calibrated_where_fitted(splits):
    for task in ("mortality", "diagnoses"):
        validation = splits(task)["validation"]
        fitted = isotonic_map(validation)(validation)
        assert figures(fitted)["ece"] < figures(validation)["ece"]
        assert fitted.scores[:, -1].mean() == pytest.approx(validation.target[:, -1].mean(), abs=0.2)


def test_net_benefit_is_that_of_counting(splits):
    data = splits("mortality")["test"]
    curve = decision_curve(data, unweighted(data), 0.95)
    scores, positive = data.scores[:, 1], data.target[:, 1]
    for place in (0, 19, 49, 98):
        risk = THRESHOLDS[place]
        treated = scores >= risk
        expected = ((treated & positive).sum() - (treated & ~positive).sum() * risk / (1 - risk)) / len(data)
        assert curve["net_benefit"][place] == pytest.approx(expected)
        everyone = positive.mean() - (1 - positive.mean()) * risk / (1 - risk)
        assert curve["treat_all"][place] == pytest.approx(everyone)
    perfect = decision_curve(binary(data, positive.astype(np.float32)), unweighted(data), 0.95)
    assert perfect["net_benefit"] == pytest.approx([positive.mean()] * 99)
    nobody = decision_curve(binary(data, np.zeros(len(data), np.float32)), unweighted(data), 0.95)
    assert nobody["net_benefit"] == [0.0] * 99


def test_alerts_reach_their_sensitivity_on_validation(splits):
    data = splits("mortality")
    validation, test = data["validation"], data["test"]
    rows = alert_burden(validation, validation, unweighted(validation), 0.95)
    for row in rows:
        assert row["sensitivity"]["value"] >= row["sensitivity_aimed"]
        above = validation.scores[:, 1] > row["threshold"]
        missed = (above & validation.target[:, 1]).sum() / validation.target[:, 1].sum()
        assert missed < row["sensitivity_aimed"]  # no higher threshold would do
    measured = alert_burden(validation, test, unweighted(test), 0.95)[1]
    alerted = test.scores[:, 1] >= measured["threshold"]
    assert measured["alerts_per_100"]["value"] == pytest.approx(100 * alerted.mean())
    assert measured["precision"]["value"] == pytest.approx(test.target[alerted, 1].mean())


def test_without_a_case_there_is_no_threshold(splits):
    data = splits("mortality")
    none = np.zeros_like(data["test"].target)
    none[:, 0] = True
    without = replace(data["test"], target=none)
    assert cutoff_at_sensitivity(without, 0.9) is None
    assert alert_burden(without, data["test"], unweighted(without), 0.95)[0] == {
        "sensitivity_aimed": 0.8,
        "threshold": None,
    }
    row = alert_burden(data["validation"], without, unweighted(without), 0.95)[0]
    assert row["sensitivity"] == row["alerts_per_case"] == {"value": None, "interval": None}


def a_bin(score, observed, pairs=10):
    return {"mean_score": score, "observed": observed, "pairs": pairs, "interval": [observed - 0.1, observed + 0.1]}


def run_of(seed, bins):
    return {"model": "m", "seed": seed, "reliability": dict.fromkeys(("raw", "temperature", "isotonic"), bins)}


def test_reliability_pools_the_bins_of_all_seeds():
    first = run_of(0, [a_bin(0.1, 0.2), a_bin(0.5, 0.4)])
    second = run_of(1, [a_bin(0.2, 0.4), a_bin(0.7, 0.8)])
    pooled = reliability_of([first, second])["scores as they are"]["m"]
    assert pooled.predicted == pytest.approx([0.15, 0.6])
    assert pooled.observed == pytest.approx([0.3, 0.6])
    assert pooled.interval == pytest.approx(np.array([[0.2, 0.5], [0.4, 0.7]]))
    alone = reliability_of([first])["after isotonic regression"]["m"]
    assert alone.predicted == pytest.approx([0.1, 0.5])


@given(st.lists(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1), st.integers(1, 50)), min_size=1), min_size=1))
def test_pooled_bins_rise_and_are_no_more_than_one_seed_has(seeds):
    pooled = _pooled([[a_bin(*one) for one in sorted(seed)] for seed in seeds])
    assert len(pooled.predicted) <= max(map(len, seeds))
    assert (np.diff(pooled.predicted) >= -1e-12).all()
    assert pooled.interval.shape == (2, len(pooled.observed))
    np.testing.assert_allclose(pooled.interval, [pooled.observed - 0.1, pooled.observed + 0.1], atol=1e-12)


def test_alerts_and_calibration_have_their_intervals(tmp_path):
    from results_fixtures import built
    from simulated_study import LABELS, simulate_study

    study = simulate_study(tmp_path, seeds=2, resamples=100, tasks=("mortality",))
    metrics = [tmp_path / f"metrics/{run['model']}/mortality/seed{run['seed']}.json" for run in study["metrics"]]
    predictions = [study["predictions"][run["model"], "mortality"][run["seed"]] for run in study["metrics"]]
    files = RunFiles(metrics, predictions, study["classes"])
    found = calibrate(files, resamples=100, bootstrap_seed=0, output=tmp_path / "calibration.json").to_json()
    table = built("calibration", calibration=found, labels=LABELS)
    # The alerts of some models are too few to be shown, or miss too few.
    record = next(one for one in table.records if one["alerts_per_100"] is not None)
    assert record["scores"] == "raw"
    rows = [
        row["alerts_per_100"]
        for run in found["runs"]
        if run["model"] == record["model"]
        for row in run["alert_burden"]
        if row["sensitivity_aimed"] == 0.9
    ]
    assert len(rows) == 2
    assert record["alerts_per_100_low"] == pytest.approx(np.mean([row["interval"][0] for row in rows]), abs=1e-4)
    assert record["alerts_per_100_low"] <= record["alerts_per_100"] <= record["alerts_per_100_high"]
    printed = dict(zip(table.header, table.rows[table.records.index(record)], strict=True))
    for title in ("Alerts per 100", "Precision of an alert", "Brier", "Slope"):
        assert "[" in printed[title], title


def test_calibration_refuses_changed_predictions(tmp_path):
    from simulated_study import LABELS, simulate_study

    from clinical_peft.errors import DataError

    study = simulate_study(tmp_path, seeds=1, resamples=100, tasks=("mortality", "los", "procedures"))
    runs = [(run["model"], run["task"]) for run in study["metrics"]]
    predictions = [study["predictions"][key][0] for key in runs]
    metrics = [tmp_path / f"metrics/{model}/{task}/seed0.json" for model, task in runs]
    settings = {"resamples": 100, "bootstrap_seed": 0}
    outputs = [tmp_path / name for name in ("one.json", "two.json")]
    for output in outputs:
        result = calibrate(RunFiles(metrics, predictions, study["classes"]), output=output, **settings).to_json()
    assert outputs[0].read_bytes() == outputs[1].read_bytes()
    assert json.loads(outputs[0].read_text()) == result
    for run in result["runs"]:
        stored = next(m for m in study["metrics"] if (m["model"], m["task"]) == (run["model"], run["task"]))
        for name in ("auroc", "brier", "ece"):
            assert run["figures"]["raw"][name]["value"] == pytest.approx(stored["metrics"]["test"][name])
        assert (run["decision_curve"] is None) == (run["task"] != "mortality")
        assert 0 < len(run["reliability"]["temperature"]) <= BINS
    for task in ("mortality", "procedures"):
        members = [run for run in result["runs"] if run["task"] == task]
        panels = reliability_of(members)
        assert list(panels) == ["scores as they are", "at one temperature", "after isotonic regression"]
        assert all(set(models) == {run["model"] for run in members} for models in panels.values())
        reliability_diagram(find_task(task), panels, LABELS, tmp_path / "reliability.svg")
        curves = decision_curves_of(members)
        assert (curves is None) == (task != "mortality")
        if curves is not None:
            run = members[0]
            stored = run["decision_curve"]["isotonic"]["net_benefit"]
            kept = [place for place, value in enumerate(stored) if value is not None]
            assert curves.models[run["model"]][kept].tolist() == [stored[place] for place in kept]
            decision_curves(find_task(task), curves, LABELS, tmp_path / "decision.svg")
    simulate_predictions(predictions[0], runs[0][1], signal=0.0, seed=9)
    with pytest.raises(DataError, match="found others; evaluate it again"):
        calibrate(RunFiles(metrics, predictions, study["classes"]), output=outputs[0], **settings)
