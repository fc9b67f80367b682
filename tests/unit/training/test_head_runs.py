"""Heads trained on features that were pooled once: the same as the direct way, on fewer passes."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from models_fixtures import make_job, write_base, write_clinical, write_cohort
from safetensors.torch import load_file, save_file

from clinical_peft.errors import TrainingError
from clinical_peft.files import sha256_file
from clinical_peft.models.pooling import find_pooling
from clinical_peft.models.saving import load_saved
from clinical_peft.recipes import FinetuneJob, PoolJob
from clinical_peft.runtime.events import NullLog
from clinical_peft.tokens.tokenizer import load_tokenizer
from clinical_peft.training.classification import prepare
from clinical_peft.training.features import tokenise
from clinical_peft.training.finetuning import finetune, prepare_task
from clinical_peft.training.pooled_notes import read_pooled
from clinical_peft.training.pooling import pool_notes
from clinical_peft.training.task_data import TaskInputs

TASKS = ["mortality", "los", "diagnoses"]
VARIANTS = ["head", "clinical-frozen", "clinical-merged"]


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("study")
    study = {"base": write_base(folder / "causal", "causal")}
    study["clinical"] = write_clinical(folder / "clinic", study["base"])
    for task in TASKS:
        study[task], study[f"{task} classes"] = write_cohort(folder / "cohorts", task)
    return study


def pool_job(job: FinetuneJob) -> PoolJob:
    return PoolJob(
        family="causal",
        clinical=job.clinical,
        clinical_mode=job.clinical_mode,
        context=job.recipe.context,
        micro_batch_size=4,
        precision=job.recipe.precision,
        threads=1,
        switches=job.switches,
        pooling=job.recipe.pooling,
    )


def pooled(study, job: FinetuneJob, out: Path, tasks=TASKS) -> Path:
    pool_notes(
        pool_job(job),
        cohorts=[study[task] for task in tasks],
        base=study["base"],
        adapter=study["clinical"] if job.clinical else None,
        output=out / "features.safetensors",
        record=out / "features.json",
        log=NullLog(),
    )
    return out / "features.safetensors"


def places(out: Path) -> dict[str, Path]:
    return {"work": out / "work", "predictions": out / "p.parquet", "model_directory": out / "model"}


def inputs(study, job: FinetuneJob) -> TaskInputs:
    adapter = study["clinical"] if job.clinical else None
    return TaskInputs(cohort=study[job.task], classes=study[f"{job.task} classes"], base=study["base"], adapter=adapter)


def head_run(study, job: FinetuneJob, features: Path, out: Path, seed: int = 0):
    task = prepare_task(job, replace(inputs(study, job), features=features))
    return finetune(task, seed=seed, log=NullLog(), **places(out))


def direct_run(study, job: FinetuneJob, out: Path, seed: int = 0):
    task = prepare(job, inputs(study, job), keep_features=False)
    return finetune(task, seed=seed, log=NullLog(), **places(out))


def logits(out: Path) -> np.ndarray:
    return np.asarray(pq.read_table(out / "p.parquet").column("logits").to_pylist())


POOLED = {
    "last token": {},
    "last position": {"switches": {"pool_last_position": True}},
    "mean": {"pooling": "mean"},
}


@pytest.mark.parametrize("pooling", POOLED)
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_pooled_equals_direct(variant, task, pooling, study, tmp_path):
    job = make_job(variant, task, **POOLED[pooling])
    ours = head_run(study, job, pooled(study, job, tmp_path), tmp_path / "pooled")
    theirs = direct_run(study, job, tmp_path / "direct")
    np.testing.assert_allclose(logits(tmp_path / "pooled"), logits(tmp_path / "direct"), rtol=0, atol=2e-5)
    measured = {"seconds", "tokens_per_second", "peak_memory_bytes", "features_kept", "curve", "passes"}
    assert {key: ours[key] for key in ours.keys() - measured} == {key: theirs[key] for key in theirs.keys() - measured}
    original = ("original_trained_tokens", "original_forward_tokens")
    assert [ours["passes"][key] for key in original] == [theirs["passes"][key] for key in original]
    assert (ours["passes"]["trained_tokens"], ours["passes"]["forward_tokens"]) == (0, 0)
    assert theirs["passes"]["trained_tokens"] == theirs["tokens"] <= theirs["passes"]["original_trained_tokens"]
    assert min(ours["peak_memory_bytes"], theirs["peak_memory_bytes"]) > 1e6
    assert (ours["features_kept"], theirs["features_kept"]) == (True, False)
    for mine, other in zip(ours["curve"], theirs["curve"], strict=True):
        assert mine == pytest.approx(other, abs=1e-4)


@pytest.mark.parametrize("variant", VARIANTS)
def test_saved_head_reloads_with_the_written_logits(variant, study, tmp_path):
    job = make_job(variant)
    head_run(study, job, pooled(study, job, tmp_path), tmp_path)
    network = load_saved(tmp_path / "model", study["base"])
    table = pq.read_table(study[job.task]).sort_by("hadm_id")
    texts = [row["text"] for row in table.to_pylist() if row["split"] != "train"]
    notes = tokenise(texts, load_tokenizer(study["base"]), job.recipe.context)
    with torch.no_grad():
        ids, lengths = notes.batch(np.arange(len(texts)))
        found = find_pooling("causal").logits(
            network, find_pooling("causal").features(network, ids, lengths, last_position=False)
        )
    np.testing.assert_allclose(found, logits(tmp_path), rtol=1e-4, atol=1e-5)


def test_one_pass_serves_all_tasks_in_any_order(study, tmp_path):
    job = make_job("clinical-frozen")
    one, other = pooled(study, job, tmp_path / "a"), pooled(study, job, tmp_path / "b", TASKS[::-1])
    digests = [load_file(path)["digests"] for path in (one, other)]
    assert torch.equal(*digests)
    texts = {text for task in TASKS for text in pq.read_table(study[task]).column("text").to_pylist()}
    record = json.loads((tmp_path / "a" / "features.json").read_text())
    rows = sum(pq.read_metadata(study[task]).num_rows for task in TASKS)
    assert (record["notes"], record["rows"], len(digests[0])) == (len(texts), rows, len(texts))


def test_the_same_notes_give_the_same_bytes(study, tmp_path):
    job = make_job("head")
    files = [pooled(study, job, tmp_path / name) for name in "ab"]
    assert sha256_file(files[0]) == sha256_file(files[1])
    runs = [head_run(study, job, files[0], tmp_path / name) for name in "ab"]
    assert sha256_file(tmp_path / "a" / "p.parquet") == sha256_file(tmp_path / "b" / "p.parquet")
    assert runs[0]["curve"] == runs[1]["curve"]


def test_seeds_differ(study, tmp_path):
    job = make_job("head")
    features = pooled(study, job, tmp_path)
    for seed in (0, 1):
        head_run(study, job, features, tmp_path / str(seed), seed)
    assert not np.array_equal(logits(tmp_path / "0"), logits(tmp_path / "1"))


def test_a_note_without_features_is_named_by_its_row(study, tmp_path):
    job = make_job("head")
    features = pooled(study, job, tmp_path, ["los"])
    with pytest.raises(TrainingError, match=r"no features of the note in row \d+") as error:
        head_run(study, job, features, tmp_path)
    assert "word1" not in str(error.value)


@pytest.mark.parametrize("change", [{"context": 12}, {"precision": "bf16"}])
def test_features_of_other_settings_are_refused(change, study, tmp_path):
    job = make_job("head")
    features = pooled(study, job, tmp_path)
    other = replace(job, recipe=replace(job.recipe, **change))
    with pytest.raises(TrainingError, match=f"pooled with {next(iter(change))}"):
        head_run(study, other, features, tmp_path)


def test_features_of_another_adapter_are_refused(study, tmp_path):
    features = pooled(study, make_job("head"), tmp_path)
    with pytest.raises(TrainingError, match="pooled with clinical None"):
        head_run(study, make_job("clinical-frozen"), features, tmp_path)


@pytest.mark.parametrize("pooled_with", [False, True])
def test_features_of_another_position_are_refused(pooled_with, study, tmp_path):
    features = pooled(study, make_job("head", switches={"pool_last_position": pooled_with}), tmp_path)
    with pytest.raises(
        TrainingError, match=f"pooled with pool_last_position {pooled_with}, but .* has {not pooled_with}"
    ):
        head_run(study, make_job("head", switches={"pool_last_position": not pooled_with}), features, tmp_path)


def test_features_of_other_weights_are_refused(study, tmp_path):
    job = make_job("clinical-frozen")
    features = pooled(study, job, tmp_path)
    retrained = write_clinical(tmp_path / "clinic", study["base"], "dora")
    with pytest.raises(TrainingError, match=r"pooled with another clinical adapter than .*/clinic: expected SHA-256"):
        head_run({**study, "clinical": retrained}, job, features, tmp_path)
    record = json.loads((study["base"] / "base.json").read_text())
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "base.json").write_text(json.dumps(record | {"sha256": "0" * 64}))
    with pytest.raises(TrainingError, match=r"pooled with another base than .*/base: expected SHA-256 0000"):
        head_run({**study, "base": tmp_path / "base"}, job, features, tmp_path)


def test_features_without_their_origin_are_refused(study, tmp_path):
    job = make_job("head")
    features = pooled(study, job, tmp_path)
    save_file(load_file(features), features, metadata={"by": '{"base": "causal"}'})
    with pytest.raises(TrainingError, match="does not say what computed the features"):
        head_run(study, job, features, tmp_path)


def test_a_model_that_trains_more_than_a_head_is_refused(study, tmp_path):
    features = pooled(study, make_job("head"), tmp_path)
    with pytest.raises(TrainingError, match="trains more than a head"):
        head_run(study, make_job("task"), features, tmp_path)


def test_damaged_features_are_refused(study, tmp_path):
    job = make_job("head")
    features = pooled(study, job, tmp_path)
    features.write_bytes(features.read_bytes()[:-10])
    with pytest.raises(TrainingError, match="no readable features"):
        head_run(study, job, features, tmp_path)


def test_an_empty_note_is_refused(study, tmp_path):
    table = pq.read_table(study["los"])
    texts = table.column("text").to_pylist()
    cohort = tmp_path / "los.parquet"
    position = table.schema.get_field_index("text")
    pq.write_table(table.set_column(position, "text", pa.array([" ", *texts[1:]])), cohort)
    with pytest.raises(TrainingError, match=r"los\.parquet, row 0: the admission note is empty"):
        pooled({**study, "los": cohort}, make_job("head"), tmp_path, ["los"])


def test_more_context_than_positions_is_refused(study, tmp_path):
    with pytest.raises(TrainingError, match="context is 65 tokens, but the base has 64 positions"):
        pooled(study, make_job("head", context=65), tmp_path)


def test_bfloat16_features_keep_their_type(study, tmp_path):
    job = make_job("head", precision="bf16")
    texts = pq.read_table(study["los"]).column("text").to_pylist()
    assert read_pooled(pooled(study, job, tmp_path), texts, where="los").features.dtype == torch.bfloat16
    assert np.isfinite(head_run(study, job, tmp_path / "features.safetensors", tmp_path)["curve"][0]["train_loss"])


def test_a_head_is_trained_without_the_libraries_of_its_network():
    code = (
        "import sys, clinical_peft.training.head_runs; sys.exit('transformers' in sys.modules or 'peft' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
