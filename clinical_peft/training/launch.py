"""Training an adapter in as many processes as its recipe asks for.

A job of one process runs here. For several, this process starts one worker each and watches them: it passes on a
request to stop, ends all workers when one fails, and reports the first error. The workers run this module, which
`accelerate launch` or `torchrun` may start as well, on one machine or on several that share the study's folder:

    accelerate launch --num_processes 8 -m clinical_peft.training.launch results/x/work/adapters/y/launch.json
"""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO, Any, cast

import clinical_peft
from clinical_peft.errors import StoppedError, TrainingError
from clinical_peft.files import read_json, write_json
from clinical_peft.locks.ownership import work_of_starter
from clinical_peft.recipes import PretrainJob
from clinical_peft.recipes.job_records import as_record, job_from_record
from clinical_peft.runtime import jobs
from clinical_peft.runtime.events import JsonlLog, NullLog
from clinical_peft.runtime.signals import StopRequest, stop_signals_noted
from clinical_peft.training.distributed import RENDEZVOUS_FILE, init_workers, require_devices, shutdown_workers

SPECIFICATION = "launch.json"
MARKS = ("error: ", "stopped: ")
SEE_LOG = "; see "  # how `clinical_peft.runtime.jobs` ends a line about another library's error
PAUSE_SECONDS = 0.05
# Time that the others get to end after one worker has failed.
GRACE_SECONDS = 10.0


def run_pretraining(job: PretrainJob, *, log: JsonlLog, log_file: Path, **paths: Path) -> None:
    """Train one adapter as `clinical_peft.training.language.pretrain` does, in one process or several.

    Args:
        job: Everything that decides the adapter, apart from its inputs.
        log: Where metrics are reported.
        log_file: Log file of the job, to which the workers append.
        **paths: Files and folders by the names of the parameters of `pretrain`; `work` among them.

    Raises:
        StoppedError: A signal asked the job to stop; a checkpoint is saved.
        TrainingError: See `pretrain`; or a worker failed.
    """
    if job.recipe.devices.processes == 1:
        from clinical_peft.training.language import pretrain

        pretrain(job, log=log, **cast(Any, paths))
        return
    specification = write_specification(job, log=log, log_file=log_file, **paths)
    run_workers(specification, processes=job.recipe.devices.processes, threads=job.recipe.threads)
    specification.unlink()


def write_specification(job: PretrainJob, *, log: JsonlLog, log_file: Path, **paths: Path) -> Path:
    """Write the specification of the workers into the job's work folder; arguments as of `run_pretraining`.

    Returns:
        The file, which `main` takes.
    """
    file = Path(paths["work"]) / SPECIFICATION
    kept = None if log.kept is None else str(log.kept.resolve())
    written = {
        "job": as_record(job),
        "paths": {name: str(Path(path).resolve()) for name, path in paths.items()},
        "run_log": {"path": str(log.path.resolve()), "kept": kept},
        "log_file": str(Path(log_file).resolve()),
    }
    write_json(file, written)
    return file


def run_workers(specification: Path, *, processes: int, threads: int) -> None:
    """Run the job of a file in several processes of this machine and wait for them.

    Args:
        specification: What `run_pretraining` wrote.
        processes: How many.
        threads: CPU threads of each.

    Raises:
        StoppedError: A signal asked the job to stop, and all workers did.
        TrainingError: A worker failed; the message names it and says why.
    """
    require_devices(processes)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rendezvous-")))
        stop = stack.enter_context(stop_signals_noted())
        workers: list[_Worker] = []
        for rank in range(processes):
            workers.append(_Worker(specification, _environment(rank, processes, threads, folder / "file")))
            stack.callback(workers[-1].end)
        _watch(workers, stop)
        _report(workers)


def _environment(rank: int, processes: int, threads: int, rendezvous: Path) -> dict[str, str]:
    library = str(Path(clinical_peft.__file__).parent.parent)
    search = [library, *filter(None, [os.environ.get("PYTHONPATH")])]
    own = {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(processes),
        "LOCAL_WORLD_SIZE": str(processes),
        "OMP_NUM_THREADS": str(threads),
        "PYTHONPATH": os.pathsep.join(search),
        RENDEZVOUS_FILE: str(rendezvous),
    }
    # Traffic between the processes stays on this machine, whatever its name resolves to.
    return {"GLOO_SOCKET_IFNAME": "lo", **os.environ, **own}


class _Worker:
    """One process, its last error line and its time."""

    def __init__(self, specification: Path, environment: Mapping[str, str]) -> None:
        self.rank = int(environment["RANK"])
        self.last_error: tuple[float, str] | None = None
        self.ended_here = False
        # It ends when its standard input does: no worker outlives this process.
        self.process = subprocess.Popen(
            [sys.executable, "-m", "clinical_peft.training.launch", str(specification)],
            env=dict(environment),
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        assert self.process.stderr is not None
        self.reader = threading.Thread(target=self._read, args=(self.process.stderr,), daemon=True)
        self.reader.start()

    def _read(self, stream: IO[str]) -> None:
        for line in stream:
            if line.startswith(MARKS):
                self.last_error = self.last_error or (time.monotonic(), line.split(": ", 1)[1].strip())
            elif sys.__stderr__ is not None:
                # The worker writes to the job's log itself; this is for the terminal alone.
                with suppress(OSError):  # closed; the worker must not wait for a reader that has ended
                    sys.__stderr__.write(line)
                    sys.__stderr__.flush()

    def end(self) -> None:
        """End the process, if it still runs, and wait until its output is read."""
        if self.process.poll() is None:
            self.ended_here = True
            self.process.kill()
        self.process.wait()
        self.reader.join()


def _watch(workers: list[_Worker], stop: StopRequest) -> None:
    """Wait until all workers have ended; pass a request to stop on; end the others when one has failed."""
    passed_on, failed_at = False, None
    while any(worker.process.poll() is None for worker in workers):
        if stop and not passed_on:
            passed_on = True
            for worker in workers:
                if worker.process.poll() is None:
                    worker.process.send_signal(signal.SIGUSR1)
        if failed_at is None and any(worker.process.poll() not in (None, 0, jobs.STOPPED) for worker in workers):
            failed_at = time.monotonic()
        if failed_at is not None and time.monotonic() - failed_at > GRACE_SECONDS:
            break
        time.sleep(PAUSE_SECONDS)
    for worker in workers:
        worker.end()


def _report(workers: list[_Worker]) -> None:
    """Raise the first error of any worker."""
    failed = [worker for worker in workers if worker.process.returncode not in (0, jobs.STOPPED)]
    errors = sorted(
        (_is_of_library(message), time_read, worker.rank, message)
        for worker in failed
        if worker.last_error is not None
        for time_read, message in [worker.last_error]
    )
    # Communication aborts the process that loses another one.
    peer_lost = {-signal.SIGABRT} if errors else set()
    killed = [
        worker
        for worker in failed
        if worker.process.returncode < 0 and not worker.ended_here and worker.process.returncode not in peer_lost
    ]
    count = len(workers)
    if killed:
        name = signal.Signals(-killed[0].process.returncode).name
        raise TrainingError(
            f"process {killed[0].rank} of {count} was ended by {name}, perhaps because memory ran out; the others were "
            "ended with it, and the same command goes on from the last checkpoint"
        )
    if errors:
        *_, rank, message = errors[0]
        raise TrainingError(f"process {rank} of {count}: {message}")
    if failed:
        raise TrainingError(f"process {failed[0].rank} of {count} failed with code {failed[0].process.returncode}")
    for worker in workers:
        if worker.process.returncode == jobs.STOPPED:
            raise StoppedError(
                worker.last_error[1] if worker.last_error else "training, as a signal asked; a checkpoint is saved"
            )


def _is_of_library(message: str) -> bool:
    """Whether an error is of another library, which may also follow from the loss of a worker; the cause comes first.

    Times alone do not reveal the cause: lines may be read in another order than they were written.
    """
    return SEE_LOG in message


def _end_with_parent() -> None:
    """Kill this process when its standard input ends: its parent holds it open as long as it lives."""

    def wait() -> None:
        while os.read(0, 1):
            pass
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=wait, daemon=True).start()


def main(specification: Path) -> None:
    """Run this worker's part of a job.

    Args:
        specification: What `write_specification` wrote.
    """
    if RENDEZVOUS_FILE in os.environ:
        _end_with_parent()
    written = read_json(specification)
    with jobs.job(written["log_file"]), work_of_starter():
        from clinical_peft.training.language import pretrain

        job = job_from_record(PretrainJob, written["job"])
        workers = init_workers(job.recipe.devices)
        run_log = written["run_log"]
        log = JsonlLog.begun(run_log["path"], kept=run_log["kept"]) if workers.first else NullLog()
        paths: dict[str, Any] = {name: Path(path) for name, path in written["paths"].items()}
        pretrain(job, **paths, log=log, workers=workers)
        shutdown_workers()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
