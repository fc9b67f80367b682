"""Predictions that leave figures undefined or tie as probabilities: what is ranked, and that every file is written."""

import csv
import json
import math
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from simulated_study import CLASSES, LABELS, compute_all, simulate_predictions, unweighted
from sklearn.metrics import log_loss, roc_auc_score

from clinical_peft.errors import DataError
from clinical_peft.figures.drawing import draw_all
from clinical_peft.metrics.aggregate import aggregate
from clinical_peft.metrics.calibrate import calibrate
from clinical_peft.metrics.calibration import log_losses, reliability_bins
from clinical_peft.metrics.comparisons import Cell, compare_pair
from clinical_peft.metrics.cutoffs import choose_cutoff
from clinical_peft.metrics.decisions import alert_burden
from clinical_peft.metrics.evaluate import evaluate
from clinical_peft.metrics.logistic import fit_logistic
from clinical_peft.metrics.predictions import Predictions, read_predictions
from clinical_peft.metrics.recalibration import fit_temperature, isotonic_map
from clinical_peft.metrics.resampling import bca_interval, holm, paired_difference, percentile_interval, undefined
from clinical_peft.metrics.runs import RunFiles
from clinical_peft.metrics.subgroup_gaps import compare_subgroups
from clinical_peft.models.decisions import midway
from clinical_peft.models.scores import default_link, link_of, log_odds, sigmoid
from clinical_peft.report.discussion import compare_groups
from clinical_peft.tables.registry import build_tables
from clinical_peft.tables.render import write_table
from clinical_peft.tables.study_results import StudyResults
from clinical_peft.tasks import find_task
from clinical_peft.training.selection import selection_value

TASKS = ("mortality", "los", "procedures")
MODELS = ("llama", "llama+lora")


def of_margins(margins, positive):
    """Binary predictions of margins, float32 as they are stored."""
    rows = len(margins)
    return Predictions.of_logits(
        np.stack([np.zeros(rows), margins], axis=1).astype(np.float32),
        link="softmax",
        type="binary",
        classes=(0, 1),
        hadm_id=np.arange(rows),
        subject_id=np.arange(rows),
        target=np.stack([~positive, positive], axis=1),
    )


def saturated(rows=400):
    generator = np.random.default_rng(0)
    positive = generator.random(rows) < 0.3
    return of_margins(generator.uniform(17, 40, rows) + 7 * positive, positive)


def test_scores_rounded_to_one_are_ranked_by_their_logits():
    data = saturated()
    margins, positive = data.logits[:, 1].astype(float), data.target[:, 1]
    assert len(np.unique(sigmoid(margins).astype(np.float32))) < 3
    expected = roc_auc_score(positive, margins)
    assert compute_all(data)["auroc"][0] == pytest.approx(expected) == pytest.approx(0.8, abs=0.05)
    ranked = log_odds(data.logits, "softmax")
    assert selection_value("auroc", ranked, positive.astype(int), "binary") == pytest.approx(expected)
    # F1 at the chosen cutoff is the best that any cutoff gives.
    best = max(compute_all(data, cutoff=float(cutoff))["f1_macro"][0] for cutoff in np.unique(margins))
    assert compute_all(data, cutoff=choose_cutoff(data))["f1_macro"][0] == pytest.approx(best)
    assert len(reliability_bins(data, unweighted(data))) == 10
    mapped = isotonic_map(data)(data).scores[:, 1]
    assert mapped.mean() == pytest.approx(positive.mean())
    assert roc_auc_score(positive, mapped) > 0.75
    alerts = alert_burden(data, data, unweighted(data), 0.95)
    assert [row["alerts_per_100"]["value"] for row in alerts] == sorted(
        row["alerts_per_100"]["value"] for row in alerts
    )
    assert alerts[0]["alerts_per_100"]["value"] < 90
    # The stated odds are far too high, yet the loss is exact.
    assert compute_all(data)["log_loss"][0] == pytest.approx(margins[~positive].sum() / len(data))
    assert fit_temperature(data) > 10


@given(hnp.arrays(np.float32, (5, 4), elements=st.floats(-30, 30, width=32)), st.permutations(range(4)))
@settings(max_examples=60, deadline=None)
def test_log_odds_are_those_of_the_probabilities(logits, order):
    exact = logits.astype(float)
    likely = np.exp(exact - exact.max(axis=1, keepdims=True))
    likely /= likely.sum(axis=1, keepdims=True)
    found = log_odds(logits, "softmax")
    np.testing.assert_allclose(sigmoid(found), likely, rtol=1e-9, atol=1e-300)
    assert np.array_equal(log_odds(logits[:, order], "softmax"), found[:, order])  # to the bit: equal logits tie
    assert np.array_equal(log_odds(logits, "sigmoid"), exact)
    pair = log_odds(logits[:, :2], "softmax")
    assert np.array_equal(pair[:, 1], exact[:, 1] - exact[:, 0])


@pytest.mark.parametrize("size", [1e4, 1e38])
def test_log_odds_of_extreme_logits_are_finite_and_ordered(size):
    for width in (2, 3):
        logits = np.zeros((3, width), np.float32)
        logits[:, -1] = np.array([-1.0, 0.5, 1.0]) * size
        found = log_odds(logits, "softmax")
        assert np.isfinite(found).all()
        assert (np.diff(found[:, -1]) > 0).all()
        assert (np.diff(found[:, 0]) < 0).all()


def test_a_softmax_over_labels_ranks_by_its_own_rule():
    logits = np.array([[60.0, 0.0, 0.0], [50.0, 40.0, 0.0]], np.float32)
    assert link_of("multilabel", {"multilabel_softmax": True}) == "softmax"
    assert (
        log_odds(logits, link_of("multilabel", {"multilabel_softmax": False}))[0, 0] > log_odds(logits, "sigmoid")[1, 0]
    )
    softmax = log_odds(logits, "softmax")
    assert softmax[0, 0] == pytest.approx(60 - math.log(2))
    assert softmax[1, 0] == pytest.approx(10)


@given(st.floats(-1e38, 1e38), st.floats(0, 1e38))
@settings(max_examples=200, deadline=None)
def test_a_cutoff_midway_divides_two_scores(low, distance):
    high = low + distance
    if high > low:
        assert low < midway(high, low) <= high


def test_predictions_without_logits_are_scored_by_their_scores(tmp_path):
    for task in TASKS:
        path = tmp_path / f"{task}.parquet"
        simulate_predictions(path, task, signal=1.0, seed=0, rows=120)
        whole = read_predictions(path, CLASSES[task], find_task(task).type)["test"]
        pq.write_table(pq.read_table(path).drop(["logits"]), path)
        alone = read_predictions(path, CLASSES[task], find_task(task).type)["test"]
        np.testing.assert_allclose(alone.log_odds, whole.log_odds, rtol=1e-3, atol=1e-4)
    with pytest.raises(DataError, match="expected a column logits, found none"):
        read_predictions(path, CLASSES["procedures"], "multilabel", link="softmax")


def test_large_margins_survive_in_binary_scores(tmp_path):
    path = tmp_path / "mortality.parquet"
    simulate_predictions(path, "mortality", signal=1.0, seed=0, rows=120)
    margins = np.linspace(17, 60, 120)
    likely = np.stack([sigmoid(-margins), sigmoid(margins)], axis=1).astype(np.float32)
    table = pq.read_table(path).drop(["logits", "scores"])
    table = table.append_column("scores", pa.array(likely.tolist(), pa.list_(pa.float32())))
    pq.write_table(table, path)
    data = read_predictions(path, [0, 1], "binary")
    found = np.concatenate([data["validation"].log_odds[:, 1], data["test"].log_odds[:, 1]])
    np.testing.assert_allclose(np.sort(found), margins, rtol=1e-5)


@pytest.mark.parametrize("fit_slope", [False, True])
@pytest.mark.parametrize("start", [0.0, 20.0, 400.0, 1e4])
def test_a_calibration_of_distant_scores_ends(start, fit_slope):
    generator = np.random.default_rng(0)
    y = generator.random(200) < 0.15
    x = start + generator.random(200)
    found = fit_logistic(x, y, fit_slope=fit_slope)
    place, slope = found
    assert sigmoid(place + slope * x).mean() == pytest.approx(y.mean(), rel=1e-3)


@given(
    hnp.arrays(np.float64, 12, elements=st.floats(-1e38, 1e38) | st.sampled_from([0.0, 1.0, 50.0, -800.0])),
    hnp.arrays(bool, 12),
)
@settings(max_examples=150, deadline=None)
def test_every_calibration_is_finite_or_none(x, y):
    for fit_slope in (False, True):
        found = fit_logistic(x, y, fit_slope=fit_slope)
        assert found is None or np.isfinite(found).all()


def test_slopes_of_separating_resamples_are_undefined():
    x, y = np.array([[-1.0], [1.0], [0.0], [2.0], [0.5]]), np.array([[False], [True], [False], [True], [False]])
    data = of_margins(x[:, 0], y[:, 0])
    assert np.isnan(compute_all(data)["calibration_slope"][0])
    mixed = replace(data, target=np.array([[1, 0], [0, 1], [1, 0], [0, 1], [0, 1]], bool)[[0, 1, 3, 2, 4]])
    counts = np.array([[1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 0, 1, 1], [1, 1, 0, 0]], np.uint8)
    found = compute_all(mixed, counts)
    assert np.isfinite(found["calibration_slope"]).tolist() == [True, False, False, False]
    assert not np.isfinite(found["calibration_intercept"][3])


def test_intervals_leave_out_what_is_not_finite():
    values = np.array([-np.inf, np.nan, *[1.0] * 98])
    assert percentile_interval(values, 0.99) == (1.0, 1.0)
    assert undefined(values) == 2
    assert percentile_interval(np.array([1.0, 1.0, np.nan, np.inf, -np.inf]), 0.95) is None  # fewer than half
    assert bca_interval(1.0, values, np.ones(20), 0.95) == (1.0, 1.0)
    with np.errstate(all="raise"):
        found = paired_difference((0.5, 0.6), (values, values), 0.95)
    assert found.undefined == 2
    assert found.interval == (0.0, 0.0)
    nothing = paired_difference((0.5, 0.6), (np.full(9, np.nan), np.ones(9)), 0.95)
    assert nothing.interval is nothing.p_value is None
    assert holm({"a": 0.01, "b": None, "c": math.nan, "d": 0.04}) == pytest.approx({"a": 0.02, "d": 0.04})


def test_a_difference_without_resamples_has_no_p_value():
    def cell(estimate, value):
        return Cell(estimate, (estimate,), np.full(50, value), np.full(20, value), {})

    found = compare_pair(cell(0.5, 0.5), cell(0.6, np.nan), 0.95)
    assert found.difference == pytest.approx(0.1)
    keys = ("interval", "p_value", "p_total", "standard_error", "interval_total")
    assert [getattr(found, key) for key in keys] == [None] * 5
    assert compare_pair(cell(0.5, 0.5), cell(math.nan, np.nan), 0.95).difference is None


def degenerate(case, logits, target, generator):
    """Logits, and outcomes, of one kind of hopeless predictions; K classes, target of shape (N, K)."""
    classes = logits.shape[1]
    if case == "saturated":
        logits = logits + 1000.0 * (np.arange(classes) == classes - 1)
    elif case == "constant":
        logits = np.ones_like(logits)
    elif case == "separable":
        logits = np.where(target, 5.0, -5.0) + 0.1 * generator.random(logits.shape)
    elif case in ("1e4", "1e38"):
        logits = np.sign(logits) * float(case) * generator.choice([0.5, 1.0, 3.0], logits.shape)
    return logits


def relabelled(case, kind, target):
    """Outcomes of one class alone, or of a single positive."""
    if case == "one class":
        target = np.zeros_like(target)
        target[:, 0] = kind != "multilabel"
    elif case == "one positive":
        target = np.zeros_like(target)
        target[:, 0] = kind != "multilabel"
        for row in (0, len(target) - 1):
            target[row] = False
            target[row, -1] = True
    return target


def write_degenerate(path, task, case, seed):
    """Predictions of 60 validation and 60 test rows; the labels depend on the task and the case alone."""
    kind, classes, rows = find_task(task).type, CLASSES[task], 120
    fixed, draws = np.random.default_rng(7), np.random.default_rng([seed, 5])
    if kind == "multilabel":
        target = fixed.random((rows, len(classes))) < 0.3
    else:
        target = fixed.integers(0, len(classes), rows)[:, None] == np.arange(len(classes))
    target = np.concatenate([relabelled(case, kind, part) for part in (target[:60], target[60:])])
    logits = degenerate(case, draws.normal(size=target.shape) + target, target, draws).astype(np.float32)
    odds = log_odds(logits, default_link(kind))
    if kind == "multilabel":
        label = pa.array([[classes[k] for k in np.flatnonzero(row)] for row in target], pa.list_(pa.string()))
    else:
        label = pa.array(target.argmax(axis=1))
    lists = pa.list_(pa.float32())
    columns = {
        "hadm_id": np.arange(rows) + 100,
        "subject_id": np.arange(rows) + 900,
        "split": ["validation"] * 60 + ["test"] * 60,
        "label": label,
        "scores": pa.array(sigmoid(odds).astype(np.float32).tolist(), lists),
        "logits": pa.array(logits.tolist(), lists),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)


def strict(path):
    """A JSON file, in which every number is finite."""

    def refuse(word):
        raise AssertionError(f"{path}: {word}")

    return json.loads(path.read_text(), parse_constant=refuse)


CASES = ("saturated", "constant", "separable", "one class", "one positive", "1e4", "1e38")


@pytest.mark.parametrize("case", CASES)
def test_a_hopeless_study_is_written_finite_or_marked(tmp_path, case, monkeypatch):
    monkeypatch.setattr("clinical_peft.metrics.resampling.GROUPS", 10)
    metrics, replicates, predictions, classes, by_task = [], [], [], {}, {}
    draw = {"resamples": 40, "bootstrap_seed": 0}
    for task in TASKS:
        classes[task] = tmp_path / f"{task}.classes.json"
        classes[task].write_text(json.dumps(CLASSES[task]))
        for seed, model in enumerate(MODELS):
            place = tmp_path / model / task
            write_degenerate(place / "p.parquet", task, case, seed)
            files = {"output": place / "m.json", "replicates": place / "r.parquet"}
            job = {"model": model, "task": task, "switches": {"multilabel_softmax": False}}
            stated = {"protocol": "corrected", "cohort_sha256": "ab", "provenance": {}}
            evaluate(
                place / "p.parquet", classes[task], task=find_task(task), job=job, seed=0, **stated, **draw, **files
            )
            metrics.append(files["output"])
            replicates.append(files["replicates"])
            predictions.append(place / "p.parquet")
            by_task.setdefault(task, {})[model] = [place / "p.parquet"]
    attributes = tmp_path / "attributes.parquet"
    pq.write_table(pa.table({"hadm_id": np.arange(120) + 100, "sex": ["F", "F", "M"] * 40}), attributes)
    files, by_name = RunFiles(metrics, predictions, classes), {task: find_task(task) for task in TASKS}
    groups = {"tiny LLaMA": list(MODELS)}
    found = {
        "comparison": aggregate(
            metrics,
            replicates,
            tasks=by_name,
            groups=groups,
            predictions=predictions,
            classes=classes,
            output=tmp_path / "comparison.json",
        ).to_json(),
        "calibration": calibrate(files, **draw, output=tmp_path / "calibration.json").to_json(),
        "subgroups": compare_subgroups(
            files, [attributes], tasks=by_name, **draw, output=tmp_path / "subgroups.json"
        ).to_json(),
    }
    runs = [strict(path) for path in metrics]
    for name, value in found.items():
        assert strict(tmp_path / f"{name}.json") == value
    results = StudyResults(
        **found,
        labels=LABELS,
        metrics=runs,
        replicates=replicates,
        predictions=by_task,
        classes=classes,
        cohorts={task: _cohort(tmp_path, task) for task in TASKS},
    )
    tables = build_tables(results)
    for comparison in compare_groups(StudyResults(comparison=found["comparison"], labels=LABELS)):
        tables |= {comparison.pairs.name: comparison.pairs, comparison.by_task.name: comparison.by_task}
    for name, table in tables.items():
        write_table(table, tmp_path / name)
        for cell in (cell for row in table.rows for cell in row):
            assert not {"nan", "inf", "None"} & set(cell.replace("[", " ").replace(",", " ").split()), (name, cell)
    for file in tmp_path.glob("*.csv"):
        for row in csv.reader(file.open()):
            assert not {"nan", "inf", "-inf"} & {cell.lower() for cell in row}, (file.name, row)
    _is_marked(case, runs, tables)
    if case not in ("one class", "one positive"):
        return
    assert draw_all(tmp_path / "figures", results)


def _cohort(folder, task):
    label = [CLASSES[task][:1]] * 3 if find_task(task).multilabel else [0] * 3
    path = folder / f"{task}.parquet"
    pq.write_table(pa.table({"hadm_id": [1, 2, 3], "split": ["train"] * 3, "label": label, "text": ["a"] * 3}), path)
    return path


def _is_marked(case, runs, tables):
    """What is undefined is null in the metrics, and said in the tables."""
    binary = next(run for run in runs if run["task"] == "mortality")
    record = next(one for one in tables["metrics"].records if one["task"] == "mortality")
    if case == "one class":
        # One positive would look alike: a hidden count would follow.
        assert set(binary["metrics"]["test"].values()) == {None}
        assert set(binary["intervals"]["test"].values()) == {None}
        assert binary["bootstrap"]["undefined"]["auroc"] is None
        assert "auroc: it would give away a count below 10" in record["undefined"]
    elif case == "one positive":
        assert binary["bootstrap"]["undefined"]["auroc"] is None  # a hidden count would follow
        assert binary["metrics"]["test"]["auroc"] is not None
        assert binary["intervals"]["test"]["auroc"] is not None
    elif case in ("constant", "separable"):
        assert binary["metrics"]["test"]["calibration_slope"] is None
        assert binary["metrics"]["test"]["auroc"] == (0.5 if case == "constant" else 1.0)
    else:
        assert binary["metrics"]["test"]["auroc"] > 0.6
        assert len({run["metrics"]["test"]["auroc"] for run in runs}) > 2


def test_log_loss_of_moderate_logits_is_scikit_learns():
    generator = np.random.default_rng(1)
    positive = generator.random(80) < 0.4
    data = of_margins(generator.normal(size=80) * 3, positive)
    expected = log_loss(positive, data.scores[:, 1])
    assert compute_all(data)["log_loss"][0] == pytest.approx(expected)


def test_log_loss_of_certain_and_wrong_scores_is_finite():
    """A probability of exactly 0 has no logarithm; the margin has."""
    data = of_margins(np.array([800.0, -800.0, 3.0]), np.array([False, True, True]))
    assert data.scores[0, 0] == 0
    assert log_losses(data) == pytest.approx([800, 800, np.log1p(np.exp(-3))])
