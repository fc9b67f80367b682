"""The notes of MIMIC-III."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from clinical_peft.data.tables import FLAG, INTEGER, TEXT, marked_as_error, stream_table, stripped


def read_noteevents(path: Path) -> Iterator[pa.RecordBatch]:
    """Read NOTEEVENTS as batches of `clinical_peft.data.note_table.NOTE_SCHEMA` and is_error.

    Raises:
        DataError: The table is malformed.
    """
    columns = dict.fromkeys(("CHARTDATE", "CHARTTIME", "CATEGORY", "TEXT"), TEXT)
    columns |= dict.fromkeys(("ROW_ID", "SUBJECT_ID", "HADM_ID"), INTEGER) | {"ISERROR": FLAG}
    for batch in stream_table(path, columns, times=("CHARTDATE", "CHARTTIME")):
        category = pc.utf8_lower(stripped(pc.fill_null(batch["CATEGORY"], "unknown")))
        yield pa.RecordBatch.from_pydict(
            {
                "note_id": pc.binary_join_element_wise("mimic-iii", pc.cast(batch["ROW_ID"], TEXT), "-"),
                "subject_id": batch["SUBJECT_ID"],
                "hadm_id": batch["HADM_ID"],
                "kind": pc.if_else(pc.equal(category, "discharge summary"), "discharge", category),
                "charttime": pc.coalesce(batch["CHARTTIME"], batch["CHARTDATE"]),
                "text": batch["TEXT"],
                "is_error": marked_as_error(batch["ISERROR"]),
            }
        )
