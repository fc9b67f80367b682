"""A study that runs already: which commands are refused, and what a command leaves behind when it ends."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from workflow_run import REPOSITORY, SNAKEMAKE, snakemake

from clinical_peft.locks.claims import Claim

pytestmark = pytest.mark.workflow

TARGET = "results/tiny/notes/general.parquet"


def test_a_second_command_is_refused_but_looking_is_not(tmp_path: Path):
    claim = Claim(tmp_path / "results" / "tiny" / "controller.json")
    assert claim.try_to_take({"study": "tiny", "run": None})  # this process stands for the first command
    for flags in ([TARGET, "--dry-run"], ["--unlock"]):
        assert snakemake(tmp_path, *flags).returncode == 0
    for flags in ([TARGET], [TARGET, "--delete-all-output"]):
        refused = snakemake(tmp_path, *flags)
        assert refused.returncode == 1
        assert f"error: results/tiny/controller.json: process {os.getpid()} runs study tiny" in refused.output
        assert "Traceback" not in refused.output
        assert ".smk" not in refused.output
    assert not (tmp_path / TARGET).exists()
    assert claim.is_mine()


def test_outputs_are_deleted_where_no_command_runs(tmp_path: Path):
    output = tmp_path / TARGET
    output.parent.mkdir(parents=True)
    output.touch()
    assert snakemake(tmp_path, TARGET, "--delete-all-output", "--dry-run").returncode == 0
    assert output.exists()
    assert snakemake(tmp_path, TARGET, "--delete-all-output").returncode == 0
    assert not output.exists()
    assert not (tmp_path / "results" / "tiny" / "controller.json").exists()


def test_a_terminated_command_releases_the_study(tmp_path: Path):
    config = ["--configfile", str(REPOSITORY / "config" / "tiny.yaml")]
    command = [*SNAKEMAKE, TARGET, "--directory", str(tmp_path), *config]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    lease = tmp_path / "results" / "tiny" / "controller.json"
    while not lease.exists():
        assert process.poll() is None
        time.sleep(0.05)
    assert json.loads(lease.read_text())["process"]["pid"] == process.pid
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=120)
    assert not lease.exists()
