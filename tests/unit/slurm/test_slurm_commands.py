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
    monkeypatch.delenv(commands.CONTROLLER, raising=False)
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


def submitted(command: list[str], script: str | None = None, **how) -> int:
    """Run `submit` with jobs in the queue and a living controller, unless told otherwise."""
    given = {"has_own_jobs": lambda: True, "is_wanted": lambda: True, "sleep": pytest.fail, **how}
    return submit(command, script, **given)


def refuses_twice(tmp_path, message: str) -> list[str]:
    """A command that is refused twice, and then prints its standard input."""
    count = tmp_path / "count"
    script = f'echo x >> {count}; [ $(wc -l < {count}) -gt 2 ] && cat && exit 0; echo "{message}" >&2; exit 1'
    return ["sh", "-c", script]


@pytest.mark.parametrize(
    "message",
    [
        LIMIT,
        "sbatch: error: MaxSubmitJobsPerAccount",
        "sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)",
    ],
)
def test_submission_waits_while_no_job_is_taken(message, tmp_path, capsys):
    waits: list[float] = []
    assert submitted(refuses_twice(tmp_path, message), "17\n", sleep=waits.append) == 0
    assert (capsys.readouterr().out, waits) == ("17\n", [commands.WAIT, commands.WAIT])


def test_a_full_queue_without_own_jobs_ends_the_wait(capsys, monkeypatch):
    monkeypatch.setattr(commands, "PATIENCE", 3 * commands.WAIT)
    waits: list[float] = []
    command = ["sh", "-c", f'echo "{LIMIT}" >&2; exit 1']
    assert submitted(command, has_own_jobs=lambda: False, sleep=waits.append) == 1
    assert sum(waits) == commands.PATIENCE
    assert "AssocMaxSubmitJobLimit" in capsys.readouterr().err


def test_nothing_is_submitted_once_the_controller_has_ended(tmp_path, capsys):
    waits: list[float] = []
    command = refuses_twice(tmp_path, LIMIT)
    assert submitted(command, "17\n", is_wanted=lambda: False, sleep=waits.append) == commands.INTERRUPTED
    assert len(waits) == 1
    assert capsys.readouterr().out == ""


def test_a_controller_is_seen_to_end(monkeypatch):
    asks = (
        "from clinical_peft.slurm.commands import *; import os; put_first(); print(os.environ[CONTROLLER], flush=True)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", f"{asks}; input()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as controller:
        monkeypatch.setenv(commands.CONTROLLER, controller.stdout.readline().strip())
        assert commands.controller_lives()
        controller.kill()
    assert not commands.controller_lives()


def test_without_a_known_controller_jobs_are_wanted(monkeypatch):
    monkeypatch.delenv(commands.CONTROLLER, raising=False)
    assert commands.controller_lives()


def test_other_refusals_are_passed_on_at_once(capsys):
    refusal = "sbatch: error: AssocMaxWallDurationPerJobLimit"
    command = ["sh", "-c", f'echo "{refusal}" >&2; exit 3']
    assert submitted(command) == 3
    assert refusal in capsys.readouterr().err


TIMED_OUT = "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation"


def unanswered(tmp_path, kind: str, monkeypatch, queue: str) -> list[str]:
    """A submission without an answer, of a run with jobs in the queue."""
    squeue = tmp_path / "squeue"
    squeue.write_text(f'#!/bin/sh\nprintf "{queue}"\n')
    squeue.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    flags = ["--job-name", "run", "--output", f"/logs/{kind}_finetune/los/%j.log", "--comment", "rule_finetune_los"]
    return [*refuses_twice(tmp_path, TIMED_OUT), "sbatch", *flags]


def test_a_job_taken_without_an_answer_is_found_in_the_queue(tmp_path, monkeypatch, capsys):
    command = unanswered(tmp_path, "rule", monkeypatch, r"7|rule_extract\n8|rule_finetune_los\n")
    assert submitted(command) == 0
    assert capsys.readouterr().out == "8\n"


def test_a_job_that_was_not_taken_is_submitted_again(tmp_path, monkeypatch, capsys):
    waits: list[float] = []
    command = unanswered(tmp_path, "rule", monkeypatch, r"7|rule_extract\n")
    assert submitted(command, "17\n", sleep=waits.append) == 0
    assert (capsys.readouterr().out, len(waits)) == ("17\n", 2)


def test_jobs_of_a_group_are_not_taken_for_each_other(tmp_path, monkeypatch, capsys):
    command = unanswered(tmp_path, "group", monkeypatch, r"8|rule_finetune_los\n")
    assert submitted(command) == 1
    assert TIMED_OUT in capsys.readouterr().err


def test_an_account_is_left_to_sbatch_while_nobody_answers(path):
    (path / "sacct").rename(path / "sshare")
    put_first()
    done = subprocess.run(["sshare", "-U", "--noheader"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
