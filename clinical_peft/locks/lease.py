"""One controller per study: the file by which a second `snakemake` command sees that the study is running.

Two controllers would run the same jobs twice, and Snakemake deletes the outputs of one that fails, although the other
has just finished them. A controller that is killed leaves its file behind, and on a cluster its jobs as well. So a new
one starts only when the old process is gone and its jobs have left the queue; what cannot be known, the user is asked.

This module imports the standard library and this package's light modules alone.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from clinical_peft.errors import StorageError, StudyInUseError
from clinical_peft.locks.claims import Claim, Holder, UnreadableClaim

FILE_NAME = "controller.json"
BEAT_SECONDS = 20.0
# A machine that is alive gives several signs of life in this time, even through the caches of a network file system.
STALE_SECONDS = 180.0
# How long cancelled jobs may take to leave the queue; SLURM's KillWait is 30 seconds by default.
ENDING_SECONDS = 120.0
PAUSE_SECONDS = 2.0
SQUEUE_SECONDS = 60.0
ENDING = {"COMPLETING"}
SHOWN = 3


class Lease:
    """A controller's claim to a study.

    Args:
        folder: The study's folder of results.
        study: Name of the study.
    """

    def __init__(self, folder: Path, *, study: str) -> None:
        self.path = Path(folder) / FILE_NAME
        # Snakemake returns to the folder it was started in before the process ends.
        self.claim = Claim(self.path.absolute())
        self.study = study
        # The executor of SLURM jobs removes the variable.
        self.slurm_job = os.environ.get("SLURM_JOB_ID")
        self._end: Callable[[], None] | None = None

    def take(self, *, run: str | None) -> None:
        """Take the lease, or say why the study must not be started now.

        Args:
            run: Name under which this controller submits its SLURM jobs; None if it does not.

        Raises:
            StudyInUseError: A controller lives, or jobs of one are in the queue, or neither can be known.
            StorageError: The folder cannot be written to.
        """
        if self._end is not None:
            return
        details = {"study": self.study, "run": run, "slurm_job": self.slurm_job}
        try:
            while not self.claim.try_to_take(details):
                self.claim.displace(self._dead_holder())
        except OSError as error:
            raise StorageError(
                f"{self.path}: cannot be written ({(error.strerror or 'error').lower()}); a study that runs "
                "writes its results there"
            ) from None
        self._end = self.claim.keep_alive(BEAT_SECONDS, self._lost, may_be_deleted=True)

    def require_free(self) -> None:
        """Check that no command runs the study, without taking it.

        Raises:
            StudyInUseError: One does, or may.
        """
        self._dead_holder()

    @property
    def is_held(self) -> bool:
        """Whether this process has it."""
        return self._end is not None

    def release(self) -> None:
        """Give the lease up, if this process has it."""
        if self._end is not None:
            self._end()
            self._end = None
            self.claim.release()

    def _lost(self) -> None:
        print(
            f"error: {self.path}: another command has taken study {self.study} over while this one gave no sign "
            "of life; this one ends",
            file=sys.stderr,
            flush=True,
        )
        # A command that a script started in the background ignores interrupts.
        ignored = signal.getsignal(signal.SIGINT) == signal.SIG_IGN
        os.kill(os.getpid(), signal.SIGTERM if ignored else signal.SIGINT)

    def _dead_holder(self) -> Holder | None:
        """Return the holder that left its lease behind; None where there is none any more.

        Raises:
            StudyInUseError: It may be alive.
        """
        path = self.path
        try:
            holder = self.claim.holder()
        except UnreadableClaim:
            raise StudyInUseError(
                f"{path}: damaged, so that it does not say which process runs study {self.study}; if none does, and "
                "none of its jobs is in a queue, delete the file and run the same command again"
            ) from None
        if holder is None:
            return None
        existence = holder.process.existence()
        if existence == "lives":
            pid = holder.process.pid
            raise StudyInUseError(
                f"{path}: process {pid} runs study {self.study} already; wait for it, or end it with: kill {pid} "
                "(it waits for its running jobs)"
            )
        run = holder.details.get("run")
        if run:
            self._require_no_jobs(str(run))
        if existence == "unknown" and not self._job_has_ended(holder.details.get("slurm_job")):
            self._require_stale(holder, remote=bool(run))
        return holder

    def _require_no_jobs(self, run: str) -> None:
        """Check that no job of a controller is in SLURM's queue; wait for those that are about to leave it."""
        deadline = time.monotonic() + ENDING_SECONDS
        while jobs := self._jobs(run):
            if any(job.state not in ENDING for job in jobs) or time.monotonic() > deadline:
                listed = ", ".join(f"{job.number} {job.state} {job.comment}".strip() for job in jobs[:SHOWN])
                more = f" and {len(jobs) - SHOWN} more" if len(jobs) > SHOWN else ""
                raise StudyInUseError(
                    f"{self.path}: jobs of an earlier command on study {self.study} are still in the queue "
                    f"({listed}{more}); wait for them, or end them with: scancel --me --name {run}"
                )
            time.sleep(PAUSE_SECONDS)

    def _jobs(self, run: str) -> list["_QueuedJob"]:
        try:
            return queued_jobs(run)
        except _QueueUnknownError as reason:
            raise StudyInUseError(
                f"{self.path}: an earlier command on study {self.study} submitted jobs named {run}, and squeue "
                f"does not say whether they are still in the queue ({reason}); try again where it does, or delete the "
                "file once none is left"
            ) from None

    def _job_has_ended(self, number: object) -> bool:
        """Whether a controller that was itself a SLURM job has ended; this may be the same job on another node."""
        if not isinstance(number, str):
            return False
        if number == self.slurm_job:
            return True
        try:
            return not _squeue("--jobs", number)
        except _QueueUnknownError as reason:
            return "Invalid job id" in str(reason)

    def _require_stale(self, holder: Holder, *, remote: bool) -> None:
        """Check that a controller that this machine cannot see gives no sign of life.

        Args:
            holder: The controller.
            remote: Whether its jobs ran under SLURM, whose queue is empty; jobs of its own machine nobody here can see.
        """
        process, age = holder.process, self.claim.seconds_since_beat()
        where = f"process {process.pid} on {process.host}"
        if age < STALE_SECONDS:
            raise StudyInUseError(
                f"{self.path}: {where} runs study {self.study} already, by a sign of life {age:.0f} s ago; wait "
                f"for it, or end it there with: kill {process.pid}"
            )
        if not remote:
            raise StudyInUseError(
                f"{self.path}: {where}, which this machine cannot see, ran study {self.study} and gave its last "
                f"sign of life {age / 60:.0f} min ago; if it and its jobs have ended, delete the file and run the same "
                "command again"
            )


@dataclass(frozen=True)
class _QueuedJob:
    """A job in SLURM's queue: its number, state and comment, which names rule and wildcards."""

    number: str
    state: str
    comment: str


class _QueueUnknownError(Exception):
    """Why the queue could not be read."""


def queued_jobs(run: str) -> list[_QueuedJob]:
    """Return the user's SLURM jobs of a name that have not ended.

    Args:
        run: Name under which a controller submitted its jobs.
    """
    lines = _squeue("--name", run)
    fields = [line.split("|", 2) for line in lines if line.count("|") >= 2]
    return [_QueuedJob(number, state, comment) for number, state, comment in fields]


def _squeue(*which: str) -> list[str]:
    """Return number, state and comment of the user's jobs of some kind, a line each."""
    program = shutil.which("squeue")
    if program is None:
        raise _QueueUnknownError("squeue is not installed")
    command = [program, "--me", "--noheader", *which, "--format=%i|%T|%k"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SQUEUE_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _QueueUnknownError(type(error).__name__) from None
    if done.returncode != 0:
        raise _QueueUnknownError((done.stderr.strip().splitlines() or [f"code {done.returncode}"])[-1])
    return done.stdout.splitlines()
