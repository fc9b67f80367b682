"""Whose runs a study sends: its name, who runs it, and a number of its own, kept with its results.

Several users share a tracking server, and two studies may have one name. This module imports the standard library and
this package's light modules alone.
"""

import getpass
import json
import os
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from clinical_peft.errors import DataError
from clinical_peft.files import private_directory, read_json
from clinical_peft.tracking.records import FOLDER, MODELS, RUNS, sent_runs

FILE = Path(FOLDER) / "study_id.json"
SHOWN_DIGITS = 8


@dataclass(frozen=True)
class StudyIdentity:
    """What tells a study's experiment from those of other studies of its name.

    Attributes:
        name: The study's name.
        owner: Login name of who runs it.
        number: The study's own number, 32 hexadecimal digits.
        sent: Ids of runs that this study is recorded to have sent.
    """

    name: str
    owner: str
    number: str
    sent: frozenset[str] = frozenset()

    @property
    def own_name(self) -> str:
        """A name for the experiment that no other study has."""
        return f"{self.name}-{self.owner}-{self.number[:SHOWN_DIGITS]}"


def identify_study(folder: Path, name: str) -> StudyIdentity:
    """Return a study's identity; its number is drawn when it is asked for first.

    Args:
        folder: The study's folder of results, which keeps the number.
        name: Its name.

    Raises:
        DataError: The file of the number is damaged.
    """
    path = folder / FILE
    if not path.exists():
        _create(path, {"study_id": secrets.token_hex(16)})
    record = read_json(path)
    number = record.get("study_id") if isinstance(record, dict) else None
    if not isinstance(number, str) or not re.fullmatch(r"[0-9a-f]{32}", number):
        raise DataError(f"{path}: expected study_id with 32 hexadecimal digits; delete it, and runs are sent anew")
    return StudyIdentity(name, _login(), number, frozenset(_recorded_runs(folder)))


def _create(path: Path, content: dict[str, str]) -> None:
    """Write a file unless another process has done so meanwhile."""
    private_directory(path.parent)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(json.dumps(content) + "\n", encoding="utf-8")
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    except OSError:  # a file system without links
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _login() -> str:
    """Login name of the user, in characters that every name of an experiment may have."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no name
        name = f"user{os.getuid()}"
    return re.sub(r"[^\w.]", "_", name, flags=re.ASCII)


def _recorded_runs(folder: Path) -> Iterator[str]:
    """Ids in the records of what was sent."""
    for path in (folder / RUNS, *sorted((folder / MODELS).glob("*.json"))):
        yield from sent_runs(read_json(path) if path.exists() else {}).values()
