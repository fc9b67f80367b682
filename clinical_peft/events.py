"""A job's run log as JSON lines: parameters, tags, metrics by step.

Jobs on compute nodes write such a file and need no tracking server; `clinical_peft.tracking` sends the files
to MLflow. A job that resumes appends to its file; a step written twice counts once, the last value winning.
"""

import json
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from clinical_peft.errors import DataError
from clinical_peft.files import private_directory


class RunLog(Protocol):
    """Where a training job reports what it does."""

    def params(self, values: Mapping[str, Any]) -> None:
        """Record parameters, which do not change during the run."""

    def metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        """Record figures, at an optimizer step or for the whole run."""


class NullLog:
    """A run log that keeps nothing."""

    def params(self, values: Mapping[str, Any]) -> None:
        """Ignore the parameters."""

    def metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        """Ignore the figures."""


class JsonlLog:
    """A run log kept in a file of JSON lines.

    Args:
        path: File to append to.
        kind: What the run does, for instance `finetune`.
        name: Name of the run.
        parent: Name of the group that the run belongs to, for instance its model.
        tags: Short strings that identify the run.
    """

    def __init__(
        self, path: Path, *, kind: str, name: str, parent: str | None = None, tags: Mapping[str, str] | None = None
    ) -> None:
        self.path = Path(path)
        private_directory(self.path.parent)
        drop_cut_line(self.path)
        self._write({"run": {"kind": kind, "name": name, "parent": parent, "tags": dict(tags or {})}})

    def params(self, values: Mapping[str, Any]) -> None:
        """Record parameters, which do not change during the run."""
        self._write({"params": dict(values)})

    def metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        """Record finite figures, at an optimizer step or for the whole run."""
        append_metrics(self.path, values, step)

    def _write(self, event: Mapping[str, Any]) -> None:
        _append(self.path, event)


def append_metrics(path: Path, values: Mapping[str, float | None], step: int | None = None) -> None:
    """Add figures to an existing run log; those that are undefined or not finite are left out."""
    finite = {key: float(value) for key, value in values.items() if value is not None and math.isfinite(value)}
    _append(path, {"metrics": finite, "step": step, "time": time.time()})


def drop_cut_line(path: Path) -> None:
    """Remove a last line that a kill cut short, so that what follows starts on a line of its own."""
    if not path.exists():
        return
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if whole != content:
        with path.open("r+b") as handle:
            handle.truncate(len(whole))


def _append(path: Path, event: Mapping[str, Any]) -> None:
    with path.open("a", encoding="utf-8") as handle:
        handle.write(json.dumps(event, sort_keys=True) + "\n")


def read_events(path: Path) -> list[dict[str, Any]]:
    """Read a run log; a last line cut short by a kill is left out.

    Raises:
        DataError: A line before the last is not JSON.
    """
    lines = Path(path).read_text(encoding="utf-8").split("\n")
    events = []
    for number, line in enumerate(lines, start=1):
        if not line:
            continue
        try:
            events.append(json.loads(line))
        except json.JSONDecodeError:
            if number >= len(lines) - 1:
                break
            raise DataError(f"{path}, line {number}: not a JSON event; delete the file to write it anew") from None
    return events
