"""One controller a study: who is refused, who takes over, and what is left behind."""

import json
import os
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from lock_fixtures import REPOSITORY, changed, sleeper, write_claim

from clinical_peft.errors import StorageError, StudyInUseError
from clinical_peft.locks import lease as module
from clinical_peft.locks.lease import FILE_NAME, STALE_SECONDS, Lease
from clinical_peft.locks.processes import Process

__all__ = ["sleeper"]

RUN = "11111111-2222-3333-4444-555555555555"


def left_behind(
    folder: Path, process: Process, *, run: str | None = None, seconds_ago: float = 0, slurm_job: str | None = None
) -> Path:
    """Write the lease of a controller that has not released it."""
    file = write_claim(folder / FILE_NAME, process, study="x", run=run, slurm_job=slurm_job)
    then = file.stat().st_mtime - seconds_ago
    os.utime(file, (then, then))
    return file


def fake_squeue(folder: Path, monkeypatch, script: str) -> Path:
    """Put a program of this name first on the path; it notes what it is called with."""
    folder.mkdir()
    program = folder / "squeue"
    program.write_text(f'#!/bin/sh\necho "$@" >> {folder}/called\n{script}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    return folder / "called"


def take(folder: Path, run: str | None = None) -> Lease:
    lease = Lease(folder, study="x")
    lease.take(run=run)
    return lease


def holder_of(folder: Path) -> dict:
    return json.loads((folder / FILE_NAME).read_text())


def test_a_lease_names_its_process_and_goes_when_released(tmp_path):
    lease = take(tmp_path / "x", RUN)
    record = holder_of(tmp_path / "x")
    assert record["process"] == Process.of(os.getpid()).record()
    assert (record["run"], record["study"]) == (RUN, "x")
    lease.release()
    assert list((tmp_path / "x").iterdir()) == []
    lease.release()


def test_a_lease_is_released_from_another_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lease = take(Path("results/x"))
    monkeypatch.chdir("/")
    lease.release()
    assert list((tmp_path / "results" / "x").iterdir()) == []


def test_a_second_controller_is_refused_while_the_first_lives(tmp_path, sleeper):
    left_behind(tmp_path / "x", Process.of(sleeper.pid))
    with pytest.raises(StudyInUseError, match=rf"process {sleeper.pid} runs study x .* kill {sleeper.pid} "):
        take(tmp_path / "x")
    assert holder_of(tmp_path / "x")["token"] == "theirs"


def test_a_killed_controllers_lease_is_taken_over_at_once(tmp_path, sleeper):
    left_behind(tmp_path / "x", Process.of(sleeper.pid))
    sleeper.kill()
    sleeper.wait()
    take(tmp_path / "x").release()
    assert list((tmp_path / "x").iterdir()) == []


def test_a_killed_controller_without_a_parent_is_gone(tmp_path, sleeper):
    left_behind(tmp_path / "x", Process.of(sleeper.pid))
    sleeper.kill()
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)
    take(tmp_path / "x").release()


def test_a_reused_process_id_is_another_process(tmp_path, sleeper):
    process = Process.of(sleeper.pid)
    left_behind(tmp_path / "x", changed(process, start=process.start - 1))
    take(tmp_path / "x").release()


def test_a_lease_left_by_a_power_cut_is_taken_over(tmp_path, sleeper):
    left_behind(tmp_path / "x", changed(Process.of(sleeper.pid), boot="an earlier start"))
    take(tmp_path / "x").release()


def test_two_studies_of_one_checkout_run_side_by_side(tmp_path):
    first, second = take(tmp_path / "x"), take(tmp_path / "y")
    second.release()
    assert holder_of(tmp_path / "x")["token"] == first.claim.token
    first.release()


ELSEWHERE = {"host": "node17"}
OTHER_CONTAINER = {"namespace": "pid:[1]"}


@pytest.mark.parametrize("unseen", [ELSEWHERE, OTHER_CONTAINER])
def test_an_unseen_controller_is_believed_alive_while_it_beats(unseen, tmp_path):
    process = changed(Process.of(os.getpid()), pid=4_000_000, **unseen)
    left_behind(tmp_path / "x", process, seconds_ago=STALE_SECONDS / 2)
    with pytest.raises(StudyInUseError, match=rf"process 4000000 on {process.host} runs .* kill 4000000"):
        take(tmp_path / "x")


def test_an_unseen_silent_controller_names_the_file_to_delete(tmp_path):
    process = changed(Process.of(os.getpid()), host="node17")
    file = left_behind(tmp_path / "x", process, seconds_ago=2 * STALE_SECONDS)
    with pytest.raises(StudyInUseError, match=r"on node17, .* 6 min ago; .*, delete the file"):
        take(tmp_path / "x")
    file.unlink()
    take(tmp_path / "x").release()


def test_the_holder_beats_whatever_the_clock_says(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "BEAT_SECONDS", 0.01)
    lease = take(tmp_path / "x")
    file = tmp_path / "x" / FILE_NAME
    os.utime(file, (0, 0))
    beaten = threading.Event()
    while file.stat().st_mtime == 0:
        beaten.wait(0.01)
    monkeypatch.setattr("time.time", lambda: 0.0)
    assert lease.claim.seconds_since_beat() < 60
    lease.release()


def test_jobs_in_the_queue_refuse_and_name_the_command(tmp_path, monkeypatch, sleeper):
    called = fake_squeue(
        tmp_path / "bin", monkeypatch, 'for n in 1 2 3 4; do echo "$n|RUNNING|rule_train_adapter_wildcards_a"; done'
    )
    left_behind(tmp_path / "x", changed(Process.of(sleeper.pid), boot="an earlier start"), run=RUN)
    with pytest.raises(StudyInUseError) as error:
        take(tmp_path / "x", "another run")
    text = str(error.value)
    assert "1 RUNNING rule_train_adapter_wildcards_a" in text
    assert "and 1 more" in text
    assert text.endswith(f"scancel --me --name {RUN}")
    assert f"--me --noheader --name {RUN}" in called.read_text()


def test_jobs_that_are_leaving_the_queue_are_waited_for(tmp_path, monkeypatch, sleeper):
    monkeypatch.setattr(module, "PAUSE_SECONDS", 0.01)
    counts = tmp_path / "bin" / "called"
    fake_squeue(tmp_path / "bin", monkeypatch, f'[ $(wc -l < {counts}) -gt 3 ] || echo "1|COMPLETING|"')
    left_behind(tmp_path / "x", changed(Process.of(sleeper.pid), start=1), run=RUN)
    take(tmp_path / "x").release()
    assert len(counts.read_text().splitlines()) == 4


def test_an_empty_queue_lets_a_cluster_controller_start(tmp_path, monkeypatch, sleeper):
    fake_squeue(tmp_path / "bin", monkeypatch, "true")
    left_behind(tmp_path / "x", changed(Process.of(sleeper.pid), start=1), run=RUN)
    take(tmp_path / "x").release()
    unseen = changed(Process.of(os.getpid()), host="login2")
    left_behind(tmp_path / "x", unseen, run=RUN, seconds_ago=2 * STALE_SECONDS)
    take(tmp_path / "x").release()
    left_behind(tmp_path / "x", unseen, run=RUN)
    with pytest.raises(StudyInUseError, match="on login2 runs study x"):
        take(tmp_path / "x")


@pytest.mark.parametrize("script", ["echo slurm_load_jobs error: no answer >&2; exit 1", None])
def test_a_queue_that_does_not_answer_refuses(script, tmp_path, monkeypatch, sleeper):
    if script is None:
        monkeypatch.setenv("PATH", str(tmp_path))
    else:
        fake_squeue(tmp_path / "bin", monkeypatch, script)
    left_behind(tmp_path / "x", changed(Process.of(sleeper.pid), start=1), run=RUN)
    with pytest.raises(StudyInUseError, match=rf"named {RUN}, and squeue does not say"):
        take(tmp_path / "x")


@pytest.mark.parametrize(
    ("now", "script", "ended"),
    [
        ("7", "exit 1", True),
        ("8", "true", True),
        (None, "echo slurm_load_jobs error: Invalid job id specified >&2; exit 1", True),
        (None, "echo '7|RUNNING|'", False),
        (None, "echo slurm_load_jobs error: Unable to contact slurm controller >&2; exit 1", False),
    ],
)
def test_a_controller_that_was_a_slurm_job_ended_with_it(now, script, ended, tmp_path, monkeypatch):
    fake_squeue(tmp_path / "bin", monkeypatch, script)
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    if now is not None:
        monkeypatch.setenv("SLURM_JOB_ID", now)
    left_behind(tmp_path / "x", changed(Process.of(os.getpid()), host="node17"), slurm_job="7")
    if ended:
        take(tmp_path / "x").release()
    else:
        with pytest.raises(StudyInUseError, match="on node17 runs study x"):
            take(tmp_path / "x")


def test_a_damaged_lease_names_the_file_to_delete(tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / FILE_NAME).write_text("{")
    with pytest.raises(StudyInUseError, match=r"controller.json: damaged"):
        take(tmp_path / "x")


def test_of_many_that_start_at_once_one_takes_the_lease(tmp_path, sleeper):
    for _ in range(20):
        left_behind(tmp_path / "x", changed(Process.of(sleeper.pid), start=1))
        leases = [Lease(tmp_path / "x", study="x") for _ in range(6)]

        def begin(lease: Lease) -> bool:
            try:
                lease.take(run=None)
            except StudyInUseError:
                return False
            return True

        with ThreadPoolExecutor(6) as pool:
            taken = list(pool.map(begin, leases))
        assert sum(taken) == 1
        assert holder_of(tmp_path / "x")["token"] == leases[taken.index(True)].claim.token
        leases[taken.index(True)].release()
        assert list((tmp_path / "x").iterdir()) == []


def test_a_takeover_that_was_killed_halfway_blocks_no_one(tmp_path, sleeper):
    left_behind(tmp_path / "x", changed(Process.of(sleeper.pid), start=1))
    mark = tmp_path / "x" / f".{FILE_NAME}.{holder_of(tmp_path / 'x')['token']}.displaced"
    mark.touch()
    os.utime(mark, (1, 1))
    take(tmp_path / "x").release()
    assert list((tmp_path / "x").iterdir()) == []


def test_a_folder_that_cannot_be_written_is_a_named_error(tmp_path):
    (tmp_path / "x").write_text("a file, where even root makes no folder")
    with pytest.raises(StorageError, match=r"controller.json: cannot be written"):
        take(tmp_path / "x")


LOSES = """
import sys, threading
from pathlib import Path
from clinical_peft.locks import lease as module
module.BEAT_SECONDS = 0.05
lease = module.Lease(Path(sys.argv[1]), study="x")
lease.take(run=None)
print("taken", flush=True)
threading.Event().wait(60)
"""


@pytest.mark.parametrize("disposition", ["SIG_DFL", "SIG_IGN"])
def test_a_controller_that_was_taken_over_ends_itself(disposition, tmp_path):
    """A command in the background of a script starts with interrupts ignored, and is told to end by SIGTERM."""
    handler = "signal.default_int_handler" if disposition == "SIG_DFL" else "signal.SIG_IGN"
    process = subprocess.Popen(
        [sys.executable, "-c", f"import signal; signal.signal(signal.SIGINT, {handler})\n{LOSES}", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "taken\n"
    file = tmp_path / FILE_NAME
    write_claim(tmp_path / "other", Process.of(os.getpid())).replace(file)
    _, errors = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "another command has taken study x over" in errors
    assert ("KeyboardInterrupt" in errors) == (disposition == "SIG_DFL")
    assert holder_of(tmp_path)["token"] == "theirs"


def test_host_of_a_lease_is_this_machine(tmp_path):
    lease = take(tmp_path / "x")
    assert holder_of(tmp_path / "x")["process"]["host"] == socket.gethostname()
    lease.release()
