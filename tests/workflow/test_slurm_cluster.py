"""The cluster profile, on a real SLURM of one node: how jobs are submitted, fail, are cut off and go on."""

import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from slurm import SlurmCluster, slurm_cluster, snakemake_command

__all__ = ["slurm_cluster"]

pytestmark = pytest.mark.workflow

REPOSITORY = Path(__file__).parents[2]
PROFILES = ("default", "slurm")

SNAKEFILE = """
from clinical_peft.runtime.signals import ignore_notice
ignore_notice()
rule all:
    input: "results/summary.txt"
rule extract:
    output: "results/notes.txt"
    log: "results/extract.log"
    script: "extract.py"
rule train_adapter:
    input: "results/notes.txt"
    output: "results/adapter.txt"
    log: "results/train.log"
    threads: 2
    script: "train.py"
rule tabulate:
    input: "results/notes.txt", "results/adapter.txt"
    output: "results/summary.txt"
    log: "results/tabulate.log"
    localrule: True
    shell: "cat {input} > {output}"
"""

EXTRACT = """
import os, sys
from pathlib import Path
from clinical_peft.runtime.jobs import job
with job(snakemake.log[0]):
    Path(snakemake.output[0]).write_text(f"{sys.executable} {os.environ['SLURM_JOB_ID']}\\n")
"""

TRAIN = """
import os
from pathlib import Path
from clinical_peft.runtime.jobs import job
with job(snakemake.log[0]):
    names = ["SLURM_JOB_ID", "SLURM_JOB_PARTITION", "CUDA_VISIBLE_DEVICES"]
    Path(snakemake.output[0]).write_text(" ".join(os.environ[name] for name in names) + "\\n")
"""

FAIL = """
from clinical_peft.errors import DataError
from clinical_peft.runtime.jobs import job
with job(snakemake.log[0]):
    raise DataError("ADMISSIONS.csv: expected column HADM_ID, found none")
"""

# Like the trainers: a checkpoint in an undeclared folder outlives the job.
INTERRUPTED_ONCE = """
import os, time
from pathlib import Path
from clinical_peft.runtime.jobs import job
with job(snakemake.log[0]):
    checkpoint = Path("work/checkpoint")
    if not checkpoint.exists():
        checkpoint.parent.mkdir(exist_ok=True)
        checkpoint.write_text(os.environ["SLURM_JOB_ID"])
        time.sleep(600)
    Path(snakemake.output[0]).write_text(f"went on from {checkpoint.read_text()}\\n")
"""


# Like the trainers: asked to stop, it saves how far it is.
HEEDS_NOTICE = """
import os, time
from pathlib import Path
from clinical_peft.errors import StoppedError
from clinical_peft.runtime.jobs import job
from clinical_peft.runtime.signals import stop_signals_noted
with job(snakemake.log[0]):
    checkpoint = Path("work/checkpoint")
    if not checkpoint.exists():
        with stop_signals_noted() as stop:
            while not stop:
                time.sleep(0.1)
        checkpoint.parent.mkdir()
        checkpoint.write_text(os.environ["SLURM_JOB_ID"])
        raise StoppedError(f"training, asked by {stop.signal}")
    Path(snakemake.output[0]).write_text(f"went on from {checkpoint.read_text()}\\n")
"""


WAITS = """
import time
from pathlib import Path
from clinical_peft.runtime.jobs import job
with job(snakemake.log[0]):
    Path("begun").touch()
    while not Path("go_on").exists():
        time.sleep(0.1)
    Path(snakemake.output[0]).write_text("trained once\\n")
"""


@pytest.fixture
def workflow(tmp_path: Path) -> Path:
    """A workflow of three rules, under this project's profiles."""
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    (tmp_path / "extract.py").write_text(EXTRACT)
    (tmp_path / "train.py").write_text(TRAIN)
    shutil.copytree(REPOSITORY / "profiles", tmp_path / "profiles")
    return tmp_path


@pytest.fixture
def training(workflow: Path) -> Path:
    """The same with its notes extracted, so that one job is left for the cluster."""
    (workflow / "results").mkdir()
    (workflow / "results" / "notes.txt").write_text("\n")
    return workflow


def command(*arguments: str) -> list[str]:
    return snakemake_command("--workflow-profile", "profiles/slurm", *arguments)


def run(cluster: SlurmCluster, workflow: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return cluster.run(*command(*arguments), cwd=workflow, check=False, seconds=400)


def start(cluster: SlurmCluster, workflow: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        command(),
        cwd=workflow,
        env=dict(cluster.environment),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def job_ids(text: str) -> list[str]:
    return re.findall(r"has been submitted with SLURM jobid (\d+)", text)


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_jobs_get_what_the_profile_asks_for(slurm_cluster: SlurmCluster, workflow: Path):
    result = run(slurm_cluster, workflow)
    assert result.returncode == 0, result.stderr
    extract, train = job_ids(result.stderr)
    # Jobs run on the cluster, in the environment that snakemake was started from.
    summary = (workflow / "results" / "summary.txt").read_text().splitlines()
    assert summary == [f"{sys.executable} {extract}", f"{train} gpu 0"]
    assert {slurm_cluster.states()[job] for job in (extract, train)} == {"COMPLETED"}
    seen = slurm_cluster.job(extract)
    assert (seen["Partition"], seen["TimeLimit"], seen["Requeue"]) == ("cpu", "02:00:00", "1")
    assert "mem=8000M" in seen["TRES"]
    seen = slurm_cluster.job(train)
    assert (seen["Partition"], seen["TimeLimit"], seen["TresPerJob"]) == ("gpu", "1-00:00:00", "gres:gpu:1")
    assert "cpu=2,mem=62.50G" in seen["TRES"]


def test_gpus_can_be_asked_for_as_generic_resources(slurm_cluster: SlurmCluster, training: Path):
    result = run(slurm_cluster, training, "--set-resources", "train_adapter:gpu=0", "train_adapter:gres='gpu:1'")
    assert result.returncode == 0, result.stderr
    (train,) = job_ids(result.stderr)
    seen = slurm_cluster.job(train)
    assert (seen["Partition"], seen["TresPerNode"]) == ("gpu", "gres:gpu:1")
    assert "TresPerJob" not in seen


def test_a_failed_job_is_reported_with_its_number_and_logs(slurm_cluster: SlurmCluster, training: Path):
    (training / "train.py").write_text(FAIL)
    result = run(slurm_cluster, training, "--retries", "0")
    assert result.returncode == 1
    train = job_ids(result.stderr)[-1]
    assert slurm_cluster.states()[train] == "FAILED"
    assert f"SLURM-job '{train}' failed" in result.stderr
    slurm_log = training / ".snakemake" / "slurm_logs" / "rule_train_adapter" / f"{train}.log"
    assert str(slurm_log) in result.stderr
    expected = "error: ADMISSIONS.csv: expected column HADM_ID, found none\n"
    assert expected in slurm_log.read_text()
    assert expected in (training / "results" / "train.log").read_text()
    assert expected in result.stderr


def test_both_profiles_decide_alike_what_runs_again():
    default, slurm = (yaml.safe_load((REPOSITORY / f"profiles/{name}/config.yaml").read_text()) for name in PROFILES)
    keys = ["rerun-triggers", "rerun-incomplete", "nolock"]
    assert [default.get(key) for key in keys] == [slurm.get(key) for key in keys]


def test_a_cancelled_job_ends_in_order_and_is_tried_again(slurm_cluster: SlurmCluster, training: Path):
    (training / "train.py").write_text(INTERRUPTED_ONCE)
    process = start(slurm_cluster, training)
    wait_for((training / "work" / "checkpoint").exists)
    first = (training / "work" / "checkpoint").read_text()
    slurm_cluster.run("scancel", first)
    _, errors = process.communicate(timeout=200)
    assert process.returncode == 0, errors
    assert slurm_cluster.states()[first] == "CANCELLED"
    assert f"went on from {first}" in (training / "results" / "summary.txt").read_text()
    # Snakemake empties a rule's log when it starts the rule again; SLURM's log of the failed job stays.
    log = training / ".snakemake" / "slurm_logs" / "rule_train_adapter" / f"{first}.log"
    assert "error: stopped by SIGTERM" in log.read_text()


@pytest.mark.slow
def test_a_requeued_job_goes_on_under_its_number(slurm_cluster: SlurmCluster, training: Path):
    (training / "train.py").write_text(INTERRUPTED_ONCE)
    process = start(slurm_cluster, training)
    wait_for((training / "work" / "checkpoint").exists)
    first = (training / "work" / "checkpoint").read_text()
    slurm_cluster.run("scontrol", "requeue", first)
    # SLURM holds a requeued job for two minutes.
    wait_for(lambda: slurm_cluster.states()[first] == "PENDING")
    slurm_cluster.run("scontrol", "update", f"JobId={first}", "StartTime=now")
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert slurm_cluster.job(first)["Restarts"] == "1"
    assert job_ids(errors)[-1] == first
    assert f"went on from {first}" in (training / "results" / "summary.txt").read_text()


@pytest.mark.slow
def test_notice_of_wall_time_stops_a_job_that_resumes(slurm_cluster: SlurmCluster, training: Path):
    (training / "train.py").write_text(HEEDS_NOTICE)
    # SLURM sends the notice of the profile two to three minutes before the end.
    result = run(slurm_cluster, training, "--set-resources", "train_adapter:runtime=4")
    assert result.returncode == 0, result.stderr
    first, second = job_ids(result.stderr)
    assert slurm_cluster.states()[first] == "FAILED"
    assert slurm_cluster.states()[second] == "COMPLETED"
    assert f"went on from {first}" in (training / "results" / "summary.txt").read_text()
    log = training / ".snakemake" / "slurm_logs" / "rule_train_adapter" / f"{first}.log"
    assert "stopped: training, asked by SIGUSR1\n" in log.read_text()
    assert "returned non-zero exit status 75" in log.read_text()


@pytest.mark.slow
def test_a_job_cut_off_by_its_wall_time_goes_on(slurm_cluster: SlurmCluster, training: Path):
    (training / "train.py").write_text(INTERRUPTED_ONCE)
    profile = training / "profiles" / "slurm" / "config.yaml"
    profile.write_text(re.sub(r"\n +slurm_extra: .*", "", profile.read_text()))
    result = run(slurm_cluster, training, "--set-resources", "train_adapter:runtime=1")
    assert result.returncode == 0, result.stderr
    first, second = job_ids(result.stderr)
    assert slurm_cluster.states()[first] == "TIMEOUT"
    assert slurm_cluster.states()[second] == "COMPLETED"
    assert f"went on from {first}" in (training / "results" / "summary.txt").read_text()


@pytest.mark.slow
def test_an_interrupt_cancels_jobs_and_the_command_resumes(slurm_cluster: SlurmCluster, training: Path):
    (training / "train.py").write_text(INTERRUPTED_ONCE)
    process = start(slurm_cluster, training)
    wait_for((training / "work" / "checkpoint").exists)
    first = (training / "work" / "checkpoint").read_text()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode != 0
    wait_for(lambda: slurm_cluster.states()[first] == "CANCELLED")
    result = run(slurm_cluster, training)
    assert result.returncode == 0, result.stderr
    assert len(job_ids(result.stderr)) == 1
    assert f"went on from {first}" in (training / "results" / "summary.txt").read_text()


@pytest.mark.slow
def test_after_a_killed_controller_the_same_command_goes_on(slurm_cluster: SlurmCluster, training: Path):
    (training / "train.py").write_text(INTERRUPTED_ONCE)
    process = start(slurm_cluster, training)
    wait_for((training / "work" / "checkpoint").exists)
    first = (training / "work" / "checkpoint").read_text()
    process.kill()
    process.communicate(timeout=60)
    # The job does not know and runs on: docs/cluster.md says to cancel it.
    assert slurm_cluster.states()[first] == "RUNNING"
    slurm_cluster.run("scancel", first)
    wait_for(lambda: slurm_cluster.states()[first] == "CANCELLED")
    result = run(slurm_cluster, training)
    assert result.returncode == 0, result.stderr
    assert f"went on from {first}" in (training / "results" / "summary.txt").read_text()


@pytest.mark.slow
def test_a_job_that_outlives_its_controller_counts(slurm_cluster: SlurmCluster, training: Path):
    (training / "train.py").write_text(WAITS)
    process = start(slurm_cluster, training)
    wait_for((training / "begun").exists)
    process.kill()
    process.communicate(timeout=60)
    (job,) = (number for number, state in slurm_cluster.states().items() if state == "RUNNING")
    (training / "go_on").touch()
    wait_for(lambda: slurm_cluster.states()[job] == "COMPLETED")
    result = run(slurm_cluster, training)
    assert result.returncode == 0, result.stderr
    assert job_ids(result.stderr) == []
    assert "trained once" in (training / "results" / "summary.txt").read_text()


def test_the_cluster_listens_on_loopback_and_leaves_nothing(slurm_cluster: SlurmCluster):
    ports = re.findall(r"(?:^Slurmctld| )Port=(\d+)", (slurm_cluster.folder / "slurm.conf").read_text(), re.MULTILINE)
    listening = re.findall(r"^ *\d+: ([0-9A-F]+):([0-9A-F]{4}) \S+ 0A", Path("/proc/net/tcp").read_text(), re.MULTILINE)
    addresses = {address for address, port in listening if str(int(port, 16)) in ports}
    assert len(ports) == 2
    assert addresses == {"0100007F"}
    assert slurm_cluster.folder.stat().st_mode & 0o777 == 0o700
