"""Messages of a running job on the terminal."""

import sys
from functools import cache


@cache
def warn(message: str) -> None:
    """Warn the user once per process, on the terminal and, inside a job, in its log.

    Args:
        message: One line that says what was found and what to do; never a field's content.
    """
    print(f"warning: {message}", file=sys.stderr)
