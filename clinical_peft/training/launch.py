"""The program of every process that trains one adapter together with others.

A job of several processes starts it itself. `torchrun` and `accelerate launch` may start it as well, on one machine or
on several that share the study's folder, from the file that an interrupted job leaves in its work folder:

    torchrun --nnodes 2 ... -m clinical_peft.training.launch results/x/work/adapters/y/launch.json

Then the first process does the whole job: it owns the work folder, begins the run log, writes the outputs and keeps
them, and the workflow's job takes what is kept.

This module does not import PyTorch before it trains, so that signals are held from the first moment.
"""

import os
import signal
import sys
import threading
from pathlib import Path

from clinical_peft.errors import ClinicalPeftError
from clinical_peft.locks.ownership import owned_work, work_of_starter
from clinical_peft.runtime import jobs
from clinical_peft.runtime.events import JsonlLog, NullLog, RunLog
from clinical_peft.runtime.signals import late_notice_ignored, stop_signals_delivered, stop_signals_held
from clinical_peft.runtime.terminal import end_with_line
from clinical_peft.training.adapter_job import KEPT_LOG, AdapterJob

STARTED = "CLINICAL_PEFT_STARTED"
"""Environment variable of a process that a job has started."""


def main(specification: Path) -> None:
    """Run this process's part of a job.

    Args:
        specification: What `AdapterJob.write` wrote.

    Raises:
        SystemExit: See `clinical_peft.runtime.jobs.job`.
    """
    with stop_signals_held(), late_notice_ignored():
        adapter = read_specification(specification)
        started = STARTED in os.environ
        if started:
            end_with_input()
        with jobs.job(log_of_node(adapter.log_file)), stop_signals_delivered():
            _run_started(adapter) if started else _run_by_hand(adapter)


def read_specification(file: Path) -> AdapterJob:
    """Read a job's specification.

    Raises:
        SystemExit: It cannot be read; the reason is printed.
    """
    try:
        return AdapterJob.read(file)
    except ClinicalPeftError as error:
        end_with_line(error)


def log_of_node(log_file: Path) -> Path:
    """Return the log of this machine's processes: those of different machines must not append to one file."""
    node = int(os.environ.get("GROUP_RANK", "0"))
    return log_file if node == 0 else log_file.with_suffix(f".node{node}.log")


def end_with_input() -> None:
    """Kill this process when its standard input ends: its starter holds it open as long as it lives."""

    def wait() -> None:
        while os.read(0, 1):
            pass
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=wait, daemon=True).start()


def _is_first() -> bool:
    return int(os.environ.get("RANK", "0")) == 0


def _run_started(adapter: AdapterJob) -> None:
    """Take part in a job whose own process owns the work folder and has begun the run log."""
    with work_of_starter():
        log = JsonlLog.begun(adapter.run_log, kept=adapter.work / KEPT_LOG) if _is_first() else NullLog()
        _train(adapter, log)


def _run_by_hand(adapter: AdapterJob) -> None:
    """Do the whole job in the first process; the others take part in the training."""
    if not _is_first():
        _train(adapter, NullLog())
        return
    with owned_work(adapter.work, adapter.outputs.values()):
        adapter.run(lambda log: _train(adapter, log))
        adapter.forget()


def _train(adapter: AdapterJob, log: RunLog) -> None:
    from clinical_peft.training.distributed import init_workers, shutdown_workers
    from clinical_peft.training.language import pretrain

    workers = init_workers(adapter.job.recipe.devices)
    pretrain(adapter.job, **adapter.paths, log=log, workers=workers)
    shutdown_workers()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
