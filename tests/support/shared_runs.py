"""A study's run that all processes of a test session share: the first to need it makes it, each reads its own copy."""

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from workflow_run import Run


def shared_run(factory: pytest.TempPathFactory, name: str, run: Callable[[Path], Run]) -> Run:
    """Return a successful run whose folder belongs to this process.

    Tests run commands in that folder, and a study takes one command at a time, so no two processes get the same.

    Args:
        factory: The session's temporary folders.
        name: What the run is called among all runs.
        run: Makes the run in the folder that it is given.
    """
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return successful(run(factory.mktemp(name)))
    shared = factory.getbasetemp().parent / f"shared-{name}"
    shared.mkdir(exist_ok=True)
    made, output = shared / "run", shared / "output.txt"
    with (shared / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not output.exists():
            made.mkdir(exist_ok=True)
            output.write_text(successful(run(made)).output)
    copy = factory.mktemp(name) / "run"
    shutil.copytree(made, copy, symlinks=True)
    return Run(0, output.read_text(), copy)


def successful(run: Run) -> Run:
    """The run, unless it failed."""
    assert run.returncode == 0, run.output[-3000:]
    return run
