"""One adapter on two nodes of a real SLURM, by the cluster profile: stopped on the way, and the same bytes."""

import json
import shutil
import subprocess
import time
from pathlib import Path

import pytest
import yaml
from slurm import SlurmCluster, snakemake_command
from two_nodes import two_nodes
from workflow_run import REPOSITORY, Run

from clinical_peft.recipes import PretrainJob
from clinical_peft.recipes.job_records import job_from_record
from clinical_peft.training.adapter_job import AdapterJob, train_adapter
from clinical_peft.training.checkpoint import FILE_NAME

__all__ = ["two_nodes"]

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

PROFILE = REPOSITORY / "profiles" / "slurm"
ADAPTER = "tiny-llama-lora"
# As docs/cluster.md says: GPUs by `gres`, which counts them per node.
RESOURCES = ["train_adapter:gpu=0", "train_adapter:nodes=2", "train_adapter:gres=gpu:1"]
RECIPE = {"train_tokens": 20000, "evaluations": 2, "checkpoint_seconds": 0, "micro_batch_tokens": 512}
DEVICES = {"processes": 2, "strategy": "ddp"}


@pytest.fixture
def study(tiny_run: Run, tmp_path: Path) -> Path:
    """The tiny study without its adapter, which is to be trained in two processes; its folder of results."""
    content = yaml.safe_load((REPOSITORY / "config" / "tiny.yaml").read_text())
    content["methods"]["lora"]["recipe"] = {**RECIPE, "devices": DEVICES}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(content))
    results = tmp_path / "results" / "tiny"
    shutil.copytree(tiny_run.results / "tiny", results)
    shutil.rmtree(results / "adapters" / ADAPTER)
    shutil.rmtree(results / "work" / "adapters" / ADAPTER, ignore_errors=True)
    (results / "perplexity" / f"{ADAPTER}.json").unlink()
    return results


def in_two_processes(results: Path, folder: Path) -> Path:
    """Train the same adapter in two processes of this machine, and return its folder."""
    record = json.loads((results / "perplexity" / f"{ADAPTER}.json").read_text())["job"]
    (general,) = (results / "notes").glob("general*.parquet")
    job = AdapterJob(
        job=job_from_record(PretrainJob, record),
        record=record,
        base=results / "bases" / "tiny-llama",
        tokens=results / "tokens" / "tiny-llama" / "mimic-iv",
        general=general,
        adapter=folder / "adapter",
        perplexity=folder / "perplexity.json",
        run_log=folder / "run.jsonl",
        work=folder / "work",
        log_file=folder / "job.log",
        folder=folder,
    )
    train_adapter(job)
    return job.adapter


def test_an_adapter_stopped_on_two_nodes_gets_the_same_bytes(two_nodes: SlurmCluster, study: Path, tmp_path):
    command = snakemake_command(
        f"results/tiny/perplexity/{ADAPTER}.json",
        *("--snakefile", str(REPOSITORY / "Snakefile"), "--directory", str(tmp_path)),
        *("--workflow-profile", str(PROFILE), "--slurm-partition-config", str(PROFILE / "partitions.yaml")),
        *("--set-resources", *RESOURCES, "--configfile", str(tmp_path / "study.yaml")),
    )
    environment = {**two_nodes.environment, "GLOO_SOCKET_IFNAME": "lo"}
    output = tmp_path / "output.txt"
    with output.open("w") as terminal:
        controller = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=terminal, stderr=terminal)
    checkpoint = study / "work" / "adapters" / ADAPTER / FILE_NAME
    deadline = time.monotonic() + 600
    while not checkpoint.exists():
        assert controller.poll() is None, output.read_text()[-3000:]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    two_nodes.run("scancel", "--signal=USR1", two_nodes.run("squeue", "--noheader", "--format=%i").stdout.strip())
    assert controller.wait(timeout=900) == 0, output.read_text()[-3000:]
    assert "asked by SIGUSR1; a checkpoint is saved" in output.read_text()
    assert sorted(two_nodes.states().values()) == ["COMPLETED", "FAILED"]
    assert {two_nodes.job(number)["NumNodes"] for number in two_nodes.states()} == {"2"}
    ours, expected = study / "adapters" / ADAPTER, in_two_processes(study, tmp_path / "alone")
    assert [file.name for file in expected.iterdir() if file.read_bytes() != (ours / file.name).read_bytes()] == []
