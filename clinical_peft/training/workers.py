"""The processes of one machine that train one adapter together: started, watched, stopped and reported.

The process that starts them passes on a request to stop, ends all of them when one fails, and reports the first error.
Each of them runs `clinical_peft.training.launch`.
"""

import math
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import clinical_peft
from clinical_peft.errors import StoppedError, TrainingError
from clinical_peft.runtime import jobs
from clinical_peft.runtime.signals import STOP_SIGNALS, StopRequest, stop_signals_held, stop_signals_noted
from clinical_peft.runtime.terminal import is_reported
from clinical_peft.training.distributed import RENDEZVOUS_FILE, require_devices
from clinical_peft.training.launch import STARTED

ERROR, STOP = "error: ", "stopped: "
SEE_LOG = "; see "  # how `clinical_peft.runtime.jobs` ends a line about another library's error
PAUSE_SECONDS = 0.05
# A process that starts may ignore a signal, so it is sent again.
AGAIN_SECONDS = 1.0
# Time that the others get to end after one worker has failed.
GRACE_SECONDS = 10.0
# How a process ends that a stop signal has reached before training has begun.
CUT_OFF = {code for number in STOP_SIGNALS for code in (-number, 128 + number)}


@dataclass(frozen=True)
class Node:
    """A machine among those that train together.

    Attributes:
        number: From 0.
        count: How many there are; each runs as many processes.
    """

    number: int = 0
    count: int = 1


ONE_MACHINE = Node()


def run_workers(specification: Path, *, processes: int, threads: int, node: Node = ONE_MACHINE) -> None:
    """Run the job of a file in several processes of this machine and wait for them.

    Args:
        specification: What `AdapterJob.write` wrote.
        processes: How many on this machine.
        threads: CPU threads of each.
        node: Which of several machines this is. Where there are several, MASTER_ADDR and MASTER_PORT are in the
            environment.

    Raises:
        StoppedError: A signal asked the job to stop, and all workers did.
        TrainingError: A worker failed; the message names it and says why.
    """
    require_devices(processes)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rendezvous-")))
        stop = stack.enter_context(stop_signals_noted())
        workers: list[Worker] = []
        command = [sys.executable, "-m", "clinical_peft.training.launch", str(specification)]
        for local in range(processes):
            environment = _environment(local, processes, threads, node, folder / "file")
            with stop_signals_held():
                workers.append(Worker(int(environment["RANK"]), command, environment))
            stack.callback(workers[-1].end)
        watch(workers, stop)
        report(workers, stop, processes=processes * node.count)


def search_path() -> str:
    """Return PYTHONPATH of a process that must find this package."""
    library = str(Path(clinical_peft.__file__).parent.parent)
    return os.pathsep.join([library, *filter(None, [os.environ.get("PYTHONPATH")])])


def _environment(local: int, processes: int, threads: int, node: Node, rendezvous: Path) -> dict[str, str]:
    own = {
        "RANK": str(node.number * processes + local),
        "LOCAL_RANK": str(local),
        "GROUP_RANK": str(node.number),
        "WORLD_SIZE": str(node.count * processes),
        "LOCAL_WORLD_SIZE": str(processes),
        "OMP_NUM_THREADS": str(threads),
        "PYTHONPATH": search_path(),
        STARTED: "1",
    }
    if node.count > 1:
        return {**os.environ, **own}
    # Traffic between the processes stays on this machine, whatever its name resolves to.
    return {"GLOO_SOCKET_IFNAME": "lo", **os.environ, **own, RENDEZVOUS_FILE: str(rendezvous)}


class Worker:
    """A process, its last error line and its time.

    Args:
        rank: Its number among all that train together.
        command: What it runs. It should end when its standard input does, so that it does not outlive this process.
        environment: All of its environment.

    Attributes:
        error: When the first error line was read, and its message.
        stopped: Message of the first line that says that it was stopped.
    """

    def __init__(self, rank: int, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self.rank = rank
        self.error: tuple[float, str] | None = None
        self.stopped: str | None = None
        self.ended_here = False
        self.process = subprocess.Popen(
            command,
            env=dict(environment),
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        assert self.process.stderr is not None
        self.reader = threading.Thread(target=self._read, args=(self.process.stderr,), daemon=True)
        self.reader.start()

    @property
    def is_cut_off(self) -> bool:
        """Whether a stop signal ended it."""
        return self.process.returncode in CUT_OFF

    @property
    def may_have_lost_another(self) -> bool:
        """Whether the end of another process explains its own; communication aborts the process or fails."""
        is_lost = self.error is not None and _is_of_library(self.error[1])
        return self.ended_here or self.process.returncode == -signal.SIGABRT or is_lost

    def _read(self, stream: IO[str]) -> None:
        for line in stream:
            if line.startswith(STOP):
                self.stopped = self.stopped or line.removeprefix(STOP).strip()
            elif line.startswith(ERROR):
                self.error = self.error or (time.monotonic(), line.removeprefix(ERROR).strip())
            elif sys.__stderr__ is not None and not is_reported():
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


def watch(workers: Sequence[Worker], stop: StopRequest) -> None:
    """Wait until all workers have ended; pass a request to stop on; end the others when one has failed."""
    passed_on = failed_at = -math.inf
    while running := [worker for worker in workers if worker.process.poll() is None]:
        now = time.monotonic()
        if stop and now - passed_on > AGAIN_SECONDS:
            passed_on = now
            for worker in running:
                worker.process.send_signal(signal.SIGUSR1)
        if any(worker.process.poll() not in (None, 0, jobs.STOPPED) for worker in workers):
            failed_at = now if failed_at == -math.inf else failed_at
            if now - failed_at > GRACE_SECONDS:
                break
        time.sleep(PAUSE_SECONDS)
    for worker in workers:
        worker.end()


def report(workers: Sequence[Worker], stop: StopRequest, *, processes: int) -> None:
    """Raise the first error of any worker, or what stopped them.

    Args:
        workers: All that this process started; they have ended.
        stop: Whether they were asked to stop.
        processes: How many train together.

    Raises:
        StoppedError: They were stopped.
        TrainingError: One failed.
    """
    failed = [worker for worker in workers if worker.process.returncode not in (0, jobs.STOPPED)]
    cut_off = [worker for worker in failed if worker.is_cut_off]
    if stop and cut_off and all(worker in cut_off or worker.may_have_lost_another for worker in failed):
        raise StoppedError(f"{processes} processes, asked by {stop.signal} while they started")
    errors = _errors(workers, stop)
    killed = _killed(failed, stop, has_errors=bool(errors))
    if killed:
        name = signal.Signals(-killed[0].process.returncode).name
        raise TrainingError(
            f"process {killed[0].rank} of {processes} was ended by {name}, perhaps because memory ran out; the others "
            "were ended with it, and the same command goes on from the last checkpoint"
        )
    if errors:
        rank, message = errors[0]
        # A task of `srun` has named the process already.
        named = message.startswith("process ")
        raise TrainingError(message if named else f"process {rank} of {processes}: {message}")
    if failed:
        raise TrainingError(f"process {failed[0].rank} of {processes} failed with code {failed[0].process.returncode}")
    for worker in workers:
        if worker.process.returncode == jobs.STOPPED:
            raise StoppedError(worker.stopped or "training, as a signal asked; a checkpoint is saved")


def _errors(workers: Sequence[Worker], stop: StopRequest) -> list[tuple[int, str]]:
    """Ranks and error lines of workers, the likely cause first; without those of workers that a stop has cut off."""
    found = sorted(
        (_is_of_library(message), time_read, worker.rank, message)
        for worker in workers
        if worker.error is not None and not (stop and worker.is_cut_off)
        for time_read, message in [worker.error]
    )
    return [(rank, message) for *_, rank, message in found]


def _killed(failed: Sequence[Worker], stop: StopRequest, *, has_errors: bool) -> list[Worker]:
    """Workers that a signal has ended from outside."""
    # Communication aborts the process that loses another one.
    peer_lost = {-signal.SIGABRT} if has_errors else set()
    return [
        worker
        for worker in failed
        if worker.process.returncode < 0 and not worker.ended_here and worker.process.returncode not in peer_lost
        if not (stop and worker.is_cut_off)
    ]


def _is_of_library(message: str) -> bool:
    """Whether an error is of another library, which may also follow from the loss of a worker; the cause comes first.

    Times alone do not reveal the cause: lines may be read in another order than they were written.
    """
    return SEE_LOG in message
