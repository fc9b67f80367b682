"""Studies on a SLURM with accounting: what preemption and a failed node cost, and two studies at once."""

import subprocess
from pathlib import Path

import pytest
import slurm
from slurm_site import SlurmSite, slurm_site
from slurm_studies import ADAPTER, PERPLEXITY, command_in, submitted, without_adapter
from workflow_run import REPOSITORY, Run, snakemake

from clinical_peft.runtime.events import read_events

__all__ = ["slurm_site"]

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

WEIGHTS = f"adapters/{ADAPTER}/adapter_model.safetensors"


def steps(log: Path) -> int:
    """How many steps of training a log holds so far."""
    return sum("step" in event for event in read_events(log)) if log.exists() else 0


def start(site: SlurmSite, folder: Path, config: Path, *targets: str, **how) -> "subprocess.Popen[str]":
    command = command_in(folder, config, *targets, **how)
    return subprocess.Popen(
        command, cwd=folder, env=dict(site.environment), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def test_an_adapter_that_lost_place_and_node_has_the_same_bytes(slurm_site: SlurmSite, tiny_run: Run, tmp_path: Path):
    (tmp_path / "undisturbed").mkdir()
    expected, config = without_adapter(tiny_run, tmp_path / "undisturbed")
    done = snakemake(tmp_path / "undisturbed", PERPLEXITY, config=config)
    assert done.returncode == 0, done.output
    (tmp_path / "site").mkdir()
    results, config = without_adapter(tiny_run, tmp_path / "site")
    log = results / "work" / "adapters" / ADAPTER / "run.jsonl"
    partition = ("train_adapter:slurm_partition=preempt",)
    process = start(slurm_site, tmp_path / "site", config, PERPLEXITY, resources=partition)

    assert slurm.wait_until(lambda: steps(log) > 0, seconds=300)
    (job,) = (number for number, state in slurm_site.states().items() if state == "RUNNING")
    urgent = slurm_site.submit_urgent()
    assert slurm.wait_until(lambda: slurm_site.states()[job] == "PENDING", seconds=120)
    before = steps(log)
    slurm_site.run("scancel", urgent)
    slurm_site.run_now(job)

    assert slurm.wait_until(lambda: steps(log) > before, seconds=300)
    node = slurm_site.job(job)["NodeList"]
    slurm_site.kill_node(node)
    try:
        slurm_site.run_now(job)
        _, said = process.communicate(timeout=900)
    finally:
        slurm_site.start_node(node)
    assert process.returncode == 0, said[-3000:]
    assert submitted(said) == [job]
    assert slurm_site.job(job)["Restarts"] == "2"
    assert (results / WEIGHTS).read_bytes() == (expected / WEIGHTS).read_bytes()


def test_two_studies_of_one_folder_run_at_once(slurm_site: SlurmSite, tmp_path: Path):
    text = (REPOSITORY / "config" / "tiny.yaml").read_text()
    names = ("first", "second")
    commands = []
    for name in names:
        config = tmp_path / f"{name}.yaml"
        config.write_text(text.replace("study: tiny", f"study: {name}"))
        commands.append(start(slurm_site, tmp_path, config, f"results/{name}/cohorts/mortality.parquet"))
    for name, process in zip(names, commands, strict=True):
        _, said = process.communicate(timeout=900)
        assert process.returncode == 0, said[-3000:]
        assert submitted(said)
        assert (tmp_path / f"results/{name}/cohorts/mortality.parquet").exists()
        assert not (tmp_path / f"results/{name}/controller.json").exists()
