"""Identifying a process beyond its number, which reboots, containers and machines use again.

This module imports the standard library alone.
"""

import os
import signal
import socket
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

PROC = Path("/proc")
BOOT_ID = PROC / "sys/kernel/random/boot_id"
# Positions in /proc/PID/stat after the command's name, which is in parentheses and may hold spaces.
STATE, START = 0, 19
ENDED = ("Z", "X", "")
PARENT_VARIABLE = "CLINICAL_PEFT_PARENT"
WATCH_SECONDS = 1.0

Existence = Literal["lives", "gone", "unknown"]


@dataclass(frozen=True)
class Process:
    """A process, identified on its machine and among machines.

    Attributes:
        host: Name of the machine.
        pid: Number of the process.
        start: When it started, in clock ticks since the machine did; 0 where the system does not say.
        boot: Identifier of the machine's start; empty where the system does not say.
        namespace: Identifier of the space in which `pid` counts, which differs between containers; empty as above.
    """

    host: str
    pid: int
    start: int
    boot: str
    namespace: str

    @classmethod
    def of(cls, pid: int) -> "Process":
        """Identify a process of this machine."""
        _, start = _status(pid)
        return cls(socket.gethostname(), pid, start, _boot(), _namespace())

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "Process":
        """Read what `record` wrote.

        Raises:
            KeyError, TypeError, ValueError: A field is missing or no such value.
        """
        return cls(
            host=str(record["host"]),
            pid=int(record["pid"]),
            start=int(record["start"]),
            boot=str(record["boot"]),
            namespace=str(record["namespace"]),
        )

    def record(self) -> dict[str, Any]:
        """Return the fields as JSON-ready values."""
        return asdict(self)

    def existence(self) -> Existence:
        """Return whether the process still runs; `unknown` where this machine cannot see it."""
        boot = _boot()
        if not boot or not self.boot or self.host != socket.gethostname():
            return "unknown"
        if self.boot != boot:
            return "gone"  # this machine has restarted since
        if self.namespace != _namespace():
            return "unknown"
        state, start = _status(self.pid)
        return "lives" if state not in ENDED and start == self.start else "gone"


def _status(pid: int) -> tuple[str, int]:
    """State and start time of a process; an empty state where there is none."""
    try:
        text = (PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "", 0
    fields = text.rpartition(")")[2].split()
    return fields[STATE], int(fields[START])


def _boot() -> str:
    try:
        return BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _namespace() -> str:
    try:
        return str((PROC / "self/ns/pid").readlink())
    except OSError:
        return ""


def announce_parent() -> None:
    """Name this process to the jobs that it starts; see `end_with_parent`."""
    process = Process.of(os.getpid())
    os.environ[PARENT_VARIABLE] = f"{process.pid}:{process.start}"


def end_with_parent() -> None:
    """Send SIGTERM to this process once the one that announced itself has ended.

    A workflow that is killed leaves the job's script behind, whose outputs nobody would record: the same command makes
    them anew. So the script ends like one that is cancelled, with its checkpoint.
    """
    pid, _, start = os.environ.get(PARENT_VARIABLE, "").partition(":")
    if not (pid.isdigit() and start.isdigit()):
        return
    parent = Process(socket.gethostname(), int(pid), int(start), _boot(), _namespace())
    if parent.existence() != "lives":  # announced to another process, on another machine or in another container
        return

    def watch() -> None:
        while parent.existence() == "lives":
            pause.wait(WATCH_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)

    pause = threading.Event()
    threading.Thread(target=watch, name="end-with-parent", daemon=True).start()
