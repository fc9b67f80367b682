"""One adapter on two nodes of a real SLURM, by the cluster profile: stopped on the way, and the same bytes."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import slurm
import yaml
from slurm_site import SlurmSite, slurm_site
from workflow_run import REPOSITORY, Run

from clinical_peft.recipes import PretrainJob
from clinical_peft.recipes.job_records import job_from_record
from clinical_peft.training.adapter_job import AdapterJob, train_adapter
from clinical_peft.training.checkpoint import FILE_NAME

__all__ = ["slurm_site"]

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

PROFILE = REPOSITORY / "profiles" / "slurm"
ADAPTER = "tiny-llama-lora"
# As docs/cluster.md says: GPUs by `gres`, which counts them per node.
RESOURCES = [
    "train_adapter:gpu=0",
    "train_adapter:nodes=2",
    "train_adapter:gres=gpu:1",
    "train_adapter:slurm_partition=gpu",
]
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


def start(site: SlurmSite, folder: Path) -> "subprocess.Popen[str]":
    """Start Snakemake, which asks for the states of jobs every other second."""
    command = [sys.executable, "-m", "snakemake", f"results/tiny/perplexity/{ADAPTER}.json"]
    command += ["--snakefile", str(REPOSITORY / "Snakefile"), "--directory", str(folder), "--latency-wait", "5"]
    command += ["--workflow-profile", str(PROFILE), "--slurm-partition-config", str(PROFILE / "partitions.yaml")]
    command += ["--slurm-init-seconds-before-status-checks", "2", "--seconds-between-status-checks", "2"]
    return subprocess.Popen(
        [*command, "--set-resources", *RESOURCES, "--configfile", str(folder / "study.yaml")],
        cwd=folder,
        env={**site.environment, "GLOO_SOCKET_IFNAME": "lo"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def jobs_of(said: str) -> list[str]:
    """SLURM's numbers of the adapter's jobs, in order."""
    return re.findall(rf"{ADAPTER} has been submitted with SLURM jobid (\d+)", said)


def test_an_adapter_stopped_on_two_nodes_gets_the_same_bytes(slurm_site: SlurmSite, study: Path, tmp_path):
    controller = start(slurm_site, tmp_path)
    checkpoint = study / "work" / "adapters" / ADAPTER / FILE_NAME
    assert slurm.wait_until(lambda: checkpoint.exists() or controller.poll() is not None, seconds=600)
    slurm_site.run("scancel", "--signal=USR1", "--me")
    _, said = controller.communicate(timeout=900)
    assert controller.returncode == 0, said[-3000:]
    assert "asked by SIGUSR1; a checkpoint is saved" in said
    stopped, finished = jobs_of(said)
    assert [slurm_site.account_states(job) for job in (stopped, finished)] == [["FAILED"], ["COMPLETED"]]
    assert {slurm_site.job(job)["NumNodes"] for job in (stopped, finished)} == {"2"}
    ours, expected = study / "adapters" / ADAPTER, in_two_processes(study, tmp_path / "alone")
    assert [file.name for file in expected.iterdir() if file.read_bytes() != (ours / file.name).read_bytes()] == []
