"""A job's run log as JSON lines: parameters, tags, metrics by step.

Jobs on compute nodes write such a file and need no tracking server; `clinical_peft.tracking.run_logs` sends the files
to MLflow. A step written twice counts once, the last value winning. The line that begins a log says
when its process began, with which versions and on which machine it computes.
"""

import json
import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from clinical_peft.errors import DataError
from clinical_peft.files import full_disk, private_directory, write_text
from clinical_peft.runtime.provenance import environment


class RunLog(Protocol):
    """Where a training job reports what it does."""

    def params(self, values: Mapping[str, Any]) -> None:
        """Record parameters, which do not change during the run."""

    def metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        """Record metrics, at an optimizer step or for the whole run."""

    def rewind(self, step: int) -> None:
        """Forget what an earlier, interrupted run recorded after an optimizer step; zero forgets all of it."""


class NullLog:
    """A run log that keeps nothing."""

    def params(self, values: Mapping[str, Any]) -> None:
        """Ignore the parameters."""

    def metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        """Ignore the metrics."""

    def rewind(self, step: int) -> None:
        """Have nothing to forget."""


class JsonlLog:
    """A run log kept in a file of JSON lines; a job that resumes goes on with its file.

    Args:
        path: File to append to.
        kind: What the run does, for instance `finetune`.
        name: Name of the run.
        parent: Name of the group that the run belongs to, for instance its model.
        tags: Short strings that identify the run.
        kept: A second file with the same lines, from which `path` is made again: a workflow deletes the outputs of
            a failed job.
    """

    def __init__(
        self,
        path: Path,
        *,
        kind: str,
        name: str,
        parent: str | None = None,
        tags: Mapping[str, str] | None = None,
        kept: Path | None = None,
    ) -> None:
        self.path = Path(path)
        self.kept = None if kept is None else Path(kept)
        self._waiting: list[dict[str, Any]] = []
        for each in self._files():
            private_directory(each.parent)
            drop_cut_line(each)
        if self.kept is not None:
            write_text(self.path, self.kept.read_text(encoding="utf-8") if self.kept.exists() else "")
        named = {"kind": kind, "name": name, "parent": parent, "tags": dict(tags or {})}
        self._write({"run": named, "system": environment(), "time": time.time()})

    @classmethod
    def begun(cls, path: Path, *, kept: Path | None = None) -> "JsonlLog":
        """Return a log that another process has begun and leaves to this one."""
        log = cls.__new__(cls)
        log.path, log.kept, log._waiting = Path(path), None if kept is None else Path(kept), []
        return log

    def params(self, values: Mapping[str, Any]) -> None:
        """Record parameters, which do not change during the run."""
        self._write({"params": dict(values)})

    def metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        """Record finite metrics, at an optimizer step or for the whole run.

        Metrics of a step wait in memory while the disk is full.

        Raises:
            OSError: The disk is full and the metrics are for the whole run, or another error than a full disk.
        """
        event = _metrics_event(values, step)
        try:
            self._write(event)
        except OSError as error:
            if step is None or full_disk(error) is None:
                raise

    def rewind(self, step: int) -> None:
        """Forget what an earlier, interrupted run recorded after an optimizer step; zero forgets all of it.

        Parameters and metrics of the whole run of an earlier run are forgotten too; this run records them anew. Where
        its steps are kept, so are its versions and machine.
        """
        events = read_events(self.path)
        begun = max(number for number, event in enumerate(events) if "run" in event)
        earlier, fresh = events[:begun], events[begun:]
        head = [event for event in fresh if "metrics" not in event]
        known = [event for event in earlier if event.get("step") is not None and event["step"] <= step]
        if known:
            head = [_with_earlier(head[0], earlier), *head[1:]]
        events = [*head, *known, *(event for event in fresh if "metrics" in event)]
        for file in self._files():
            write_text(file, "".join(map(_line, events)))

    def _files(self) -> list[Path]:
        return [self.path] if self.kept is None else [self.kept, self.path]

    def _write(self, event: dict[str, Any]) -> None:
        self._waiting.append(event)
        for file in self._files():
            _append(file, "".join(map(_line, self._waiting)))
        self._waiting.clear()


def _with_earlier(header: dict[str, Any], earlier: list[dict[str, Any]]) -> dict[str, Any]:
    """The line that begins a run: the start of the first one that it continues, versions and machines of all."""
    times = [event["time"] for event in (*earlier, header) if "run" in event and "time" in event]
    before: list[dict[str, Any]] = []
    for event in earlier:
        if "run" in event:
            before += [one for one in (*event.get("systems_before", ()), event.get("system", {})) if one not in before]
    return {**header, "systems_before": before} | ({"time": min(times)} if times else {})


def append_metrics(path: Path, values: Mapping[str, float | None], step: int | None = None) -> None:
    """Add metrics to an existing run log; those that are undefined or not finite are dropped."""
    _append(path, _line(_metrics_event(values, step)))


def _metrics_event(values: Mapping[str, float | None], step: int | None) -> dict[str, Any]:
    finite = {key: float(value) for key, value in values.items() if value is not None and math.isfinite(value)}
    return {"metrics": finite, "step": step, "time": time.time()}


def _line(event: Mapping[str, Any]) -> str:
    return json.dumps(event, sort_keys=True) + "\n"


def drop_cut_line(path: Path) -> None:
    """Remove a last line that a kill cut short, so that what follows starts on a line of its own."""
    if not path.exists():
        return
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if whole != content:
        with path.open("r+b") as handle:
            handle.truncate(len(whole))


def _append(path: Path, text: str) -> None:
    """Append text whole or not at all."""
    with path.open("ab", buffering=0) as handle:
        size = os.fstat(handle.fileno()).st_size
        content = text.encode()
        try:
            written = handle.write(content)
            while written < len(content):
                written += handle.write(content[written:])
        except OSError:
            handle.truncate(size)
            raise


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
