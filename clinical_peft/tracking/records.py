"""What a study remembers of what it has sent: ids of runs, or why a server has none of them.

A server that is down costs a study nothing: a job writes why nothing was sent, and succeeds. When the command ends,
these records are deleted, so that the same command sends what is missing. This module imports the standard library and
this package's light modules alone.
"""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from clinical_peft.files import read_json, write_json

UNSENT, TIME = "unsent", "time"
# How long jobs of a study leave a server alone that has just failed: each would wait for it again.
PAUSE_SECONDS = 300.0

FOLDER = "runs"
RUNS, STUDY, MODELS = Path(FOLDER) / "tracked.json", Path(FOLDER) / "study.json", Path(FOLDER) / "tracked"


def folder_of(record: Path) -> Path:
    """The folder of results of the study that a record belongs to."""
    return next(parent.parent for parent in record.parents if parent.name == FOLDER)


def reason_of(record: Path) -> str | None:
    """Return why nothing was sent; None where something was, or where there is no record."""
    found = read_json(record) if record.exists() else {}
    return str(found[UNSENT]) if UNSENT in found else None


def write_reason(record: Path, reason: str) -> None:
    """Record that nothing was sent, and why: one line."""
    write_json(record, {UNSENT: reason, TIME: time.time()})


def sent_runs(record: Mapping[str, Any]) -> dict[str, str]:
    """Ids of runs in the content of a record, by identity; none where nothing was sent."""
    return {} if UNSENT in record else {key: str(value) for key, value in record.items()}


def recent_failure(folder: Path) -> str | None:
    """Return why a server has failed within the last minutes, by a study's records; None where it has not.

    Args:
        folder: The study's folder of results.
    """
    now = time.time()
    for path in _unsent(folder):
        record = read_json(path)
        if 0 <= now - float(record[TIME]) < PAUSE_SECONDS:
            return str(record[UNSENT])
    return None


def forget_unsent(folder: Path) -> str | None:
    """Delete records of what was not sent, so that the same command sends it; return why it was not.

    What a model's job could not send is sent if the job of all runs could, later.

    Args:
        folder: The study's folder of results.
    """
    runs = folder / RUNS
    is_sent = runs.exists() and reason_of(runs) is None
    unsent = [path for path in _unsent(folder) if not (is_sent and path.parent == folder / MODELS)]
    reasons = [reason for path in unsent if (reason := reason_of(path)) is not None]
    for path in unsent:
        path.unlink()
    return reasons[-1] if reasons else None


def _unsent(folder: Path) -> Iterator[Path]:
    """Records of what was not sent: those of models, then of all runs, then of the study."""
    for path in (*sorted((folder / MODELS).glob("*.json")), folder / RUNS, folder / STUDY):
        if reason_of(path) is not None:
            yield path
