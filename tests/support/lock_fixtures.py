"""Processes that hold a lock in tests: alive, dead, or out of sight."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from clinical_peft.locks.processes import Process

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def sleeper() -> "Iterator[subprocess.Popen[bytes]]":
    """A process of another command."""
    process = subprocess.Popen(["sleep", "600"])
    yield process
    process.kill()
    process.wait()


def changed(process: Process, **fields: object) -> Process:
    """The same process with other fields."""
    return Process.from_record({**process.record(), **fields})


def elsewhere() -> Process:
    """A process of another machine."""
    return changed(Process.of(os.getpid()), host="node17")


def write_claim(file: Path, process: Process, **details: object) -> Path:
    """Write the claim of another process, with what it says of itself."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"token": "theirs", "process": process.record(), **details}))
    return file
