"""Names for what a new study defines, made from names of files and columns."""

import re
from pathlib import Path

from clinical_peft.config.tasks import RESERVED
from clinical_peft.sources import hospital_corpora
from clinical_peft.tasks import TASKS

_TAKEN = {*hospital_corpora(), *RESERVED, "general", *TASKS}
_LONGEST = 60


def plain_name(text: str, otherwise: str) -> str:
    """Return a name of letters, digits, + and - for any text.

    Args:
        text: The text.
        otherwise: Name for a text that holds none of these.
    """
    name = re.sub(r"[^A-Za-z0-9+]+", "-", text).strip("+-")[:_LONGEST].rstrip("+-")
    return name or otherwise


def stem(path: Path) -> str:
    """The name of a file without its endings."""
    return path.name.split(".")[0] or path.name


def corpus_name(path: Path) -> str:
    """Name of the table or corpus of a user's file."""
    return _free(plain_name(stem(path), "notes").lower())


def task_name(column: str) -> str:
    """Name of the outcome in a column."""
    return _free(plain_name(column, "outcome").lower())


def _free(name: str) -> str:
    """The name, or one beside it where the workflow uses it already."""
    is_paired = any(name.startswith(f"{corpus}-") for corpus in hospital_corpora())
    return f"own-{name}" if name in _TAKEN or is_paired else name
