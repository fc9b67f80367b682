"""The cluster profile on a SLURM with accounting: cancelled, preempted and lost jobs, outages and limits."""

import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import slurm
from slurm_site import SlurmSite, slurm_site
from workflow_run import REPOSITORY

from clinical_peft.slurm import commands

__all__ = ["slurm_site"]

pytestmark = pytest.mark.workflow

# Jobs that end when they are told to, and one that runs after them. They leave SLURM's signals their usual effect.
SNAKEFILE = """
rule all:
    input: "after"
rule work:
    output: "done/{job}"
    shell: "echo $SLURM_JOB_ID >> begun/{wildcards.job}; while [ ! -e go_on ]; do sleep 0.1; done; touch {output}"
rule after:
    input: expand("done/{job}", job=range(config["jobs"]))
    output: "after"
    shell: "touch {output}"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A workflow of waiting jobs, under this project's profile."""
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    (tmp_path / "begun").mkdir()
    (tmp_path / "profiles").symlink_to(REPOSITORY / "profiles")
    return tmp_path


def start(
    site: SlurmSite, folder: Path, *, jobs: int = 1, retries: int = 0, partition: str = "cpu"
) -> "subprocess.Popen[str]":
    """Start Snakemake, which asks for the states of jobs every other second."""
    command = [sys.executable, "-m", "snakemake", "--workflow-profile", "profiles/slurm", "--latency-wait", "5"]
    command += ["--slurm-init-seconds-before-status-checks", "2", "--seconds-between-status-checks", "2"]
    command += ["--max-status-checks-per-second", "1", "--retries", str(retries)]
    command += ["--set-resources", f"work:slurm_partition={partition}", "after:slurm_account=research"]
    return subprocess.Popen(
        [*command, "--config", f"jobs={jobs}"],
        cwd=folder,
        env=dict(site.environment),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def runs(folder: Path, job: int = 0) -> list[str]:
    """SLURM's number of each run of a job so far."""
    path = folder / "begun" / str(job)
    return path.read_text().split() if path.exists() else []


def wait_for_runs(folder: Path, count: int = 1) -> str:
    """Wait until the first job has begun so many times, and return its number."""
    assert slurm.wait_until(lambda: len(runs(folder)) >= count, seconds=120)
    return runs(folder)[-1]


def wait_for_submission(process: "subprocess.Popen[str]") -> Path:
    """Wait until a command tries to submit a job, and return the place of the process that does."""
    controller = f"{commands.CONTROLLER}={process.pid}:".encode()

    def submissions() -> list[Path]:
        found = []
        for place in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                arguments = (place / "cmdline").read_bytes().split(b"\0")
                if b"sbatch" in arguments and controller in (place / "environ").read_bytes():
                    found.append(place)
        return found

    assert slurm.wait_until(lambda: submissions() != [], seconds=120)
    return submissions()[0]


def end(process: "subprocess.Popen[str]") -> str:
    """Wait for Snakemake's end and return what it said."""
    _, said = process.communicate(timeout=300)
    return said


def test_a_job_that_someone_cancels_ends_the_wait(slurm_site: SlurmSite, folder: Path):
    process = start(slurm_site, folder)
    job = wait_for_runs(folder)
    slurm_site.run("scancel", job)
    said = end(process)
    assert process.returncode == 1, said
    assert f"SLURM-job '{job}' failed, SLURM status is: 'CANCELLED'" in said
    (state,) = slurm_site.account_states(job)
    assert state.startswith("CANCELLED by ")


def test_a_job_goes_on_when_its_node_fails(slurm_site: SlurmSite, folder: Path):
    process = start(slurm_site, folder)
    job = wait_for_runs(folder)
    node = slurm_site.job(job)["NodeList"]
    slurm_site.kill_node(node)
    try:
        assert slurm.wait_until(lambda: "NODE_FAIL" in slurm_site.account_states(job))
        slurm_site.run_now(job)
        assert wait_for_runs(folder, 2) == job
        (folder / "go_on").touch()
        said = end(process)
    finally:
        slurm_site.start_node(node)
    # What is submitted after it excludes no node by a wrong name.
    assert process.returncode == 0, said
    assert (folder / "after").exists()


def test_a_preempted_job_goes_on_in_its_turn(slurm_site: SlurmSite, folder: Path):
    process = start(slurm_site, folder, partition="preempt")
    job = wait_for_runs(folder)
    urgent = slurm_site.submit_urgent()
    assert slurm.wait_until(lambda: slurm_site.states()[job] == "PENDING")
    slurm_site.run("scancel", urgent)
    slurm_site.run_now(job)
    assert wait_for_runs(folder, 2) == job
    (folder / "go_on").touch()
    said = end(process)
    assert process.returncode == 0, said


@pytest.mark.slow
def test_a_job_evicted_for_good_is_submitted_again(slurm_site: SlurmSite, folder: Path):
    process = start(slurm_site, folder, partition="evicted", retries=1)
    first = wait_for_runs(folder)
    urgent = slurm_site.submit_urgent()
    assert slurm.wait_until(lambda: slurm_site.states().get(first) == "PREEMPTED")
    slurm_site.run("scancel", urgent)
    assert wait_for_runs(folder, 2) != first
    (folder / "go_on").touch()
    said = end(process)
    assert process.returncode == 0, said


def test_an_accounting_outage_loses_no_job(slurm_site: SlurmSite, folder: Path):
    process = start(slurm_site, folder)
    wait_for_runs(folder)
    slurm_site.stop_accounting()
    try:
        (folder / "go_on").touch()
        said = end(process)
    finally:
        slurm_site.start_accounting()
    assert process.returncode == 0, said
    assert len(runs(folder)) == 1
    assert (folder / "after").exists()


@pytest.mark.slow
def test_a_limit_of_submitted_jobs_fails_none(slurm_site: SlurmSite, folder: Path):
    (folder / "go_on").touch()
    slurm_site.limit_submission(1)
    try:
        process = start(slurm_site, folder, jobs=3)
        said = end(process)
    finally:
        slurm_site.limit_submission(-1)
    assert process.returncode == 0, said
    assert [len(runs(folder, job)) for job in range(3)] == [1, 1, 1]


@pytest.mark.slow
def test_jobs_are_submitted_once_slurm_answers_again(slurm_site: SlurmSite, folder: Path):
    (folder / "go_on").touch()
    slurm_site.stop_controller()
    try:
        process = start(slurm_site, folder)
        waiting = wait_for_submission(process)
        slurm.wait_until(lambda: not waiting.exists(), seconds=5)
        assert waiting.exists()
    finally:
        slurm_site.start_controller()
    said = end(process)
    assert process.returncode == 0, said
    assert len(runs(folder)) == 1


@pytest.mark.slow
def test_a_killed_command_submits_nothing_later(slurm_site: SlurmSite, folder: Path):
    slurm_site.limit_submission(0)
    try:
        process = start(slurm_site, folder)
        waiting = wait_for_submission(process)
        process.kill()
        process.communicate()
    finally:
        slurm_site.limit_submission(-1)
    assert slurm.wait_until(lambda: not waiting.exists())
    assert "PENDING" not in slurm_site.states().values()
    assert runs(folder) == []
