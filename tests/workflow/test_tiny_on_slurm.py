"""The tiny study through a real SLURM of one node: the same results as a local run, and no work lost to a kill."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
import yaml
from slurm import SlurmCluster, slurm_cluster, snakemake_command
from tiny_tables import TABLES, comparable
from workflow_run import REPOSITORY, Run

from clinical_peft.runtime.events import read_events

__all__ = ["slurm_cluster"]

pytestmark = pytest.mark.workflow

PROFILE = REPOSITORY / "profiles" / "slurm"
MODEL = "llama+clinical-trainable+downstream"
BYTES = {".parquet", ".safetensors"}
NO_GPU = [f"{rule}:gpu=0" for rule in ("train_base", "train_adapter", "pool_notes", "finetune_model")]


def command_in(folder: Path, config: Path, *targets: str) -> list[str]:
    return snakemake_command(
        *targets,
        *("--snakefile", str(REPOSITORY / "Snakefile"), "--directory", str(folder)),
        *("--workflow-profile", str(PROFILE), "--slurm-partition-config", str(PROFILE / "partitions.yaml")),
        *("--set-resources", *NO_GPU),
        *("--configfile", str(config)),
    )


def submitted(output: str) -> list[str]:
    return re.findall(r"has been submitted with SLURM jobid (\d+)", output)


def run_on(cluster: SlurmCluster, folder: Path, *targets: str) -> Path:
    """Run the tiny study, or targets of it, on a cluster, all of whose jobs succeed; return the study's folder."""
    command = command_in(folder, REPOSITORY / "config" / "tiny.yaml", *targets)
    done = cluster.run(*command, cwd=folder, check=False, seconds=1500)
    assert done.returncode == 0, done.stderr[-3000:]
    states = cluster.states()
    assert len(submitted(done.stderr)) >= 10
    assert {states[job] for job in submitted(done.stderr)} == {"COMPLETED"}
    return folder / "results" / "tiny"


def test_a_model_gets_the_same_bytes_on_slurm(slurm_cluster: SlurmCluster, tiny_run: Run, tmp_path):
    """From the hospital's tables to a model's metrics, with the base and the adapter that it needs."""
    local = tiny_run.results / "tiny"
    remote = run_on(slurm_cluster, tmp_path, f"results/tiny/metrics/{MODEL}/mortality/seed0.json")
    made = [path.relative_to(remote) for path in sorted(remote.rglob("*")) if path.suffix in BYTES]
    assert {path.parts[0] for path in made} >= {"notes", "cohorts", "bases", "adapters", "models", "predictions"}
    assert [path for path in made if (remote / path).read_bytes() != (local / path).read_bytes()] == []
    scores = [json.loads((folder / f"metrics/{MODEL}/mortality/seed0.json").read_text()) for folder in (local, remote)]
    assert scores[0]["metrics"] == scores[1]["metrics"]


@pytest.mark.slow
def test_the_tiny_study_gives_the_same_tables_on_slurm(slurm_cluster: SlurmCluster, tiny_run: Run, tmp_path):
    remote = run_on(slurm_cluster, tmp_path)
    for name in TABLES:
        local, other = (folder / "tables" / f"{name}.csv" for folder in (tiny_run.results / "tiny", remote))
        assert comparable(local) == comparable(other), name


def without_adapter(tiny_run: Run, folder: Path) -> tuple[Path, Path]:
    """Copy the study without its adapter, which is to be trained in more steps; return its results and its config."""
    content = yaml.safe_load((REPOSITORY / "config" / "tiny.yaml").read_text())
    content["methods"]["lora"]["recipe"] = {"train_tokens": 150_000, "evaluations": 10, "checkpoint_seconds": 0}
    config = folder / "study.yaml"
    config.write_text(yaml.safe_dump(content))
    results = folder / "results" / "tiny"
    shutil.copytree(tiny_run.results / "tiny", results)
    shutil.rmtree(results / "adapters" / "tiny-llama-lora")
    (results / "perplexity" / "tiny-llama-lora.json").unlink()
    return results, config


def wait_until(condition) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_killed_controller_started_again_loses_no_training(slurm_cluster: SlurmCluster, tiny_run: Run, tmp_path):
    results, config = without_adapter(tiny_run, tmp_path)
    command = command_in(tmp_path, config, "results/tiny/perplexity/tiny-llama-lora.json")
    kept = results / "work" / "adapters" / "tiny-llama-lora" / "run.jsonl"
    first = subprocess.Popen(
        command,
        cwd=tmp_path,
        env=dict(slurm_cluster.environment),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_until(lambda: kept.exists() and any(event.get("step") for event in read_events(kept)))
    trainer = json.loads(kept.parent.with_name("tiny-llama-lora.owner.json").read_text())["process"]["pid"]
    os.kill(trainer, signal.SIGSTOP)  # so that it does not end before its time
    first.kill()
    first.wait()
    (job,) = (number for number, state in slurm_cluster.states().items() if state == "RUNNING")
    # SLURM hands the controller's environment on.
    assert b"PYTHONNOUSERSITE=1" in Path(f"/proc/{trainer}/environ").read_bytes().split(b"\0")

    refused = slurm_cluster.run(*command, cwd=tmp_path, check=False, seconds=300)
    assert refused.returncode == 1
    assert f"{job} RUNNING" in refused.stderr
    assert slurm_cluster.states()[job] == "RUNNING"
    ends_them = re.search(r"scancel --me --name \S+", refused.stderr)
    assert ends_them, refused.stderr[-3000:]

    slurm_cluster.run(*shlex.split(ends_them[0]))
    os.kill(trainer, signal.SIGCONT)
    began = time.time()
    done = slurm_cluster.run(*command, cwd=tmp_path, check=False, seconds=300)
    assert done.returncode == 0, done.stderr[-3000:]
    (event, *_) = (event for event in read_events(results / "runs/adapters/tiny-llama-lora.jsonl") if event.get("step"))
    assert event["time"] < began
    assert len(json.loads((results / "perplexity" / "tiny-llama-lora.json").read_text())["curve"]) == 10
    assert not (results / "controller.json").exists()
