"""Files of the synthetic hospital: a study names them `{hospital}/` and their path in the folder of the hospital."""

from pathlib import Path

HOSPITAL = "{hospital}"


def is_generated(path: Path | str) -> bool:
    """Whether a path of a study names a file of the synthetic hospital."""
    return Path(path).parts[:1] == (HOSPITAL,)


def in_hospital(path: Path | str) -> str:
    """Return the path of such a file inside the hospital's folder.

    Args:
        path: A path for which `is_generated` is true.
    """
    return str(Path(path).relative_to(HOSPITAL))
