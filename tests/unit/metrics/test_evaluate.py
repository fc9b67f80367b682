"""Predictions files, metrics files, and their aggregate: contents, determinism, and what is refused."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from evaluation_fixtures import rewrite, run_evaluation
from scipy.special import softmax
from simulated_study import CLASSES, simulate_predictions
from sklearn.metrics import roc_auc_score

from clinical_peft.errors import DataError
from clinical_peft.metrics.aggregate import MACRO, aggregate
from clinical_peft.metrics.evaluate import evaluate
from clinical_peft.metrics.predictions import read_predictions
from clinical_peft.metrics.records import RunMetrics
from clinical_peft.metrics.registry import metrics_of
from clinical_peft.metrics.replicates import read_replicates
from clinical_peft.metrics.resampling import percentile_interval
from clinical_peft.tasks import TASKS, find_task


def set_first(value):
    return lambda values: [value, *values[1:]]


@pytest.mark.parametrize(
    ("task", "column", "change", "message"),
    [
        ("mortality", "scores", set_first([0.5, float("nan")]), "finite"),
        ("mortality", "logits", set_first([float("inf"), 0.0]), "diverged"),
        ("mortality", "scores", set_first([-0.25, 1.25]), "between 0 and 1"),
        ("mortality", "scores", set_first([0.25, 0.25]), "sum to 1"),
        ("mortality", "scores", set_first([1.0]), "expected 2 values"),
        ("mortality", "label", set_first(7), "row 0: expected one of the 2 classes"),
        ("mortality", "hadm_id", lambda values: [values[1], *values[1:]], "every admission once"),
        ("mortality", "split", lambda values: ["train"] * len(values), "split 'validation'"),
        ("diagnoses", "scores", set_first([1.5] * 20), "between 0 and 1"),
        ("diagnoses", "label", set_first(None), "list of labels"),
    ],
)
def test_malformed_predictions_are_refused(tmp_path, task, column, change, message):
    path = tmp_path / "predictions.parquet"
    simulate_predictions(path, task, signal=1.0, seed=0, rows=40)
    rewrite(path, column, change)
    with pytest.raises(DataError, match=message):
        read_predictions(path, CLASSES[task], find_task(task).type)


@pytest.mark.parametrize("column", ["hadm_id", "subject_id"])
def test_a_row_without_admission_or_patient_is_refused(tmp_path, column):
    path = tmp_path / "predictions.parquet"
    simulate_predictions(path, "mortality", signal=1.0, seed=0, rows=40)
    rewrite(path, column, set_first(None))
    with pytest.raises(DataError, match=f"column {column}: expected an id in every row, found 1 rows without one"):
        read_predictions(path, CLASSES["mortality"], "binary")


def test_a_patient_is_in_one_split_unless_by_admission(tmp_path):
    result, _, _ = run_evaluation(tmp_path, "pmv")
    path = tmp_path / "m-pmv-0.parquet"
    splits = pq.read_table(path)["split"].to_pylist()
    held = splits.index("validation"), splits.index("test")
    rewrite(
        path,
        "subject_id",
        lambda values: [values[held[0]] if row == held[1] else one for row, one in enumerate(values)],
    )
    with pytest.raises(DataError, match="expected patients in one split, found 1 in validation and test"):
        read_predictions(path, CLASSES["pmv"], "binary")
    found = read_predictions(path, CLASSES["pmv"], "binary", patients_apart=False)
    assert {name: len(split) for name, split in found.items()} == result["n"]
    settings = {
        "task": find_task("pmv"),
        "job": {"model": "m"},
        "protocol": "corrected",
        "cohort_sha256": "ab",
        "seed": 0,
    }
    settings |= {"resamples": 20, "bootstrap_seed": 0, "provenance": {}, "output": tmp_path / "x.json"}
    files = (path, tmp_path / "pmv.classes.json")
    with pytest.raises(DataError, match="expected patients in one split"):
        evaluate(*files, replicates=tmp_path / "x.parquet", **settings)
    assert evaluate(*files, replicates=tmp_path / "x.parquet", patients_apart=False, **settings).protocol == "corrected"


def test_missing_column_and_missing_file_are_refused(tmp_path):
    path = tmp_path / "predictions.parquet"
    with pytest.raises(DataError, match="found none"):
        read_predictions(path, [0, 1], "binary")
    pq.write_table(pa.table({"hadm_id": [1]}), path)
    with pytest.raises(DataError, match="missing: label"):
        read_predictions(path, [0, 1], "binary")


def test_labels_outside_the_label_space_are_counted_not_scored(tmp_path):
    path = tmp_path / "predictions.parquet"
    simulate_predictions(path, "procedures", signal=1.0, seed=0, rows=60)
    before = read_predictions(path, CLASSES["procedures"], "multilabel")
    rewrite(path, "label", lambda values: [[*codes, "9999"] for codes in values])
    after = read_predictions(path, CLASSES["procedures"], "multilabel")
    for name in ("validation", "test"):
        assert (before[name].target == after[name].target).all()
        assert after[name].labels_outside_classes == len(after[name])


def test_metrics_file_holds_what_its_documentation_says(tmp_path):
    result, output, replicates = run_evaluation(tmp_path, "los", seed=3)
    stored = json.loads(output.read_text())
    assert stored == result
    assert (stored["model"], stored["task"], stored["seed"], stored["task_type"]) == ("m", "los", 3, "multiclass")
    names = {metric.name for metric in metrics_of("multiclass", 4)}
    assert set(stored["metrics"]["test"]) == names == set(stored["intervals_bca"]["test"])
    low, high = stored["intervals"]["test"]["auroc"]
    wide_low, wide_high = stored["intervals_99"]["test"]["auroc"]
    assert wide_low <= low < stored["metrics"]["test"]["auroc"] < high <= wide_high
    assert sum(stored["positives"]["test"]) == stored["n"]["test"]
    assert stored["versions"] == {"numpy": "2"}
    assert stored["provenance"] == {"git": "f00"}
    assert stored["recipe"] == {"model": "m", "switches": {"multilabel_softmax": False}}
    values = read_replicates(replicates, RunMetrics.of(stored))
    assert percentile_interval(values, 0.95) == RunMetrics.of(stored).intervals["test"]["auroc"]


def test_evaluation_is_deterministic_to_the_byte(tmp_path):
    files = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        _, output, replicates = run_evaluation(tmp_path / name, "diagnoses")
        files.append((output.read_bytes(), replicates.read_bytes()))
    assert files[0] == files[1]


def test_threshold_is_chosen_on_validation_unless_fixed(tmp_path):
    chosen, _, _ = run_evaluation(tmp_path, "procedures")
    fixed, _, _ = run_evaluation(tmp_path, "procedures", threshold=0.5)
    assert chosen["threshold"]["chosen_on"] == "validation"
    assert fixed["threshold"] == {"value": 0.5, "log_odds": 0.0, "chosen_on": "fixed"}
    assert chosen["metrics"]["validation"]["f1_micro"] > fixed["metrics"]["validation"]["f1_micro"]


def test_multilabel_softmax_is_reported_beside_the_sigmoid(tmp_path):
    job = {"model": "m", "switches": {"multilabel_softmax": True}}
    with pytest.raises(DataError, match="expected scores that are the softmax of the logits, found a distance of"):
        run_evaluation(tmp_path, "procedures", job=job)
    path = tmp_path / "m-procedures-0.parquet"
    logits = np.array(pq.read_table(path)["logits"].to_pylist())
    scores = softmax(logits, axis=1)
    rewrite(path, "scores", lambda values: scores.tolist())
    settings = {"task": find_task("procedures"), "job": job, "protocol": "paper", "cohort_sha256": "ab", "seed": 0}
    settings |= {"resamples": 20, "bootstrap_seed": 0, "provenance": {}, "output": tmp_path / "x.json"}
    files = (path, tmp_path / "procedures.classes.json")
    found = evaluate(*files, replicates=tmp_path / "x.parquet", **settings).metrics["test"]
    with pytest.raises(DataError, match="expected scores that are the sigmoid of the logits"):
        evaluate(
            *files,
            replicates=tmp_path / "x.parquet",
            **settings | {"job": {"model": "m", "switches": {"multilabel_softmax": False}}},
        )
    table = pq.read_table(path)
    test = np.array(table["split"].to_pylist()) == "test"
    target = np.array([[code in row for code in CLASSES["procedures"]] for row in table["label"].to_pylist()])[test]
    scored = target.any(axis=0) & ~target.all(axis=0)
    for name, values in (("auroc", scores), ("auroc_sigmoid", logits)):
        assert found[name] == pytest.approx(roc_auc_score(target[:, scored], values[test][:, scored]))


def test_an_undefined_test_auroc_is_null(tmp_path):
    path = tmp_path / "m-mortality-0.parquet"
    _, output, replicates = run_evaluation(tmp_path)
    rewrite(path, "label", lambda values: [0] * len(values))
    evaluate(
        path,
        tmp_path / "mortality.classes.json",
        task=find_task("mortality"),
        job={"model": "m"},
        protocol="corrected",
        cohort_sha256="ab",
        seed=0,
        resamples=100,
        bootstrap_seed=0,
        provenance={},
        output=output,
        replicates=replicates,
    )
    stored = json.loads(output.read_text())
    assert stored["metrics"]["test"]["auroc"] is stored["intervals"]["test"]["auroc"] is None
    assert stored["bootstrap"]["undefined"]["auroc"] is None  # a hidden count would follow
    assert stored["metrics"]["test"]["brier"] is None  # of a split with a hidden count


def test_aggregate_averages_over_the_same_patients(tmp_path):
    runs = [
        run_evaluation(tmp_path, task, model=model, seed=seed, signal=signal)
        for model, signal in (("weak", 0.1), ("strong", 1.5))
        for task in ("mortality", "los", "control")
        for seed in (0, 1)
    ]
    result = aggregate(
        [run[1] for run in runs],
        [run[2] for run in runs],
        tasks={task: find_task(task) for task in ("mortality", "los", "control")},
        groups={"g": ["weak", "strong", "absent"]},
        output=tmp_path / "comparison.json",
    ).to_json()
    assert json.loads((tmp_path / "comparison.json").read_text()) == result
    by_cell = {(row["model"], row["task"]): row for row in result["summaries"]}
    by_seed = [
        run[0]["metrics"]["test"]["auroc"] for run in runs if (run[0]["model"], run[0]["task"]) == ("weak", "los")
    ]
    assert by_cell["weak", "los"]["auroc"] == pytest.approx(np.mean(by_seed))
    assert by_cell["weak", "los"]["seed_sd"] == pytest.approx(np.std(by_seed, ddof=1))
    assert result["macro_tasks"] == ["mortality", "los"]
    macro = by_cell["strong", MACRO]
    assert macro["auroc"] == pytest.approx(np.mean([by_cell["strong", task]["auroc"] for task in ("mortality", "los")]))
    assert macro["seeds"] == 2
    difference = next(row for row in result["differences"] if row["task"] == MACRO)
    assert (difference["first"], difference["second"]) == ("weak", "strong")
    assert difference["interval"][0] > 0
    low, high = by_cell["strong", "control"]["interval_99"]
    assert low <= 0.5 <= high


def test_runs_that_cannot_be_paired_are_refused(tmp_path):
    one = run_evaluation(tmp_path, model="a")
    other = run_evaluation(tmp_path, model="b", cohort_sha256="cd")
    drawn = run_evaluation(tmp_path, model="c", bootstrap_seed=1)
    for pair, message in (
        ((one, other), "another cohort"),
        ((one, drawn), "bootstrap differs"),
        ((one, one), "already"),
    ):
        with pytest.raises(DataError, match=message):
            aggregate(
                [run[1] for run in pair], [run[2] for run in pair], tasks=TASKS, groups={}, output=tmp_path / "x.json"
            )
    with pytest.raises(DataError, match="expected replicates of 'a "):
        aggregate([one[1]], [other[2]], tasks=TASKS, groups={}, output=tmp_path / "x.json")


def test_a_study_without_models_has_an_empty_aggregate(tmp_path):
    result = aggregate([], [], tasks=TASKS, groups={}, output=tmp_path / "x.json")
    assert (result.summaries, result.differences, result.macro_tasks) == ([], [], [])
