"""Collect the notes of each admission from anywhere in a file, at constant memory."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

ADMISSION_SCHEMA = pa.schema([("hadm_id", pa.int64()), ("subject_id", pa.int64()), ("text", pa.string())])
_BATCH_ROWS = 500


@dataclass(frozen=True)
class JoinedNotes:
    """An admission and the rows of its notes, in the order in which they are joined."""

    hadm_id: int
    subject_id: int
    rows: list[dict[str, Any]]


def place_notes(notes: pd.DataFrame, admissions: pd.DataFrame) -> pd.DataFrame:
    """Return for each note which admission it is joined to, and when that is whole.

    Args:
        notes: ``hadm_id``, in the order of joining, indexed by the note's row in the file that `joined_notes` reads.
        admissions: ``hadm_id`` and ``subject_id``, one row per admission; notes of others are left out.

    Returns:
        hadm_id, subject_id, place (in the order of joining) and joined (the number of notes of the admission).
    """
    notes = notes[notes["hadm_id"].isin(admissions["hadm_id"])]
    joined = notes.groupby("hadm_id")["hadm_id"].transform("size")
    subjects = notes["hadm_id"].map(admissions.set_index("hadm_id")["subject_id"])
    return notes[["hadm_id"]].assign(subject_id=subjects, place=range(len(notes)), joined=joined)


def joined_notes(file: Path, places: pd.DataFrame) -> Iterator[list[JoinedNotes]]:
    """Read a Parquet file of notes and yield admissions by the batch, each with the last of its notes in the file.

    Args:
        file: One row per note.
        places: What `place_notes` returned; rows of the file that it does not name are left out.
    """
    waiting: dict[int, list[tuple[int, dict[str, Any]]]] = {}
    first = 0
    # Buffering ahead, pyarrow would keep what it read of the file until its end.
    for batch in pq.ParquetFile(file, pre_buffer=False).iter_batches(_BATCH_ROWS):
        rows = batch.to_pylist()
        here = places[(places.index >= first) & (places.index < first + len(rows))].sort_index()
        whole = []
        columns = (here.index, here["hadm_id"], here["subject_id"], here["place"], here["joined"])
        for row, hadm_id, subject_id, place, joined in zip(*(column.tolist() for column in columns), strict=True):
            parts = waiting.setdefault(hadm_id, [])
            parts.append((place, rows[row - first]))
            if len(parts) == joined:
                ordered = sorted(waiting.pop(hadm_id), key=lambda part: part[0])
                whole.append(JoinedNotes(hadm_id, subject_id, [part for _, part in ordered]))
        first += len(rows)
        if whole:
            yield whole
