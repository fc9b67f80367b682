"""A user's own file, looked into before a study is written: what its columns are for, and what its labels are."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from clinical_peft.data.column_roles import ROLES, propose_columns, require_column
from clinical_peft.data.label_kinds import LabelKind, label_kind
from clinical_peft.data.user_tables import column_names, is_missing, read_batches
from clinical_peft.data.whole_numbers import whole_number

Ask = Callable[[str, str | None, bool], str | None]
"""Asks for the column of a role, with a proposal and whether it is needed; None for no column."""
ASKED = ("id", "text", "label", "patient")
NEEDED = ("id", "text", "label")
NOTE_FILES = (".jsonl", ".csv")


@dataclass(frozen=True, kw_only=True)
class OwnFile:
    """A user's file of notes.

    Attributes:
        path: The file, as the user gave it.
        columns: Columns by role: id and text, and patient, time, site and label where it has them.
        asked: Roles that the user named; time and site of the others become comments.
        label: What its labels are; None for notes without an outcome.
    """

    path: Path
    columns: Mapping[str, str]
    asked: frozenset[str] = frozenset()
    label: LabelKind | None = None

    @property
    def fits_note_files(self) -> bool:
        """Whether `data.note_files` can read it: JSON lines or CSV, whose patients are whole numbers or not named."""
        if not any(suffix in self.path.name.lower() for suffix in NOTE_FILES):
            return False
        patient = self.columns.get("patient")
        if patient is None:
            return True
        first = next(read_batches(self.path, [patient])).columns[patient]
        return not any(is_missing(value) or whole_number(value) is None for value in first)


def look_into(path: Path, given: Mapping[str, str | None], *, with_label: bool, ask: Ask | None = None) -> OwnFile:
    """Find out which columns of a file are for what.

    Args:
        path: CSV, JSON lines or Parquet file, gzipped or not.
        given: Columns that the user names, by role.
        with_label: Whether the file holds an outcome, too.
        ask: Asks the user for what is not given; None to take the columns whose names say it.

    Raises:
        DataError: The file cannot be read, a needed column cannot be told, or the labels are none; the message names
            known columns alone.
    """
    found = column_names(path)
    columns = propose_columns(found, given, path)
    roles = [role for role in ASKED if role != "label" or with_label]
    if ask is not None:
        answers = {role: ask(role, columns.get(role), role in NEEDED) for role in roles if given.get(role) is None}
        dropped = {role for role, answer in answers.items() if answer is None}
        columns = propose_columns(found, {**given, **answers}, path)
        columns = {role: column for role, column in columns.items() if role not in dropped or role in NEEDED}
    for role in roles:
        if role in NEEDED:
            require_column(columns, role, found, path)
    kept = {role: columns[role] for role in ROLES if role in columns and (role != "label" or with_label)}
    label = label_kind(path, kept["label"]) if with_label else None
    asked = frozenset(role for role, name in given.items() if name is not None)
    return OwnFile(path=path, columns=kept, asked=asked, label=label)
