"""Checks of tables that contradict themselves; they apply under every protocol.

The release's own constraints rule these cases out. A cohort made in spite of them would hold an admission twice or on
both sides of a split, so they are errors and not exclusions.
"""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import pyarrow as pa

from clinical_peft.data.table_files import find_table
from clinical_peft.data.tables import read_table
from clinical_peft.errors import DataError


def read_keyed_table(folder: Path, name: str, columns: Mapping[str, pa.DataType]) -> pd.DataFrame:
    """Read a table whose first column names each of its rows.

    Args:
        folder: Folder of the release.
        name: Name of the table.
        columns: As for `read_table`, the key first.

    Returns:
        The columns, their names in lower case.

    Raises:
        DataError: The table is missing or malformed, or a key stands in several rows.
    """
    path = find_table(folder, name)
    return check_key(read_table(path, columns), next(iter(columns)), path).rename(columns=str.lower)


def check_key(frame: pd.DataFrame, column: str, path: Path) -> pd.DataFrame:
    """Check that a table's key names each of its rows, and hand the table through.

    Args:
        frame: The table, or some of its columns.
        column: The key; rows without one are ignored.
        path: The table's file, for the message.

    Raises:
        DataError: A key stands in several rows.
    """
    keys = frame[column].dropna()
    repeated = int(keys[keys.duplicated()].nunique())
    if repeated:
        raise DataError(
            f"{path}: column {column}: expected each value in one row, found {repeated} in several; "
            "keep one row of each (the release has no such rows)"
        )
    return frame


def check_one_patient(frame: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Check that every admission belongs to one patient, and hand the table through.

    Args:
        frame: ``hadm_id`` and ``subject_id``, any number of rows per admission.
        path: The table's file, for the message.

    Raises:
        DataError: An admission has rows of several patients.
    """
    pairs = frame[["hadm_id", "subject_id"]].drop_duplicates()
    shared = int(pairs["hadm_id"].duplicated().sum())
    if shared:
        raise DataError(
            f"{path}: expected one SUBJECT_ID per HADM_ID, found {shared} admissions with rows of several patients; "
            "correct the table, or patients would cross splits"
        )
    return frame


def check_same_patient(notes: pd.DataFrame, labels: pd.DataFrame, task: str) -> None:
    """Check that notes and labels agree on whose an admission is.

    Args:
        notes: ``hadm_id`` and ``subject_id``, one row per admission.
        labels: The same columns, one row per admission.
        task: Name of the cohort, for the message.

    Raises:
        DataError: An admission belongs to one patient by its note and to another by its label's table.
    """
    both = notes.merge(labels[["hadm_id", "subject_id"]], on="hadm_id", suffixes=("", "_of_label"))
    differing = int((both["subject_id"] != both["subject_id_of_label"]).sum())
    if differing:
        raise DataError(
            f"cohort {task}: expected the notes and the table of the label to agree on SUBJECT_ID, found "
            f"{differing} admissions of two patients; check that the tables are of one release"
        )
