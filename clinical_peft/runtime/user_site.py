"""Keeping packages of the user's own folder (`~/.local`) from shadowing the pinned ones.

This module imports the standard library alone.
"""

import os
import site
import sys
from pathlib import Path

VARIABLE = "PYTHONNOUSERSITE"


def ignore_user_site(*, installation: Path) -> None:
    """Start every Python from now on without the user's own packages, and hand on no path to them.

    Snakemake appends this process's `sys.path` to that of every script, so the folder goes from it as well. Where the
    workflow itself is installed in that folder, its packages are the pinned ones, and it stays.

    Args:
        installation: A file of the workflow's installation, such as Snakemake's own.
    """
    own = Path(site.getusersitepackages()).resolve()
    if Path(installation).resolve().is_relative_to(own):
        return
    os.environ[VARIABLE] = "1"
    sys.path[:] = [path for path in sys.path if not path or Path(path).resolve() != own]
