"""What a run read and what it took from the machine, added to its run log, and what trained a study.

This module imports the standard library alone.
"""

import json
import resource
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from clinical_peft.runtime.events import read_events
from clinical_peft.runtime.provenance import Environment, environments_of

MEBI = 2**20
# Kinds of run logs whose jobs train, or run a network.
TRAINING = ("bases", "adapters", "features", "models", "search")


def append_inputs(path: Path, inputs: Mapping[str, Mapping[str, str]]) -> None:
    """Add the data that a run read to its run log.

    Args:
        path: File that `clinical_peft.runtime.events.JsonlLog` writes.
        inputs: By name of the data: `path` (relative to the workflow's folder), `sha256` and `context` (training, or
            evaluation).
    """
    with Path(path).open("a", encoding="utf-8") as handle:
        handle.write(json.dumps({"inputs": {name: dict(each) for name, each in inputs.items()}}, sort_keys=True) + "\n")


def training_environments(run_logs: Iterable[Path]) -> dict[str, list[Environment]]:
    """Versions and machine of every job that trained, by the identity of its run.

    Args:
        run_logs: Files that `clinical_peft.runtime.events.JsonlLog` wrote; those of other jobs are passed over.
    """
    found = {}
    for path in run_logs:
        events = read_events(path)
        header = next((event["run"] for event in events if "run" in event), None)
        if header is not None and header["kind"] in TRAINING:
            found[f"{header['kind']}/{header['parent'] or ''}/{header['name']}"] = environments_of(events)
    return found


def run_log_files(paths: Iterable[str | Path]) -> list[Path]:
    """Return the run logs among files and folders of run logs."""
    found: list[Path] = []
    for path in map(Path, paths):
        found += sorted(path.rglob("*.jsonl")) if path.is_dir() else [path]
    return found


class Usage:
    """What this process uses of the machine, from here on."""

    def __init__(self) -> None:
        self._before = _processor_seconds()

    def metrics(self) -> dict[str, float]:
        """Processor seconds since the start and the process's peak memory so far in MiB, by MLflow's naming."""
        # Kibibytes on Linux, bytes on macOS.
        unit = 1 if sys.platform == "darwin" else 1024
        found = {
            "system/processor_seconds": _processor_seconds() - self._before,
            "system/peak_memory_mebibytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / MEBI,
        }
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_available():
            found["system/gpu_peak_memory_mebibytes"] = torch.cuda.max_memory_allocated() / MEBI
        return found


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
