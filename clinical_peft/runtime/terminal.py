"""Messages on the terminal."""

import sys
from functools import cache
from typing import NoReturn

from clinical_peft.errors import ClinicalPeftError


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
