"""Run logs as their runs in MLflow will hold them."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clinical_peft.errors import DataError
from clinical_peft.runtime.events import read_events
from clinical_peft.runtime.provenance import environment_tags, environments_of
from clinical_peft.tracking.keys import unique_names

SCORES = "test_"  # what a later job measured begins so
# Metrics that differ whenever a job is run again; MLflow shows those with this prefix in a tab of their own.
SYSTEM_PREFIX = "system/"


@dataclass
class ParsedLog:
    """What a run log says, with every (metric, step) once."""

    kind: str
    name: str
    parent: str | None
    tags: dict[str, str]
    events: int
    digest: str
    params: dict[str, Any] = field(default_factory=dict)
    metrics: dict[tuple[str, int], tuple[float, int]] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    begun: list[int] = field(default_factory=list)
    inputs: dict[str, dict[str, str]] = field(default_factory=dict)
    lines: list[dict[str, Any]] = field(default_factory=list)

    def begun_as(self, events: int, digest: str) -> "ParsedLog | None":
        """Return the log as it was when it had so many events and this digest; None if it never was so."""
        if not 0 < events <= self.events or _digest(self.lines[:events]) != digest:
            return None
        return _parse_events(self.lines[:events])

    @property
    def content(self) -> str:
        """Checksum of its parameters and metrics, without times and use of the machine."""
        metrics = sorted([*key, value] for key, (value, _) in self.metrics.items() if is_result(key))
        return hashlib.sha256(json.dumps([self.params, metrics], sort_keys=True).encode()).hexdigest()

    @property
    def title(self) -> str:
        """The run's name, which tells it from the runs of other groups when they are compared."""
        return "/".join([self.parent, self.name] if self.parent else [self.name])

    @property
    def identity(self) -> str:
        """What tells the run from all others of the study."""
        return "/".join([self.kind, self.parent or "", self.name])

    @property
    def start(self) -> int | None:
        """When its job began, or else recorded its first metric, in milliseconds; None where it recorded nothing."""
        return min([*self.begun, *self._times()], default=None)

    @property
    def end(self) -> int | None:
        """When its job recorded its last metric."""
        return max([*self.begun, *self._times()], default=None)

    def _times(self) -> list[int]:
        own = [time for (key, _), (_, time) in self.metrics.items() if not key.startswith(SCORES)]
        return own or [time for _, time in self.metrics.values()]


def read_logs(run_logs: Iterable[Path]) -> list[ParsedLog]:
    """Read run logs.

    Raises:
        DataError: A log is malformed, or two describe the same run.
    """
    logs: dict[str, ParsedLog] = {}
    for path in sorted(run_logs):
        log = _parse(path, read_events(path))
        if log.identity in logs:
            raise DataError(f"{path}: a second log of the run {log.identity}; expected one, delete the stale one")
        logs[log.identity] = log
    return list(logs.values())


def is_result(key: tuple[str, int]) -> bool:
    """Whether a metric at a step is the same whenever its job is run."""
    return not key[0].startswith(SYSTEM_PREFIX)


def _parse(path: Path, events: list[dict[str, Any]]) -> ParsedLog:
    if not any("run" in event for event in events):
        raise DataError(f"{path}: expected a run log that starts with its name, found {len(events)} other events")
    return _parse_events(events)


def _parse_events(events: list[dict[str, Any]]) -> ParsedLog:
    header = next(event["run"] for event in events if "run" in event)
    log = ParsedLog(header["kind"], header["name"], header["parent"], header["tags"], len(events), _digest(events))
    log.lines = events
    log.environment = environment_tags([environments_of(events)])
    names = unique_names({key for event in events for key in event.get("metrics", {})})
    for event in events:
        log.params |= event.get("params", {})
        log.inputs |= event.get("inputs", {})
        if "run" in event and "time" in event:
            log.begun.append(int(event["time"] * 1000))
        for key, value in event.get("metrics", {}).items():
            # A metric of the whole run has no step: MLflow keeps it at 0.
            log.metrics[names[key], event["step"] or 0] = (value, int(event["time"] * 1000))
    return log


def _digest(events: list[dict[str, Any]]) -> str:
    return hashlib.sha256(json.dumps(events, sort_keys=True).encode()).hexdigest()
