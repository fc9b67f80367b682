"""`sacct`, `sbatch` and `sshare` as Snakemake's executor plugin understands them, found before SLURM's own.

The plugin (2.8.0) takes what sacct prints word by word. It waits for ever for a job that is `CANCELLED by 1002` or
preempted for good, submits nothing more after a NODE_FAIL, and forgets all jobs when sacct fails a few times. It counts
a refusal for too many submitted jobs, and a controller of SLURM that is away, as a failure of the job. An account that
cannot be checked fails it, too. The cluster profile calls `put_first`; the programs in `bin/` then run this file, which
needs Python's own library alone.
"""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

BIN = Path(__file__).resolve().parent / "bin"
PYTHON = "CLINICAL_PEFT_PYTHON"
CONTROLLER = "CLINICAL_PEFT_CONTROLLER"  # number and start of the process that submits jobs
STATES_ASKED = "--format=JobIdRaw,State"  # how the plugin asks for the states of a run's jobs
SECONDS = 25  # for an answer; the plugin waits 60 for two of them
WAIT = 10  # seconds between two attempts to submit
PATIENCE = 3600  # seconds to go on with attempts while no job of one's own is in the queue
INTERRUPTED = 130

LOST = ("NODE_FAIL", "PREEMPTED")
"""States of a job whose node or place was taken away: SLURM may have put it back into the queue."""

FULL = re.compile(r"\b(Assoc|QOS)\w*Submit\w*Limit\b|\bMaxSubmitJobsPerAccount\b")
"""Reasons of SLURM not to take a job for now, such as AssocMaxSubmitJobLimit and QOSMaxSubmitJobPerUserLimit."""

AWAY = re.compile(r"Unable to contact slurm controller \(connect failure\)")
"""SLURM's controller was not reached, so it has not taken the job."""

UNANSWERED = re.compile(r"Socket timed out|Unable to contact slurm controller \((send|receive|shutdown) failure\)")
"""SLURM's controller was reached and gave no answer: it may have taken the job."""


def put_first() -> None:
    """Let this process and those that it starts find the commands of this module before SLURM's own."""
    os.environ[PYTHON] = sys.executable
    os.environ[CONTROLLER] = f"{os.getpid()}:{_started(os.getpid())}"
    places = os.environ.get("PATH", os.defpath).split(os.pathsep)
    os.environ["PATH"] = os.pathsep.join([str(BIN), *(place for place in places if place != str(BIN))])


def controller_lives() -> bool:
    """Whether the process that called `put_first` lives; a shell between it and this one outlives it."""
    number, _, started = os.environ.get(CONTROLLER, "").partition(":")
    return not started or _started(int(number)) == started


def _started(process: int) -> str:
    """When a process started, in clock ticks since the machine did; empty where there is none or no telling."""
    try:
        text = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    state, *fields = text.rpartition(")")[2].split()
    return "" if state in "ZX" else fields[18]


def plain_states(reported: Mapping[str, str], queued: Mapping[str, str] | None) -> dict[str, str]:
    """Return states of jobs in the words that the plugin knows.

    Args:
        reported: State by job id, as sacct says it, such as `CANCELLED by 1002`.
        queued: State by job id of all jobs that squeue lists; None if it does not answer.

    Returns:
        A cancelled job is CANCELLED, whoever cancelled it. A job that lost its node or its place has the state that
        squeue gives it, and is RUNNING if squeue does not answer; once it has left the queue it is FAILED.

    Example:
        >>> plain_states({"1": "CANCELLED by 1002", "2": "NODE_FAIL", "3": "PREEMPTED"}, {"2": "PENDING"})
        {'1': 'CANCELLED', '2': 'PENDING', '3': 'FAILED'}
    """
    found = {}
    for job, state in reported.items():
        word = state.split()[0] if state.strip() else state
        if word in LOST:
            now = "RUNNING" if queued is None else queued.get(job, "FAILED")
            word = "FAILED" if now in LOST else now
        found[job] = word
    return found


def read_states(text: str) -> dict[str, str]:
    """State by job id, from lines of the form `id|state`."""
    rows = [line.partition("|") for line in text.splitlines() if "|" in line]
    return {job.strip(): state.strip() for job, _, state in rows if job.strip()}


def sacct(arguments: Sequence[str]) -> int:
    """Answer as sacct does; where it does not answer itself, say what squeue knows of the run's jobs.

    Jobs that neither knows of are absent, which the plugin takes for jobs that are still to be seen. The exit code is
    then 0, so that no outage makes it forget jobs.
    """
    program = real("sacct")
    if STATES_ASKED not in arguments:
        return _replace(program, arguments) if program else 1
    answer = _answer([program, *arguments]) if program else None
    reported = None if answer is None else read_states(answer)
    if reported is None or any(state.split()[:1] == [lost] for state in reported.values() for lost in LOST):
        queued = _queued(_value(arguments, "--name"))
        reported = (queued or {}) if reported is None else reported
    else:
        queued = {}
    print("".join(f"{job}|{state}\n" for job, state in plain_states(reported, queued).items()), end="")
    return 0


def sshare(arguments: Sequence[str]) -> int:
    """Answer as sshare does, and with nothing where it fails: the plugin then takes an account as it is given.

    It asks sacctmgr for the user's accounts and then sshare. While neither answers, sbatch judges the account.
    """
    program = real("sshare")
    print((program and _answer([program, *arguments])) or "", end="")
    return 0


def sbatch(arguments: Sequence[str]) -> int:
    """Submit a job; while SLURM takes no more of them, or does not answer, wait.

    Other refusals end it at once, with sbatch's own message and exit code.
    """
    program = real("sbatch")
    if program is None:
        print("sbatch: not found", file=sys.stderr)
        return 127
    script = sys.stdin.read() if "/dev/stdin" in arguments else None
    command = [program, *arguments]
    try:
        return submit(command, script, has_own_jobs=_has_own_jobs, is_wanted=controller_lives, sleep=time.sleep)
    except KeyboardInterrupt:
        return INTERRUPTED


def submit(
    command: Sequence[str],
    script: str | None,
    *,
    has_own_jobs: Callable[[], bool],
    is_wanted: Callable[[], bool],
    sleep: Callable[[float], None],
) -> int:
    """Run a command of sbatch until it is accepted or refused for good, and print what it printed last.

    Args:
        command: Program and arguments.
        script: Its standard input.
        has_own_jobs: Whether jobs of this user are in the queue, where one that ends makes room, or nobody knows.
        is_wanted: Whether the process that asked for the job still lives: nobody would wait for the job otherwise.
        sleep: Waits for so many seconds.

    Returns:
        Its exit code.
    """
    patience = PATIENCE
    while True:
        done = subprocess.run(command, input=script, capture_output=True, text=True, check=False)
        unanswered = done.returncode != 0 and UNANSWERED.search(done.stderr) is not None
        if unanswered and (number := _taken(command)):
            print(number)
            return 0
        later = FULL.search(done.stderr) or AWAY.search(done.stderr) or (unanswered and _has_own_comment(command))
        if done.returncode == 0 or not later or patience <= 0:
            print(done.stdout, end="")
            print(done.stderr, end="", file=sys.stderr)
            return done.returncode
        patience = PATIENCE if has_own_jobs() else patience - WAIT
        sleep(WAIT)
        if not is_wanted():
            print("sbatch: not submitted, because the command that asked for the job has ended", file=sys.stderr)
            return INTERRUPTED


def real(name: str) -> str | None:
    """Path of SLURM's own command; None where it is not installed."""
    places = [place for place in os.environ.get("PATH", os.defpath).split(os.pathsep) if place != str(BIN)]
    return shutil.which(name, path=os.pathsep.join(places))


def _queued(run: str) -> dict[str, str] | None:
    program = real("squeue")
    asked = ["--noheader", "--states=all", "--format=%i|%T", "--name", run]
    answer = _answer([program, *asked]) if program else None
    return None if answer is None else read_states(answer)


def _has_own_comment(command: Sequence[str]) -> bool:
    """Whether the comment of a job is its own among the jobs of its run, as that of a job of one rule is.

    Jobs of a group share one. The plugin names the folder of SLURM's log after the rule or the group.
    """
    folders = Path(_value(command, "--output")).parent.parts
    return any(folder.startswith("rule_") for folder in folders[-2:])


def _taken(command: Sequence[str]) -> str | None:
    """Number of the job that a command without an answer has put into the queue; None if there is none to be seen."""
    name, comment, program = _value(command, "--job-name"), _value(command, "--comment"), real("squeue")
    if not (name and program and _has_own_comment(command)):
        return None
    lines = (_answer([program, "--noheader", "--format=%i|%k", "--name", name]) or "").splitlines()
    found = [job for job, _, said in (line.partition("|") for line in lines) if said == comment]
    return found[0] if len(found) == 1 else None


def _value(command: Sequence[str], option: str) -> str:
    """What follows an option; empty where it is not given."""
    return next((value for given, value in pairwise(command) if given == option), "")


def _has_own_jobs() -> bool:
    program = real("squeue")
    answer = _answer([program, "--noheader", "--format=%i", "--user", str(os.getuid())]) if program else None
    return answer is None or bool(answer.strip())


def _answer(command: Sequence[str]) -> str | None:
    """What a command prints; None if it fails or does not end in time."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=SECONDS)
    except (subprocess.SubprocessError, OSError):
        return None
    return done.stdout


def _replace(program: str, arguments: Sequence[str]) -> int:
    os.execv(program, [program, *arguments])


def main(arguments: Sequence[str]) -> int:
    """Run a command, given by its name, and return its exit code."""
    name, *rest = arguments
    return {"sacct": sacct, "sbatch": sbatch, "sshare": sshare}[name](rest)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
