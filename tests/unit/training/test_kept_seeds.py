"""Finished seeds of a job come back as they were, and only where the same would be trained."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from models_fixtures import make_job, task_inputs

from clinical_peft.files import sha256_file, write_json
from clinical_peft.recipes.job_records import read_record
from clinical_peft.training.kept_seeds import SeedOutputs, adapter_key, forget_checkpoints, keep, restore
from clinical_peft.training.seeds import finetune_seeds

JOB = make_job("clinical-trainable+task", epochs=1)


@pytest.fixture(scope="module")
def finished(study, tmp_path_factory) -> Path:
    """A job's folder after seeds 0 and 1."""
    folder = tmp_path_factory.mktemp("finished")
    assert finetune(folder, study, [0, 1]) == []
    return folder


@pytest.fixture
def job_folder(finished, tmp_path) -> Path:
    """The finished job as a workflow leaves it to the next run: its outputs are gone."""
    shutil.copytree(finished / "work", tmp_path / "job" / "work")
    return tmp_path / "job"


def finetune(folder: Path, study, seeds, job=JOB, work: Path | None = None, **changes: Path) -> list[int]:
    outputs = {
        seed: SeedOutputs(
            folder / f"predictions/seed{seed}.parquet",
            folder / f"models/seed{seed}",
            folder / f"training/seed{seed}.json",
            folder / f"runs/seed{seed}.jsonl",
        )
        for seed in seeds
    }
    return finetune_seeds(
        job,
        read_record(job),
        outputs,
        inputs=task_inputs(job, study, **changes),
        name=job.task,
        recipe_file=folder / "recipe.json",
        work=work or folder / "work",
    )


def digests_of(folder: Path, seed: int) -> dict[str, str]:
    """Digests of a seed's outputs; the run log and the summary hold times, so that equal ones were not made anew."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and "work" not in path.parts]
    return {str(path.relative_to(folder)): sha256_file(path) for path in files if f"seed{seed}" in str(path)}


def test_a_further_seed_trains_no_finished_one(finished, job_folder, study):
    assert finetune(job_folder, study, [0, 1, 2]) == [0, 1]
    for seed in (0, 1):
        assert digests_of(job_folder, seed) == digests_of(finished, seed)
        assert len(digests_of(finished, seed)) > 4
    assert json.loads((job_folder / "training/seed2.json").read_text())["seed"] == 2


def test_a_further_seed_gets_the_bytes_that_it_gets_alone(job_folder, study, tmp_path):
    finetune(job_folder, study, [0, 2])
    finetune(tmp_path / "alone", study, [2])
    name = "predictions/seed2.parquet"
    assert sha256_file(job_folder / name) == sha256_file(tmp_path / "alone" / name)
    weights = [path.relative_to(job_folder) for path in (job_folder / "models/seed2").rglob("*.safetensors")]
    assert len(weights) == 2
    assert [sha256_file(job_folder / path) for path in weights] == [
        sha256_file(tmp_path / "alone" / path) for path in weights
    ]


def test_a_seed_that_was_dropped_comes_back_later(finished, job_folder, study):
    assert finetune(job_folder, study, [1]) == [1]
    assert finetune(job_folder, study, [1, 0]) == [1, 0]
    assert digests_of(job_folder, 0) == digests_of(finished, 0)


def test_checkpoints_go_and_kept_seeds_take_no_space(finished):
    assert [path.name for path in (finished / "work").iterdir()] == ["finished"]
    kept = finished / "work/finished/seed0"
    assert (kept / "predictions.parquet").samefile(finished / "predictions/seed0.parquet")
    for path in (finished / "models/seed0").rglob("*.*"):
        assert (kept / "model" / path.relative_to(finished / "models/seed0")).samefile(path)


def test_a_finished_adapter_comes_back_for_the_same_inputs(tmp_path):
    """As where a node that SLURM has lost sight of finishes a job that was queued again."""
    base, tokens, general = tmp_path / "base", tmp_path / "tokens", tmp_path / "general.parquet"
    write_json(base / "base.json", {"sha256": "0", "seconds": 1.0})
    write_json(tokens / "tokens.json", {"fingerprint": "1"})
    general.write_text("text")
    record = {"adapter": "clinical", "seed": 5}
    given = {"base": base, "tokens": tokens, "general": general}
    key = adapter_key(record, **given)
    outputs = {"adapter": tmp_path / "adapter", "perplexity": tmp_path / "perplexity.json"}
    write_json(outputs["adapter"] / "adapter_config.json", {"r": 4})
    write_json(outputs["perplexity"], {"before": 2.0})
    work = tmp_path / "work"
    (work / "checkpoint").mkdir(parents=True)
    keep(work, "adapter", key, outputs)
    forget_checkpoints(work)
    shutil.rmtree(outputs["adapter"])
    outputs["perplexity"].unlink()
    write_json(base / "base.json", {"sha256": "0", "seconds": 2.0})
    assert restore(work, "adapter", adapter_key(record | {"search": {"trials": 3}}, **given), outputs)
    assert json.loads((outputs["adapter"] / "adapter_config.json").read_text()) == {"r": 4}
    assert [path.name for path in work.iterdir()] == ["finished"]
    write_json(base / "config.json", {"layers": 2})
    others = [adapter_key(record, **given), adapter_key(record | {"seed": 6}, base=base, tokens=tokens, general=None)]
    assert not any(restore(work, "adapter", other, outputs) for other in others)


def edited_cohort(study, folder):
    rows = pq.read_table(study["mortality"]).to_pydict()
    rows["text"][0] += " septic"
    pq.write_table(pa.table(rows), folder / "mortality.parquet")
    return {"cohort": folder / "mortality.parquet"}


def other_classes(study, folder):
    (folder / "classes.json").write_text('["no", "yes"]')
    return {"classes": folder / "classes.json"}


def other_adapter(study, folder):
    shutil.copytree(study["clinical"], folder / "adapter")
    config = folder / "adapter/adapter_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"lora_alpha": 4}))
    return {"adapter": folder / "adapter"}


def other_tokenizer(study, folder):
    shutil.copytree(study["causal"], folder / "causal")
    tokenizer = folder / "causal/tokenizer.json"
    tokenizer.write_text(tokenizer.read_text().replace("word17", "wort17"))
    return {"base": folder / "causal"}


def other_rate(study, folder):
    return {"job": replace(JOB, recipe=replace(JOB.recipe, learning_rate=3e-3))}


@pytest.mark.parametrize("change", [edited_cohort, other_classes, other_adapter, other_tokenizer, other_rate])
def test_seeds_of_another_recipe_or_input_are_trained(change, job_folder, study, tmp_path):
    assert finetune(job_folder, study, [0], **change(study, tmp_path)) == []


def test_time_between_checkpoints_trains_nothing_anew(job_folder, study):
    often = replace(JOB, recipe=replace(JOB.recipe, checkpoint_seconds=1.0))
    assert finetune(job_folder, study, [0, 1], often) == [0, 1]


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize("damage", [Path.unlink, cut_short])
def test_a_damaged_kept_seed_is_trained_anew(damage, finished, job_folder, study):
    damage(next((job_folder / "work/finished/seed0/model").rglob("*.safetensors")))
    assert finetune(job_folder, study, [0, 1]) == [1]
    name = "predictions/seed0.parquet"
    assert sha256_file(job_folder / name) == sha256_file(finished / name)


def test_seeds_are_copied_where_links_cannot_be_made(study, tmp_path):
    other = Path("/dev/shm")
    if not other.is_dir() or other.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("no second file system")
    work = other / f"{tmp_path.name}-kept-seeds"
    try:
        assert finetune(tmp_path, study, [0], work=work) == []
        shutil.rmtree(tmp_path / "predictions")
        assert finetune(tmp_path, study, [0], work=work) == [0]
        assert (tmp_path / "predictions/seed0.parquet").stat().st_nlink == 1
    finally:
        shutil.rmtree(work, ignore_errors=True)
