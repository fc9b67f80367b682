"""What SLURM's commands say, in words that the executor plugin understands."""

import os
import subprocess
import sys

import pytest

from clinical_peft.slurm import commands
from clinical_peft.slurm.commands import BIN, plain_states, put_first, read_states, real, submit

LIMIT = "sbatch: error: AssocMaxSubmitJobLimit\nsbatch: error: Batch job submission failed: Job violates policy"


@pytest.mark.parametrize("state", ["COMPLETED", "RUNNING", "PENDING", "OUT_OF_MEMORY", "TIMEOUT", "FAILED"])
def test_most_states_are_left_as_they_are(state):
    assert plain_states({"7": state}, {}) == {"7": state}


def test_a_job_is_cancelled_whoever_cancelled_it():
    assert plain_states({"7": "CANCELLED by 1002", "8": "CANCELLED"}, {}) == {"7": "CANCELLED", "8": "CANCELLED"}


@pytest.mark.parametrize("lost", ["NODE_FAIL", "PREEMPTED"])
def test_a_job_that_lost_its_node_is_where_squeue_sees_it(lost):
    assert plain_states({"7": lost}, {"7": "PENDING"}) == {"7": "PENDING"}
    assert plain_states({"7": lost}, {"7": lost}) == {"7": "FAILED"}
    assert plain_states({"7": lost}, {"8": "RUNNING"}) == {"7": "FAILED"}
    assert plain_states({"7": lost}, None) == {"7": "RUNNING"}


def test_lines_that_are_no_states_are_passed_over():
    assert read_states("7|RUNNING\n\nslurm: note\n8_3| PENDING \n") == {"7": "RUNNING", "8_3": "PENDING"}


@pytest.fixture
def path(tmp_path, monkeypatch):
    """A search path on which a program of SLURM lies."""
    program = tmp_path / "sacct"
    program.write_text("#!/bin/sh\necho 'sacct: error: no database' >&2\nexit 1\n")
    program.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv(commands.PYTHON, raising=False)
    return tmp_path


def test_the_commands_are_found_first_and_find_the_real_ones(path):
    put_first()
    put_first()
    assert os.environ["PATH"].split(os.pathsep).count(str(BIN)) == 1
    assert os.environ["PATH"].startswith(f"{BIN}{os.pathsep}{path}")
    assert os.environ[commands.PYTHON] == sys.executable
    assert real("sacct") == str(path / "sacct")


def test_other_questions_reach_sacct_as_they_are(path):
    put_first()
    done = subprocess.run(["sacct", "-j", "7"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "sacct: error: no database\n")


def test_submission_waits_while_the_queue_is_full(tmp_path, capsys):
    count = tmp_path / "count"
    script = f'echo x >> {count}; [ $(wc -l < {count}) -gt 2 ] && cat && exit 0; echo "{LIMIT}" >&2; exit 1'
    waits: list[float] = []
    code = submit(["sh", "-c", script], "17\n", has_own_jobs=lambda: True, sleep=waits.append)
    assert (code, capsys.readouterr().out, waits) == (0, "17\n", [commands.WAIT, commands.WAIT])


def test_a_full_queue_without_own_jobs_ends_the_wait(capsys):
    waits: list[float] = []
    command = ["sh", "-c", f'echo "{LIMIT}" >&2; exit 1']
    assert submit(command, None, has_own_jobs=lambda: False, sleep=waits.append) == 1
    assert sum(waits) == commands.PATIENCE
    assert "AssocMaxSubmitJobLimit" in capsys.readouterr().err


def test_other_refusals_are_passed_on_at_once(capsys):
    refusal = "sbatch: error: AssocMaxWallDurationPerJobLimit"
    command = ["sh", "-c", f'echo "{refusal}" >&2; exit 3']
    assert submit(command, None, has_own_jobs=lambda: True, sleep=pytest.fail) == 3
    assert refusal in capsys.readouterr().err
