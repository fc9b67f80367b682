"""Training on a part of the split: which rows are learned from, what stays, what is recorded and refused."""

from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from models_fixtures import (
    altered_cohort,
    columns,
    digests,
    make_job,
    prepared_task,
    run,
    task_inputs,
    write_cohort,
)

from clinical_peft.data.patients import source_of, with_source
from clinical_peft.data.train_subsets import training_subset
from clinical_peft.errors import TrainingError
from clinical_peft.files import read_json
from clinical_peft.recipes import PoolJob
from clinical_peft.recipes.job_records import read_record
from clinical_peft.runtime.events import NullLog
from clinical_peft.tasks import find_task
from clinical_peft.training.finetuning import finetune, prepare_task
from clinical_peft.training.kept_seeds import SeedOutputs, seed_key
from clinical_peft.training.seeds import finetune_seeds
from clinical_peft.training.task_data import TaskInputs, read_task
from clinical_peft.training.train_sizes import UNUSED, with_train_size


def sized(job, size):
    return replace(job, model=f"{job.model}@n{size}", train_size=size)


def tfidf(size=None, task="mortality"):
    job = replace(make_job("tfidf", task), kind="tfidf", family=None)
    return job if size is None else sized(job, size)


def cohort_of(study, task="mortality"):
    return read_task(study[task], study[f"{task} classes"], task, find_task(task).type)


def without_rows(study, folder, task, gone):
    """The cohort without some of its rows, given by hadm_id."""
    table = pq.read_table(study[task])
    kept = [admission not in gone for admission in table.column("hadm_id").to_pylist()]
    pq.write_table(table.filter(kept), folder / "cohort.parquet")
    return {"cohort": folder / "cohort.parquet"}


@pytest.mark.parametrize("task", ["mortality", "los", "diagnoses"])
def test_only_training_rows_leave(study, task):
    data = cohort_of(study, task)
    smaller = with_train_size(data, 12, seed=0)
    assert len(smaller.rows("train")) == 12
    assert len(smaller.rows(UNUSED)) == 36 - 12
    assert smaller.rows("validation", "test").tolist() == data.rows("validation", "test").tolist()
    assert smaller.texts == data.texts
    assert smaller.targets is data.targets
    assert smaller.table.schema == data.table.schema


def test_seeds_draw_their_own_rows_and_sizes_nest(study):
    data = cohort_of(study)
    parts = {
        (size, seed): set(with_train_size(data, size, seed=seed).rows("train")) for size in (12, 20) for seed in (0, 1)
    }
    assert parts[12, 0] < parts[20, 0]
    assert parts[12, 0] != parts[12, 1]


@pytest.mark.parametrize("variant", ["head", "clinical-frozen+task", "tfidf"])
def test_a_part_trains_like_a_cohort_that_holds_nothing_else(variant, study, tmp_path):
    job = tfidf(20) if variant == "tfidf" else sized(make_job(variant), 20)
    inputs = task_inputs(replace(job, family=job.family or "causal"), study)
    data = cohort_of(study)
    gone = set(np.asarray(data.table["hadm_id"])[with_train_size(data, 20, seed=3).rows(UNUSED)].tolist())
    small = replace(inputs, **without_rows(study, tmp_path, "mortality", gone))
    for name, trained, given in (("part", job, inputs), ("alone", replace(job, train_size=None), small)):
        settings = {"work": tmp_path / name / "work", "predictions": tmp_path / name / "predictions.parquet"}
        summary = finetune(prepare_task(trained, given), seed=3, log=NullLog(), **settings)
        (tmp_path / name / "rows").write_text(str(summary.get("train_rows")))
    for column in ("hadm_id", "scores", "logits"):
        part, alone = (columns(tmp_path / name / "predictions.parquet", column) for name in ("part", "alone"))
        np.testing.assert_allclose(part, alone, atol=1e-6)  # notes are pooled in other batches
    assert (tmp_path / "part/rows").read_text() == "20"


def test_a_part_gives_the_same_bytes_again(study, tmp_path):
    job = sized(make_job("head"), 16)
    found = []
    for name in ("first", "second"):
        run(job, study, tmp_path / name)
        found.append(digests(tmp_path / name))
    assert found[0] == found[1]
    whole = tmp_path / "whole"
    run(make_job("head"), study, whole)
    assert digests(whole)["predictions.parquet"] != found[0]["predictions.parquet"]


def test_a_head_on_pooled_features_reads_those_of_the_whole(study, tmp_path):
    from clinical_peft.training.pooling import pool_notes

    job = sized(make_job("head"), 16)
    pooling = PoolJob(
        family="causal",
        clinical=None,
        clinical_mode=None,
        context=job.recipe.context,
        micro_batch_size=4,
        precision="fp32",
        threads=1,
        switches=job.switches,
    )
    inputs = task_inputs(job, study)
    features = tmp_path / "features.safetensors"
    pool_notes(
        pooling,
        cohorts=[study["mortality"]],
        base=study["causal"],
        adapter=None,
        output=features,
        record=tmp_path / "record.json",
        log=NullLog(),
    )
    for name, given in (("pooled", replace(inputs, features=features)), ("computed", inputs)):
        out = tmp_path / name
        finetune(
            prepare_task(job, given), seed=0, work=out / "work", log=NullLog(), predictions=out / "predictions.parquet"
        )
    pooled, computed = (columns(tmp_path / name / "predictions.parquet", "logits") for name in ("pooled", "computed"))
    np.testing.assert_allclose(pooled, computed, atol=1e-5)


def test_kept_seeds_of_sizes_have_keys_of_their_own():
    job = make_job("head")
    keys = {seed_key(read_record(one), "inputs", 0) for one in (job, sized(job, 100), sized(job, 500))}
    assert len(keys) == 3


def test_the_vocabulary_of_tfidf_is_that_of_the_part(study, tmp_path):
    cohort, classes = write_cohort(tmp_path, "mortality", rows=200)
    features = []
    for size in (20, 60, None):
        task = prepare_task(tfidf(size), TaskInputs(cohort=cohort, classes=classes))
        features.append(finetune(task, seed=0, work=tmp_path / "work", log=NullLog())["features"])
    assert features[0] < features[1] < features[2]


def test_counts_that_tell_of_few_rows_are_not_recorded(study, tmp_path):
    task = prepare_task(tfidf(30), task_inputs(make_job(), study))  # of 36 rows
    summary = finetune(task, seed=0, work=tmp_path, log=NullLog())
    assert (summary["train_rows"], summary["train_patients"], summary["is_whole_split"]) == (None, None, False)
    shown = finetune(task.with_job(tfidf(20)), seed=0, work=tmp_path, log=NullLog())
    assert (shown["train_rows"], shown["train_patients"], shown["is_whole_split"]) == (20, 20, False)
    whole = finetune(task.with_job(tfidf(36)), seed=0, work=tmp_path, log=NullLog())
    assert whole["is_whole_split"]
    assert "train_rows" not in finetune(task.with_job(tfidf()), seed=0, work=tmp_path, log=NullLog())


def test_few_patients_of_many_rows_are_not_counted(study, tmp_path):
    def share_patients(record):
        record["subject_id"] = [patient // 6 for patient in record["subject_id"]]

    prepared = prepared_task(
        sized(make_job("head"), 12), study, **altered_cohort(study, tmp_path, "mortality", share_patients)
    )
    summary = finetune(prepared, seed=0, work=tmp_path / "work", log=NullLog())
    assert (summary["train_rows"], summary["train_patients"]) == (12, None)


def test_a_size_that_is_no_part_is_warned_of(study, caplog):
    with_train_size(cohort_of(study), 35, seed=0)
    assert caplog.text == ""
    with_train_size(cohort_of(study), 36, seed=0)
    assert "task mortality, matrix.train_sizes: the training split has no more than 36 rows" in caplog.text


def test_patients_of_an_own_table_are_drawn_by_its_name(study, tmp_path):
    table = pq.read_table(study["mortality"])
    found = []
    for source in ("ours", "theirs"):
        path = tmp_path / f"{source}.parquet"
        pq.write_table(table.cast(with_source(table.schema, source)), path)
        smaller = with_train_size(read_task(path, study["mortality classes"], "mortality", "binary"), 12, seed=0)
        assert source_of(smaller.table.schema) == source
        found.append(smaller.rows("train").tolist())
    assert len(found[0]) == len(found[1]) == 12
    assert found[0] != found[1]


def test_a_part_with_one_label_is_refused_in_one_line(study, tmp_path):
    def one_positive(record):
        record["label"] = [int(row == 0 or split != "train") for row, split in enumerate(record["split"])]
        record["label"][-1] = 0

    changes = altered_cohort(study, tmp_path, "mortality", one_positive)
    data = read_task(changes["cohort"], study["mortality classes"], "mortality", "binary")
    patients = np.asarray(data.table["subject_id"])[data.rows("train")]
    without = next(
        seed for seed in range(50) if not training_subset(patients, 10, seed=seed)[patients == 990_000_000].any()
    )
    with pytest.raises(
        TrainingError, match=f"matrix.train_sizes: 10 training rows drawn with seed {without}"
    ) as caught:
        with_train_size(data, 10, seed=without)
    assert "\n" not in str(caught.value)


def outputs_in(folder):
    names = ("predictions.parquet", "model", "training.json", "run.jsonl")
    return SeedOutputs(*(folder / name for name in names))


def train(job, study, folder, seed=0, **more):
    inputs = task_inputs(replace(job, family=job.family or "causal"), study)
    settings = {"inputs": inputs, "name": job.task, "recipe_file": folder / "recipe.json", "work": folder / "work"}
    finetune_seeds(job, read_record(job), {seed: outputs_in(folder)}, **settings, **more)
    return read_json(folder / "training.json")


@pytest.mark.parametrize("size", [36, 1000])
def test_a_size_of_the_whole_split_is_not_trained(study, tmp_path, monkeypatch, size):
    whole = train(tfidf(), study, tmp_path / "whole")
    with monkeypatch.context() as patched:
        patched.setattr("clinical_peft.training.seeds.prepare_task", lambda *_: pytest.fail("it trains"))
        found = train(tfidf(size), study, tmp_path / "part", whole={0: outputs_in(tmp_path / "whole")})
    part = {"model": f"tfidf@n{size}", "train_rows": None, "train_patients": None, "is_whole_split": True}
    assert found == whole | part
    assert digests(tmp_path / "part/model") == digests(tmp_path / "whole/model") != {}
    first, second = (tmp_path / name / "predictions.parquet" for name in ("part", "whole"))
    assert first.read_bytes() == second.read_bytes()
    log = (tmp_path / "part/run.jsonl").read_text()
    assert f'"parent": "tfidf@n{size}"' in log
    assert '"train_size"' in log


def test_a_smaller_size_is_trained(study, tmp_path):
    train(tfidf(), study, tmp_path / "whole")
    found = train(tfidf(20), study, tmp_path / "part", whole={0: outputs_in(tmp_path / "whole")})
    assert (found["train_rows"], found["is_whole_split"]) == (20, False)
