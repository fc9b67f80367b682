"""The TF-IDF baseline: contract, choice of penalty, rare and absent labels."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from models_fixtures import CODES, make_job, write_cohort
from sklearn.metrics import roc_auc_score

from clinical_peft.errors import TrainingError
from clinical_peft.files import read_json, sha256_file
from clinical_peft.runtime.events import NullLog
from clinical_peft.training.classical import prepare
from clinical_peft.training.finetuning import finetune
from clinical_peft.training.task_data import TaskInputs


def tfidf_job(task: str, **switches: bool):
    return replace(make_job("tfidf", task, switches=switches), kind="tfidf", family=None)


def fit(task: str, folder: Path, *, cohort: Path | None = None, out: str = "out", job=None, **settings):
    written, classes = write_cohort(folder, task)
    prepared = prepare(job or tfidf_job(task), TaskInputs(cohort=cohort or written, classes=classes))
    return finetune(
        replace(prepared, **settings),
        seed=0,
        work=folder / "work",
        log=NullLog(),
        predictions=folder / out / "predictions.parquet",
        model_directory=folder / out / "model",
    )


def read(folder: Path, name: str, out: str = "out") -> np.ndarray:
    return np.asarray(pq.read_table(folder / out / "predictions.parquet").column(name).to_pylist())


@pytest.mark.parametrize(("task", "classes"), [("mortality", 2), ("los", 4), ("diagnoses", len(CODES))])
def test_predictions_follow_the_contract(task, classes, tmp_path):
    summary = fit(task, tmp_path)
    table = pq.read_table(tmp_path / "out/predictions.parquet")
    cohort = pq.read_table(tmp_path / f"{task}.parquet").sort_by("hadm_id").drop("text").to_pylist()
    assert table.schema.names == ["hadm_id", "subject_id", "split", "label", "scores", "logits"]
    assert table.drop(["scores", "logits"]).to_pylist() == [row for row in cohort if row["split"] != "train"]
    scores, logits = read(tmp_path, "scores"), read(tmp_path, "logits")
    assert scores.shape == logits.shape == (table.num_rows, classes)
    odds = np.exp(logits)
    expected = odds / (1 + odds) if task == "diagnoses" else odds / odds.sum(1, keepdims=True)
    np.testing.assert_allclose(scores, expected, rtol=1e-4)
    assert summary["curve"][0]["penalty"] == 0.1
    assert read_json(tmp_path / "out/model/classifier.json")["penalty"] == summary["penalty"]


def test_it_learns_and_reports_the_validation_figure_that_chose(tmp_path):
    summary = fit("mortality", tmp_path)
    validation = read(tmp_path, "split") == "validation"
    area = roc_auc_score(read(tmp_path, "label")[validation], read(tmp_path, "scores")[validation, 1])
    assert area > 0.9
    chosen = {point["penalty"]: point["validation_auroc"] for point in summary["curve"]}
    assert chosen[summary["penalty"]] == pytest.approx(area) == pytest.approx(max(chosen.values()))


def test_grid_of_penalties_goes_on_while_its_end_is_best(tmp_path):
    tried = [point["penalty"] for point in fit("los", tmp_path, penalties=(0.1, 1.0))["curve"]]
    assert tried == [0.1, 1.0, 10.0, 100.0]


def test_grid_ends_where_its_end_is_not_the_best(tmp_path):
    summary = fit("mortality", tmp_path, penalties=(10.0, 1e-6))
    assert [point["penalty"] for point in summary["curve"]] == [10.0, 1e-6]


def test_labels_without_training_rows_score_lowest(tmp_path):
    summary = fit("diagnoses", tmp_path)
    assert summary["classes_without_training_rows"] == 1
    scores = read(tmp_path, "scores")
    never, always, once = (scores[:, CODES.index(code)] for code in ("never", "401", "V58"))
    assert len(set(never)) == len(set(always)) == 1
    assert 0 < never[0] < once.min() < once.max() < always[0] < 1


def test_class_without_training_rows_is_the_least_likely(tmp_path):
    written, _ = write_cohort(tmp_path, "los")
    table = pq.read_table(written)
    rows = zip(table.column("split").to_pylist(), table.column("label").to_pylist(), strict=True)
    labels = [0 if split == "train" and label == 2 else label for split, label in rows]
    pq.write_table(table.set_column(4, "label", [labels]), tmp_path / "absent.parquet")
    assert fit("los", tmp_path, cohort=tmp_path / "absent.parquet")["classes_without_training_rows"] == 1
    scores = read(tmp_path, "scores")
    assert (scores.argmin(axis=1) == 2).all()
    assert (scores[:, 2] > 0).all()


def test_same_bytes_for_same_inputs(tmp_path):
    for out in ("first", "second"):
        fit("diagnoses", tmp_path, out=out)
    digests = {sha256_file(tmp_path / out / "predictions.parquet") for out in ("first", "second")}
    assert len(digests) == 1


def test_training_does_not_see_other_splits(tmp_path):
    written, _ = write_cohort(tmp_path, "mortality")
    fit("mortality", tmp_path, penalties=(1.0,))
    table = pq.read_table(written)
    rows = table.select(["split", "text", "label"]).to_pylist()
    last = max(index for index, row in enumerate(rows) if row["split"] == "test")
    labels = [1 - row["label"] if row["split"] != "train" else row["label"] for row in rows]
    texts = ["unheard words" if index == last else row["text"] for index, row in enumerate(rows)]
    altered = table.set_column(3, "text", [texts]).set_column(4, "label", [labels])
    pq.write_table(altered, tmp_path / "altered.parquet")
    fit("mortality", tmp_path, cohort=tmp_path / "altered.parquet", penalties=(1.0,), out="altered")
    before, after = read(tmp_path, "logits"), read(tmp_path, "logits", "altered")
    changed = np.abs(before - after).max(axis=1) > 0
    assert changed.sum() == 1


def test_softmax_switch(tmp_path):
    fit("diagnoses", tmp_path, job=tfidf_job("diagnoses", multilabel_softmax=True))
    np.testing.assert_allclose(read(tmp_path, "scores").sum(axis=1), 1, rtol=1e-5)


def test_notes_without_shared_words_are_refused(tmp_path):
    written, _ = write_cohort(tmp_path, "mortality")
    table = pq.read_table(written)
    texts = [f"unique{row}" for row in range(table.num_rows)]
    pq.write_table(table.set_column(3, "text", [texts]), tmp_path / "unique.parquet")
    with pytest.raises(TrainingError, match="no word occurs in two training notes"):
        fit("mortality", tmp_path, cohort=tmp_path / "unique.parquet")
