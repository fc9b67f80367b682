"""A check before all results are deleted: `python -m clinical_peft.locks.running_studies results`."""

import sys
from collections.abc import Sequence
from pathlib import Path

from clinical_peft.errors import ClinicalPeftError
from clinical_peft.locks.lease import FILE_NAME, Lease


def require_none_running(results: Path) -> None:
    """Check that no command runs a study of a folder.

    Args:
        results: The folder of all studies.

    Raises:
        StudyInUseError: A command runs one, or may.
    """
    for path in sorted(Path(results).glob(f"*/{FILE_NAME}")):
        Lease(path.parent, study=path.parent.name).require_free()


def main(arguments: Sequence[str]) -> int:
    """Check the folders that are given; return the exit code."""
    try:
        for folder in arguments:
            require_none_running(Path(folder))
    except ClinicalPeftError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
