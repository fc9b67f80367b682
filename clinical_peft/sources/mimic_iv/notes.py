"""The notes of MIMIC-IV-Note."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from clinical_peft.data.tables import INTEGER, TEXT, stream_table


def read_notes(path: Path, kind: str) -> Iterator[pa.RecordBatch]:
    """Read a table of notes as batches of `clinical_peft.data.note_table.NOTE_SCHEMA` and is_error.

    Args:
        path: The table's file.
        kind: What its notes are.

    Raises:
        DataError: The table is malformed.
    """
    columns = {"note_id": TEXT, "subject_id": INTEGER, "hadm_id": INTEGER, "charttime": TEXT, "text": TEXT}
    for batch in stream_table(path, columns, times=("charttime",)):
        batch = batch.append_column("kind", pa.repeat(kind, batch.num_rows))
        yield batch.append_column("is_error", pa.repeat(False, batch.num_rows))
