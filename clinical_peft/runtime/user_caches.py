"""A folder for caches where the user's own cannot be written: a full quota, a home that compute nodes mount read-only.

Snakemake, the Hugging Face libraries, numba and Matplotlib keep caches there. This module imports the standard library
and this package's light modules alone.
"""

import os
import sys
from pathlib import Path

from clinical_peft.errors import StorageError
from clinical_peft.files import require_writable
from clinical_peft.runtime.terminal import end_with_line

VARIABLE = "XDG_CACHE_HOME"
INSTEAD = Path(".snakemake/cache")


def ensure_cache_folder(instead: Path = INSTEAD) -> None:
    """Let this process and those that it starts keep caches in another folder, if the user's own cannot be written.

    Args:
        instead: That folder, which compute nodes must see, too.

    Raises:
        SystemExit: With code 1 and after one line, if neither can be written.
    """
    own = Path(os.environ.get(VARIABLE) or "~/.cache")
    if _is_writable(own):
        return
    instead = Path(instead).absolute()
    if not _is_writable(instead):
        end_with_line(
            StorageError(
                f"{own} and {instead}: cannot be written; set {VARIABLE} to a folder that compute nodes see, too"
            )
        )
    print(f"note: {own} cannot be written; caches go to {instead}", file=sys.stderr)
    os.environ[VARIABLE] = str(instead)


def _is_writable(folder: Path) -> bool:
    try:
        require_writable(folder.expanduser())
    except (StorageError, RuntimeError):  # the latter where nobody knows a home
        return False
    return True
