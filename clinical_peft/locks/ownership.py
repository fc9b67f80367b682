"""One job per work folder: a job on a machine thought dead must not write beside its successor.

A job owns its work folder by a file beside it and gives a sign of life from time to time. Its successor waits: on the
same machine until the process has ended, which is known at once; elsewhere until the signs of life have stopped for a
while. Then it takes over. One that wakes after that finds another's token, and no file of its own takes its place any
more: neither a checkpoint nor an output.

This module imports the standard library and this package's light modules alone.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

from clinical_peft.errors import WorkLostError
from clinical_peft.files import guarded_writes
from clinical_peft.locks.claims import Claim, Holder, UnreadableClaim

SUFFIX = ".owner.json"
BEAT_SECONDS = 10.0
# Longer than a network file system's caches and an interpreter that is held by a library.
SILENT_SECONDS = 90.0
PAUSE_SECONDS = 0.5
# The token under which the processes that a job starts may write.
VARIABLE = "CLINICAL_PEFT_OWNER"
FINISHED = "finished"
"""Folder of a work folder that holds what is finished: it outlives the job."""


@contextmanager
def owned_work(work: str | Path, outputs: Iterable[str | Path]) -> Iterator[None]:
    """Own a job's work folder during the block; what the block writes takes its place only while it is owned.

    Args:
        work: The folder, which need not exist.
        outputs: What the job declares as its outputs.

    Raises:
        SystemExit: With code 0, where another process of this job has finished it meanwhile.
        WorkLostError: Another process has taken the job over.
    """
    work, declared = Path(work), [Path(output) for output in outputs]
    claim = Claim(work.with_name(work.name + SUFFIX))
    if _take(claim, work) and _is_finished(work, declared):
        claim.release()
        _end_finished(work)
    token = f"{claim.token}:{claim.path.absolute()}"
    stop_beating = claim.keep_alive(BEAT_SECONDS, lambda: os.kill(os.getpid(), signal.SIGTERM))
    os.environ[VARIABLE] = token
    try:
        with guarded_writes(lambda: _require(claim)):
            yield
    except BaseException:
        # The thread that beats may find out at this moment, too, and its signal would hide the reason.
        with _sigterm_ignored():
            stop_beating()
            lost = _is_lost(claim)
        if not lost:
            raise
        if claim.beat() is None and _is_finished(work, declared):
            _end_finished(work)
        raise _lost(claim) from None
    finally:
        stop_beating()
        os.environ.pop(VARIABLE, None)
        with suppress(OSError):
            claim.release()


@contextmanager
def _sigterm_ignored() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def work_of_starter() -> Iterator[None]:
    """Write files only while the job that started this process owns its work folder."""
    token, _, path = os.environ.get(VARIABLE, "").partition(":")
    if not path:
        yield
        return
    claim = Claim(Path(path))
    claim.token = token
    with guarded_writes(lambda: _require(claim)):
        yield


def _take(claim: Claim, work: Path) -> bool:
    """Own a work folder as soon as its owner has ended; return whether there was one that lived."""
    details = {
        "slurm_job": os.environ.get("SLURM_JOB_ID"),
        "slurm_restarts": os.environ.get("SLURM_RESTART_COUNT"),
    }
    waited = False
    while not claim.try_to_take(details):
        dead, lived = _wait_for_end(claim, work)
        waited = waited or lived
        claim.displace(dead)
    return waited


def _wait_for_end(claim: Claim, work: Path) -> tuple[Holder | None, bool]:
    """Wait until the owner has ended; return it, or None if it has given the folder up, and whether it lived."""
    seen: tuple[str, int | None] | None = None
    since, lived, spoken_of = time.monotonic(), False, ""
    while True:
        try:
            holder = claim.holder()
        except UnreadableClaim:
            return None, lived
        if holder is None:
            return None, lived
        existence = holder.process.existence()
        if existence == "gone":
            return holder, lived
        beat = (holder.token, claim.beat())
        if beat != seen:
            lived = lived or seen is not None
            seen, since = beat, time.monotonic()
        if existence == "unknown" and time.monotonic() - since > SILENT_SECONDS:
            return holder, lived
        if existence == "lives":
            lived = True
        if spoken_of != holder.token:
            spoken_of = holder.token
            print(_waiting(work, holder, existence), file=sys.stderr, flush=True)
        time.sleep(PAUSE_SECONDS)


def _waiting(work: Path, holder: Holder, existence: str) -> str:
    process, job = holder.process, holder.details.get("slurm_job")
    who = f"process {process.pid} on {process.host}" + (f" (SLURM job {job})" if job else "")
    if existence == "lives":
        return f"note: {work}: {who} works here; waiting until it ends; to end it: kill {process.pid}"
    return f"note: {work}: {who} worked here last; waiting until it gives no sign of life for {SILENT_SECONDS:.0f} s"


def _is_finished(work: Path, outputs: list[Path]) -> bool:
    """Whether another process has finished the job: its work folder goes last, and this one began without outputs.

    Kept seeds of a fine-tuning job stay in the folder.
    """
    left = any(path.is_file() and path.relative_to(work).parts[0] != FINISHED for path in work.rglob("*"))
    return bool(outputs) and not left and all(output.exists() for output in outputs)


def _end_finished(work: Path) -> NoReturn:
    with suppress(OSError):
        work.rmdir()  # what this process may have made while it did not know
    print(f"note: {work}: another process has finished this job; nothing is left to do", file=sys.stderr, flush=True)
    raise SystemExit(0)


def _is_lost(claim: Claim) -> bool:
    try:
        return not claim.is_mine()
    except OSError:
        return False


def _require(claim: Claim) -> None:
    if not claim.is_mine():
        raise _lost(claim)


def _lost(claim: Claim) -> WorkLostError:
    holder = None
    with suppress(UnreadableClaim, OSError):
        holder = claim.holder()
    who = "another process" if holder is None else f"process {holder.process.pid} on {holder.process.host}"
    return WorkLostError(
        f"{claim.path}: {who} has taken this job over while this one gave no sign of life; this one ends and writes "
        "nothing more"
    )
