"""Messages on the terminal, and who writes there: a job, or the command that started it."""

import os
import sys
from functools import cache
from typing import NoReturn

from clinical_peft.errors import ClinicalPeftError

REPORTER = "CLINICAL_PEFT_REPORTER"
STDERR = 2


def report_jobs_here() -> None:
    """Let jobs that this process starts leave this terminal to it; it reports them from their logs."""
    os.environ[REPORTER] = _terminal()


def stop_reporting_jobs() -> None:
    """Let jobs that start from now on write to the terminal themselves."""
    os.environ.pop(REPORTER, None)


def is_reported() -> bool:
    """Whether the command that started this process reports it on the very terminal or file that is its stderr.

    A job on another node inherits the command's environment, but writes to a file of its own.
    """
    return REPORTER in os.environ and os.environ[REPORTER] == _terminal()


def _terminal() -> str:
    """Device and file behind stderr; empty where it is closed."""
    try:
        found = os.fstat(STDERR)
    except OSError:
        return ""
    return f"{found.st_dev}:{found.st_ino}"


@cache
def warn(message: str) -> None:
    """Warn the user once per process, on the terminal and, inside a job, in its log.

    Args:
        message: One line that says what was found and what to do; never a field's content.
    """
    print(f"warning: {message}", file=sys.stderr)


def end_with_line(error: ClinicalPeftError) -> NoReturn:
    """Print what a user has to fix, and end the command.

    Raises:
        SystemExit: With code 1. Snakemake would follow an exception of its own with places in the rules.
    """
    print(f"error: {error}", file=sys.stderr, flush=True)
    raise SystemExit(1)
