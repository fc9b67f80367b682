"""Snakemake's log records: which of them are noise in a study's output, and what their fields say."""

import re
from collections.abc import Sequence
from logging import LogRecord
from pathlib import Path
from typing import Any

from clinical_peft.progress.study_clock import PlannedJob

PLANNED = "clinical_peft_jobs"  # attribute of the record that names the jobs to run

# Beginnings of Snakemake's messages that say nothing about the study.
NOISE = (
    "Assuming unrestricted shared filesystem usage.",
    "Building DAG of jobs...",
    "Complete log(s): ",
    "Conda environments: ignored",
    "Config file ",
    "Elapsed time: ",
    "Exiting because a job execution failed.",
    "Group jobs: inactive",
    "Select jobs to execute...",
    "Shutting down, this might take some time.",
    "Singularity containers: ignored",
    "Using shell: ",
    "host: ",
)
LAST_ERROR = "At least one job did not complete successfully."
SUBMITTED = re.compile(r"^Job (\d+) (?=has been submitted with SLURM jobid \d+)")
RESTARTED = re.compile(r"^Trying to restart job (\d+)\.")
MISSING = re.compile(r"^Job (\d+) +completed successfully, but some output files are missing", re.MULTILINE)
EXIT_STATUS = re.compile(r"^CalledProcessError in .*returned non-zero exit status (\d+)\.", re.DOTALL | re.MULTILINE)


def event_of(record: LogRecord) -> str:
    """Name of a record's event, empty for a plain message."""
    event = getattr(record, "event", None)
    return str(getattr(event, "value", event) or "")


def message_of(record: LogRecord) -> str:
    """Text of a record; empty for one without."""
    text = record.getMessage() if record.msg is not None else ""
    return "" if text == "None" else text


def planned_jobs(record: LogRecord) -> list[PlannedJob] | None:
    """Jobs that a record says are to run; None for another record."""
    found: Sequence[tuple[str, str, float]] | None = getattr(record, PLANNED, None)
    return None if found is None else [PlannedJob(*each) for each in found]


def name_of(record: LogRecord) -> str:
    """What tells a job from the others in every attempt: its first output, or its number."""
    outputs: Sequence[str] = getattr(record, "output", None) or ()
    return str(outputs[0]) if outputs else f"job {getattr(record, 'jobid', '')}"


def log_paths(record: LogRecord) -> list[Path]:
    """Logs of a job, its own first."""
    return [Path(str(path)) for path in getattr(record, "log", None) or ()]


def field(record: LogRecord, name: str, default: Any) -> Any:
    """A field of a record, or the default where it is missing or None."""
    found = getattr(record, name, None)
    return default if found is None else found
