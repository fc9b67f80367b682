"""One job a work folder: who waits, who takes over, and that nobody writes who was taken over."""

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from lock_fixtures import REPOSITORY, elsewhere, sleeper, write_claim

from clinical_peft.errors import WorkLostError
from clinical_peft.files import atomic_path, write_text
from clinical_peft.locks import ownership
from clinical_peft.locks.claims import Claim
from clinical_peft.locks.ownership import SILENT_SECONDS, SUFFIX, VARIABLE, owned_work, work_of_starter
from clinical_peft.locks.processes import Process

__all__ = ["sleeper"]


class Time:
    """A clock that goes on when somebody sleeps, and what happens at each sleep."""

    def __init__(self, monkeypatch, happens=lambda number: None) -> None:
        self.now, self.sleeps, self.happens = 0.0, 0, happens
        monkeypatch.setattr(ownership, "time", SimpleNamespace(monotonic=lambda: self.now, sleep=self.sleep))

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.sleeps += 1
        self.happens(self.sleeps)


def owner_file(work: Path) -> Path:
    return work.with_name(work.name + SUFFIX)


def owned_by(work: Path, process: Process) -> Path:
    return write_claim(owner_file(work), process, slurm_job="7")


def test_a_work_folder_is_owned_during_the_job_alone(tmp_path):
    work = tmp_path / "work" / "adapter"
    with owned_work(work, []):
        record = json.loads(owner_file(work).read_text())
        assert record["process"] == Process.of(os.getpid()).record()
        write_text(work / "checkpoint", "whole")
    assert not owner_file(work).exists()
    assert (work / "checkpoint").read_text() == "whole"


def test_a_failed_job_gives_its_work_folder_up(tmp_path):
    with pytest.raises(ValueError), owned_work(tmp_path / "adapter", []):
        raise ValueError
    assert list(tmp_path.iterdir()) == []


def test_a_locally_killed_job_is_succeeded_at_once(tmp_path, monkeypatch, sleeper):
    owned_by(tmp_path / "adapter", Process.of(sleeper.pid))
    sleeper.kill()
    sleeper.wait()
    clock = Time(monkeypatch)
    with owned_work(tmp_path / "adapter", []):
        assert clock.sleeps == 0


def test_a_job_that_still_runs_here_is_waited_for(tmp_path, monkeypatch, sleeper, capsys):
    owned_by(tmp_path / "adapter", Process.of(sleeper.pid))

    def end_at_last(number: int) -> None:
        if number == 1000:
            sleeper.kill()
            sleeper.wait()

    clock = Time(monkeypatch, end_at_last)
    with owned_work(tmp_path / "adapter", []):
        assert clock.sleeps == 1000
    assert capsys.readouterr().err.count(f"to end it: kill {sleeper.pid}\n") == 1


@pytest.mark.parametrize("beats", [0, 3])
def test_a_silent_job_on_another_machine_is_succeeded(beats, tmp_path, monkeypatch, capsys):
    file = owned_by(tmp_path / "adapter", elsewhere())

    # Its clock is decades behind, and goes backwards.
    def beat(number: int) -> None:
        if number <= beats:
            os.utime(file, (1000 - number, 1000 - number))

    clock = Time(monkeypatch, beat)
    with owned_work(tmp_path / "adapter", []):
        silent_since = beats * ownership.PAUSE_SECONDS
        assert SILENT_SECONDS < clock.now - silent_since <= SILENT_SECONDS + ownership.PAUSE_SECONDS
    assert "process " in capsys.readouterr().err


@pytest.mark.parametrize("process", [Process.of(os.getppid()), elsewhere()])
def test_a_job_finished_by_the_one_before_is_not_done_again(process, tmp_path, monkeypatch):
    work, output = tmp_path / "work" / "adapter", tmp_path / "adapter"
    file = owned_by(work, process)

    def finish(number: int) -> None:
        os.utime(file)
        if number == 3:
            output.mkdir()
            file.unlink()

    Time(monkeypatch, finish)
    with pytest.raises(SystemExit) as error, owned_work(work, [output]):
        raise AssertionError("nothing is left to do")
    assert error.value.code == 0
    assert not owner_file(work).exists()


def test_a_job_that_failed_meanwhile_is_done_again(tmp_path, monkeypatch):
    work = tmp_path / "work" / "adapter"
    work.mkdir(parents=True)
    file = owned_by(work, elsewhere())
    (tmp_path / "run.jsonl").touch()
    Time(monkeypatch, lambda number: file.unlink())
    with owned_work(work, [tmp_path / "run.jsonl", tmp_path / "adapter"]):
        assert owner_file(work).exists()


def taken_over(work: Path) -> None:
    """Let another process take a folder over."""
    write_claim(work.parent / "other", elsewhere()).replace(owner_file(work))


@pytest.mark.parametrize("when", ["before", "during"])
def test_a_job_that_was_taken_over_replaces_no_file(when, tmp_path):
    work, file = tmp_path / "adapter", tmp_path / "output"
    file.write_text("theirs")

    def job() -> None:
        with owned_work(work, [file]):
            work.mkdir()
            if when == "before":
                taken_over(work)
            with atomic_path(file) as temporary:
                temporary.write_text("ours")
                taken_over(work)

    with pytest.raises(WorkLostError, match=r"process \d+ on node17 has taken this job over"):
        job()
    assert file.read_text() == "theirs"
    assert json.loads(owner_file(work).read_text())["token"] == "theirs"
    write_text(file, "a later job's")


def test_processes_that_a_job_starts_write_under_its_token(tmp_path, monkeypatch):
    with owned_work(tmp_path / "adapter", []):
        token = os.environ[VARIABLE]
        with work_of_starter():
            write_text(tmp_path / "output", "ours")
        taken_over(tmp_path / "adapter")
        with pytest.raises(WorkLostError), work_of_starter():
            write_text(tmp_path / "output", "too late")
    assert VARIABLE not in os.environ
    monkeypatch.setenv(VARIABLE, token)
    with pytest.raises(WorkLostError), work_of_starter():
        write_text(tmp_path / "output", "too late")
    assert (tmp_path / "output").read_text() == "ours"


JOB = """
import sys
from pathlib import Path
from clinical_peft.locks import ownership
from clinical_peft.errors import StoppedError
from clinical_peft.files import write_text
from clinical_peft.runtime.jobs import job
from clinical_peft.locks.ownership import owned_work
from clinical_peft.runtime.signals import stop_signals_noted
ownership.BEAT_SECONDS = 0.02
work, output = Path(sys.argv[1]) / "work", Path(sys.argv[1]) / "output"
with job(Path(sys.argv[1]) / "job.log"), owned_work(work, [output]), stop_signals_noted() as stop:
    step = 0
    while True:
        step += 1
        if step % 1000 == 1 or stop:
            write_text(work / "checkpoint", f"ours after {step}")
        if step == 1:
            print("begun", flush=True)
        if stop:
            raise StoppedError("a checkpoint is saved")
"""


def stopped_job(folder: Path) -> "subprocess.Popen[str]":
    """A job that SIGSTOP holds, like one on a machine that hangs."""
    process = subprocess.Popen(
        [sys.executable, "-c", JOB, str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
    return process


def take_over(folder: Path) -> None:
    """Do what a successor does that cannot see the process: wait until it falls silent."""
    claim = Claim(owner_file(folder / "work"))
    claim.displace(claim.holder())
    assert claim.try_to_take({})


def test_a_job_that_wakes_after_a_takeover_ends_in_one_line(tmp_path):
    process = stopped_job(tmp_path)
    take_over(tmp_path)
    write_text(tmp_path / "work" / "checkpoint", "theirs")
    process.send_signal(signal.SIGCONT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    (line,) = errors.splitlines()
    assert line.startswith(f"error: {tmp_path}/work{SUFFIX}: process ")
    assert line.endswith("this one ends and writes nothing more")
    assert (tmp_path / "work" / "checkpoint").read_text() == "theirs"
    assert line in (tmp_path / "job.log").read_text()


def test_a_job_that_wakes_after_its_successor_fails_nothing(tmp_path):
    process = stopped_job(tmp_path)
    take_over(tmp_path)
    (tmp_path / "output").write_text("theirs")
    shutil.rmtree(tmp_path / "work")
    owner_file(tmp_path / "work").unlink()
    process.send_signal(signal.SIGCONT)
    _, errors = process.communicate(timeout=60)
    # Snakemake deletes the outputs of a job that fails, and these are another's.
    assert (process.returncode, errors.count("\n")) == (0, 1)
    assert "another process has finished this job" in errors
    assert sorted(file.name for file in tmp_path.iterdir()) == ["job.log", "output"]


PARENT = """
import subprocess, sys
from clinical_peft.locks.processes import announce_parent
announce_parent()
subprocess.run(["sh", "-c", sys.argv[1], *sys.argv[2:]])
"""


def test_a_job_saves_a_checkpoint_when_its_workflow_is_killed(tmp_path):
    script = tmp_path / "job.py"
    script.write_text(JOB)
    command = f"{sys.executable} {script} {tmp_path}; true"
    process = subprocess.Popen(
        [sys.executable, "-c", PARENT, command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    process.kill()
    _, errors = process.communicate(timeout=60)  # its child, which holds the other end, has ended, too
    assert errors == "stopped: a checkpoint is saved\n"
    assert int((tmp_path / "work" / "checkpoint").read_text().split()[-1]) > 0
    assert not owner_file(tmp_path / "work").exists()


def test_one_of_many_that_wait_takes_over(tmp_path, monkeypatch, sleeper):
    claims = [Claim(tmp_path / "owner.json") for _ in range(5)]
    write_claim(tmp_path / "owner.json", Process.of(sleeper.pid))
    dead = claims[0].holder()
    for claim, other in itertools.pairwise(claims):
        claim.displace(dead)
        assert claim.try_to_take({}) == (claim is claims[0])
        other.displace(dead)  # judged before the first took it
    assert claims[0].is_mine()
    assert [file.name for file in tmp_path.iterdir()] == ["owner.json"]
