"""Software that Snakemake installs for jobs: it holds no data, so the user's own umask decides who may read it.

This module imports the standard library alone.
"""

import os
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

from clinical_peft.errors import StorageError
from clinical_peft.files import forbidden

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def under_umask(umask: int, function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Return a function that does the same while the process has another umask.

    Args:
        umask: The umask. It holds for the whole process, so no other thread should write meanwhile.
        function: What installs software.
    """

    @wraps(function)
    def wrapped(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        before = os.umask(umask)
        try:
            return function(*args, **kwargs)
        finally:
            os.umask(before)

    return wrapped


def make_prefix(folder: Path | None, umask: int) -> None:
    """Make the folder in which a group shares software, with the rights that a umask leaves, unless it exists.

    Args:
        folder: The folder; None if the command names none.
        umask: The umask.

    Raises:
        StorageError: The folder cannot be made.
    """
    if folder is None:
        return
    try:
        under_umask(umask, Path(folder).mkdir)(parents=True, exist_ok=True)
    except OSError as error:
        reason = forbidden(Path(folder), error)
        raise StorageError(f"{folder}: expected a folder for environments or images, found {reason}") from None
