"""The tiny study through a real SLURM of one node: the same results as a local run, and no work lost to a kill."""

import json
import os
import re
import shlex
import signal
import subprocess
import time
from pathlib import Path

import pytest
from slurm import SlurmCluster, slurm_cluster
from slurm_studies import ADAPTER, PERPLEXITY, command_in, submitted, without_adapter
from tiny_tables import TABLES, comparable
from workflow_run import REPOSITORY, Run

from clinical_peft.runtime.events import read_events

__all__ = ["slurm_cluster"]

pytestmark = pytest.mark.workflow

MODEL = "llama+clinical-trainable+downstream"
BYTES = {".parquet", ".safetensors"}


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


def wait_until(condition) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_killed_controller_started_again_loses_no_training(slurm_cluster: SlurmCluster, tiny_run: Run, tmp_path):
    results, config = without_adapter(tiny_run, tmp_path)
    command = command_in(tmp_path, config, PERPLEXITY)
    kept = results / "work" / "adapters" / ADAPTER / "run.jsonl"
    first = subprocess.Popen(
        command,
        cwd=tmp_path,
        env=dict(slurm_cluster.environment),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_until(lambda: kept.exists() and any(event.get("step") for event in read_events(kept)))
    trainer = json.loads(kept.parent.with_name(f"{ADAPTER}.owner.json").read_text())["process"]["pid"]
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
    (event, *_) = (event for event in read_events(results / f"runs/adapters/{ADAPTER}.jsonl") if event.get("step"))
    assert event["time"] < began
    assert len(json.loads((tmp_path / PERPLEXITY).read_text())["curve"]) == 10
    assert not (results / "controller.json").exists()
