"""Which test patients belong to MIMIC-III's CareVue subset."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from clinical_peft.errors import DataError


def read_membership(path: Path) -> dict[int, bool]:
    """Read which test patients belong to the CareVue subset.

    Raises:
        DataError: The file is missing or lacks a column.
    """
    try:
        table = pq.read_table(path)
    except (FileNotFoundError, pa.ArrowInvalid):
        raise DataError(f"{path}: expected patients of the CareVue subset, found none; build the file again") from None
    missing = {"subject_id", "in_subset"} - set(table.column_names)
    if missing:
        raise DataError(f"{path}: expected the columns subject_id and in_subset; missing: {', '.join(sorted(missing))}")
    return dict(zip(table["subject_id"].to_pylist(), table["in_subset"].to_pylist(), strict=True))


def is_inside(subject_id: np.ndarray, subset: Mapping[int, bool], place: str) -> np.ndarray:
    """Return which rows belong to patients inside the subset, bool of shape (N,).

    Args:
        subject_id: Patient of each row, int64 of shape (N,).
        subset: Membership by patient.
        place: Where membership was read, for the message of an error.

    Raises:
        DataError: Membership of a patient is unknown.
    """
    unknown = sum(int(subject) not in subset for subject in np.unique(subject_id))
    if unknown:
        raise DataError(
            f"{place}: expected every test patient, found {unknown} missing; the predictions and this file are of "
            "different cohorts: build both again"
        )
    return np.array([subset[int(subject)] for subject in subject_id], dtype=bool)
