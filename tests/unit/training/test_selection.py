"""Validation metrics that pick an epoch or a penalty, against scikit-learn and against those of finished runs."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from models_fixtures import make_job, run, write_base
from own_cohorts import OWN_TASKS, write_own_cohort
from sklearn.metrics import accuracy_score, average_precision_score, f1_score

from clinical_peft.errors import TrainingError
from clinical_peft.models.decisions import best_cutoff, predicted
from clinical_peft.models.scores import log_odds
from clinical_peft.recipes import COMPARE_BY, FinetuneJob
from clinical_peft.recipes.job_records import as_record, job_from_record, read_record
from clinical_peft.runtime.events import NullLog
from clinical_peft.training.classical import prepare
from clinical_peft.training.finetuning import finetune
from clinical_peft.training.selection import is_defined, selection_value
from clinical_peft.training.task_data import TaskInputs, read_task


def split(kind, rows=80, classes=4, seed=0):
    """Log-odds and targets of a split."""
    generator = np.random.default_rng(seed)
    classes = 2 if kind == "binary" else classes
    if kind == "multilabel":
        targets = (generator.random((rows, classes)) < 0.3).astype(np.uint8)
        return generator.normal(size=targets.shape) + targets, targets
    targets = generator.integers(0, classes, rows)
    logits = generator.normal(size=(rows, classes)) + 1.5 * np.eye(classes)[targets]
    return log_odds(np.round(logits, 1), "softmax"), targets


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel"])
def test_areas_and_decisions_are_scikit_learns(kind):
    scores, targets = split(kind)
    target = targets.astype(bool) if kind == "multilabel" else targets[:, None] == np.arange(scores.shape[1])
    columns = [1] if kind == "binary" else range(target.shape[1])
    expected = np.mean([average_precision_score(target[:, one], scores[:, one]) for one in columns])
    assert selection_value("auprc", scores, targets, kind) == pytest.approx(expected)
    decided = predicted(scores, kind, best_cutoff(scores, target, kind))
    most_accurate = predicted(scores, kind, best_cutoff(scores, target, kind, by="accuracy"))
    assert selection_value("f1_macro", scores, targets, kind) == pytest.approx(
        f1_score(target, decided, average="macro")
    )
    if kind != "multilabel":
        expected = accuracy_score(targets, most_accurate.argmax(axis=1))
        assert selection_value("accuracy", scores, targets, kind) == pytest.approx(expected)


def test_only_areas_need_both_outcomes():
    targets = np.zeros(9, int)
    found = {name: is_defined(name, targets, 3, "multiclass") for name in COMPARE_BY}
    assert found == {"auroc": False, "auprc": False, "accuracy": True, "f1_macro": True}
    assert not is_defined("accuracy", targets[:0], 3, "multiclass")


@pytest.mark.parametrize("name", COMPARE_BY)
def test_an_epoch_is_chosen_by_the_compared_metric(name, tmp_path):
    task = OWN_TASKS["service"]
    cohort, classes = write_own_cohort(tmp_path / "cohorts", task, rows=120)
    study = {"causal": write_base(tmp_path / "base", "causal"), "service": cohort, "service classes": classes}
    job = replace(make_job("head", "service", epochs=4, selection=name), task_type="multiclass")
    summary = run(job, study, tmp_path)
    curve = [epoch[f"validation_{name}"] for epoch in summary["curve"]]
    assert summary["selected_by"] == name
    assert curve[summary["best_epoch"] - 1] == max(curve)
    assert {key for key in summary["curve"][0] if key.startswith("validation")} == {
        "validation_loss",
        f"validation_{name}",
    }


def test_a_penalty_is_chosen_by_the_compared_metric(tmp_path):
    task = OWN_TASKS["service"]
    inputs = TaskInputs(**dict(zip(("cohort", "classes"), write_own_cohort(tmp_path, task), strict=True)))
    job = replace(make_job("tfidf", "service", selection="accuracy"), kind="tfidf", family=None, task_type="multiclass")
    summary = finetune(prepare(job, inputs), seed=0, work=tmp_path / "work", log=NullLog())
    curve = {point["penalty"]: point["validation_accuracy"] for point in summary["curve"]}
    assert curve[summary["penalty"]] == max(curve.values())


def test_records_of_built_in_jobs_name_no_new_key():
    job = replace(make_job("tfidf", "mortality"), kind="tfidf", family=None)
    assert "task_type" not in as_record(job)
    assert set(read_record(job)["recipe"]) == {"class_weights", "threads"}
    own = replace(job, task="service", task_type="multiclass", recipe=replace(job.recipe, selection="f1_macro"))
    record = read_record(own)
    assert (record["task_type"], record["recipe"]["selection"]) == ("multiclass", "f1_macro")
    again = job_from_record(FinetuneJob, record)
    assert (again.type, again.recipe.compared) == ("multiclass", "f1_macro")
    assert job_from_record(FinetuneJob, read_record(job)).type == "binary"


def test_a_class_that_training_lacks_is_counted_not_refused(tmp_path):
    task = OWN_TASKS["service"]
    cohort, classes = write_own_cohort(tmp_path, task)
    table = pq.read_table(cohort)
    rows = zip(table["label"].to_pylist(), table["split"].to_pylist(), strict=True)
    label = pa.array([0 if one == 2 and of == "train" else one for one, of in rows])
    pq.write_table(table.set_column(table.schema.get_field_index("label"), "label", label), cohort)
    job = replace(make_job("tfidf", "service"), kind="tfidf", family=None, task_type="multiclass")
    prepared = prepare(job, TaskInputs(cohort=cohort, classes=classes))
    out = tmp_path / "predictions.parquet"
    summary = finetune(prepared, seed=0, work=tmp_path / "work", log=NullLog(), predictions=out)
    assert summary["classes_without_training_rows"] == 1
    scores = np.asarray(pq.read_table(out)["scores"].to_pylist())
    assert (scores.argmax(axis=1) != 2).all()


def test_a_binary_task_with_one_class_in_training_is_refused(tmp_path):
    task = OWN_TASKS["readmitted"]
    cohort, classes = write_own_cohort(tmp_path, task)
    table = pq.read_table(cohort)
    label = pa.array([0 if of == "train" else 1 for of in table["split"].to_pylist()])
    pq.write_table(table.set_column(table.schema.get_field_index("label"), "label", label), cohort)
    with pytest.raises(TrainingError, match="the training split of readmitted shows no differing labels"):
        read_task(cohort, classes, task.name, task.type)
