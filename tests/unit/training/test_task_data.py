"""Cohorts as fine-tuning reads them: what is refused, what is counted, what is cut."""

import math

import numpy as np
import pytest
from models_fixtures import altered_cohort, columns, make_job, prepared_task, run

from clinical_peft.errors import TrainingError
from clinical_peft.tokens.tokenizer import load_tokenizer
from clinical_peft.training.task_data import read_task


def test_a_causal_note_ends_with_the_end_token_even_if_cut(study):
    prepared = prepared_task(make_job("task"), study)
    end = load_tokenizer(study["causal"]).eos_token_id
    last = prepared.notes.ids[prepared.notes.starts[1:] - 1]
    assert (last == end).all()
    original = prepared_task(make_job("task", switches={"pool_last_position": True}), study)
    assert (original.notes.ids[original.notes.starts[1:] - 1] != end).all()


@pytest.mark.parametrize(
    ("task", "edit", "message"),
    [
        (
            "mortality",
            lambda record: record["label"].__setitem__(3, 7),
            "row 56 by hadm_id: expected one of the 2 classes",
        ),
        ("diagnoses", lambda record: record["label"][3].append("999"), "expected one of the 5 classes as each label"),
        ("mortality", lambda record: record.pop("text"), "missing: text"),
        ("mortality", lambda record: record.update(split=["train"] * 60), "missing: test, validation"),
        ("mortality", lambda record: record.update(label=[1] * 60), "no differing labels"),
        ("los", lambda record: record["text"].__setitem__(0, None), "row 59 by hadm_id: the admission note is empty"),
        ("los", lambda record: record["text"].__setitem__(1, " "), "row 58 by hadm_id: the admission note is empty"),
    ],
)
def test_unusable_cohorts_are_refused(task, edit, message, study, tmp_path):
    with pytest.raises(TrainingError, match=message):
        prepared_task(make_job("head", task), study, **altered_cohort(study, tmp_path, task, edit))


@pytest.mark.parametrize("column", ["label", "split"])
@pytest.mark.parametrize("task", ["mortality", "diagnoses"])
def test_a_note_in_another_column_is_not_quoted(task, column, study, tmp_path):
    def misplace(record):
        notes = [f"Mrs Smith {row}" for row in range(len(record["text"]))]
        record[column] = [[note] for note in notes] if (column, task) == ("label", "diagnoses") else notes

    with pytest.raises(TrainingError) as caught:
        prepared_task(make_job("head", task), study, **altered_cohort(study, tmp_path, task, misplace))
    assert "Smith" not in str(caught.value)


def test_codes_that_only_test_admissions_have_are_counted(study, tmp_path):
    changes = altered_cohort(study, tmp_path, "diagnoses", lambda record: record["label"][-1].append("999"))
    summary = run(make_job("head", "diagnoses"), study, tmp_path, **changes)
    assert summary["unknown_codes"] == 1
    assert summary["classes_without_training_rows"] == 1


def test_a_class_absent_from_training_is_counted(study, tmp_path):
    def drop_longest_stays(record):
        for row, split in enumerate(record["split"]):
            if split == "train" and record["label"][row] == 3:
                record["label"][row] = 0

    changes = altered_cohort(study, tmp_path, "los", drop_longest_stays)
    summary = run(make_job("task", "los"), study, tmp_path, **changes)
    assert summary["classes_without_training_rows"] == 1
    assert all(math.isfinite(point["validation_loss"]) for point in summary["curve"])
    assert np.isfinite(columns(tmp_path / "predictions.parquet", "logits")).all()


def test_context_beyond_the_base_is_refused(study, tmp_path):
    with pytest.raises(TrainingError, match="context is 65 tokens, but the base has 64"):
        run(make_job("head", context=65), study, tmp_path)


def test_named_classes_take_labels_as_indices(study, tmp_path):
    (tmp_path / "classes.json").write_text('["short", "medium", "long", "longest"]')
    named = read_task(study["los"], tmp_path / "classes.json", "los", "multiclass")
    np.testing.assert_array_equal(
        named.targets, read_task(study["los"], study["los classes"], "los", "multiclass").targets
    )
