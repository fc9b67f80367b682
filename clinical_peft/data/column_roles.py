"""What a column of a user's file is for, as far as its name says it."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from clinical_peft.data.column_names import describe_names
from clinical_peft.errors import DataError

_NAMES = """
id: id note_id noteid report_id document_id doc_id row_id hadm_id admission_id encounter_id encounter visit_id case_id
text: text note_text notetext note notes report body content document transcription transcript txt summary
patient: patient_id patientid patient pat_id subject_id subjectid subject person_id mrn pid
time: time charttime chart_time timestamp date chartdate chart_date admittime admitted storetime storedate created_at
site: site hospital facility center centre
label: label labels outcome target class y
"""
ROLES: Mapping[str, tuple[str, ...]] = {
    role: tuple(names.split()) for role, _, names in (line.partition(": ") for line in _NAMES.strip().splitlines())
}
"""Names by what the column is for, the likeliest first; all of them may be printed."""


_SEPARATORS = ";\t|"


def propose_columns(found: Sequence[str], given: Mapping[str, str | None], path: Path) -> dict[str, str]:
    """Say which column is for what: those that the user names, and of the others those whose names say it.

    Args:
        found: Columns or keys of the file, as they stand in it.
        given: Names that the user gives, by role; None or absent for those that the file is asked for.
        path: The file, for messages and for the letter case of its names, which counts in all but CSV files.

    Returns:
        Names as they stand in the file, by role; roles without a column are absent, and no column has two.

    Raises:
        DataError: The file does not have a column that the user names.
    """
    chosen = {role: _named(found, name, role, path) for role, name in given.items() if name is not None}
    for role, names in ROLES.items():
        if role in chosen:
            continue
        free = {name.strip().lower(): name.strip() for name in found if name.strip() not in chosen.values()}
        match = next((free[name] for name in names if name in free), None)
        if match is not None:
            chosen[role] = match
    return chosen


def require_column(columns: Mapping[str, str], role: str, found: Sequence[str], path: Path) -> str:
    """Return the column of a role.

    Args:
        columns: What `propose_columns` returned.
        role: A role.
        found: Columns of the file.
        path: The file.

    Raises:
        DataError: None of them is for it by its name.
    """
    if role not in columns:
        is_one = len(found) == 1 and any(mark in found[0] for mark in _SEPARATORS)
        remedy = "write the file with commas between columns" if is_one else f"name it with --{role}"
        raise DataError(f"{path}: expected a column of the {role}, found {describe_names(found, ())}; {remedy}")
    return columns[role]


def _named(found: Sequence[str], name: str, role: str, path: Path) -> str:
    """Return a column as the file spells it."""
    is_csv = ".csv" in path.name.lower()
    names = {(each.strip().lower() if is_csv else each): each.strip() for each in found}
    spelling = name.strip().lower() if is_csv else name
    if spelling not in names:
        raise DataError(f"{path}: expected column {name}, found {describe_names(found, [name])}; correct --{role}")
    return names[spelling]
