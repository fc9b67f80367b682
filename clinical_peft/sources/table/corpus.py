"""The training notes of a user's table as a corpus."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from clinical_peft.data.note_table import NOTE_SCHEMA, parquet_writer
from clinical_peft.data.patients import source_of, with_source
from clinical_peft.errors import DataError
from clinical_peft.sources.table.row_groups import in_row_groups

KIND = "table"
_BATCH_ROWS = 500


def write_training_notes(imported: Path, output: Path) -> dict[str, int]:
    """Write the training rows of an imported table as a table of notes.

    Args:
        imported: What `import_table` wrote.
        output: Parquet file to write: note_id (the id as text), subject_id and hadm_id (int64 or strings, as imported),
            kind, charttime, text; in the order of the file.

    Returns:
        Counts: notes (imported), written, subjects.

    Raises:
        DataError: No row is in the training split.
    """
    file = pq.ParquetFile(imported, pre_buffer=False)
    found = file.schema_arrow
    fields = [
        found.field(name) if name in ("hadm_id", "subject_id") else NOTE_SCHEMA.field(name)
        for name in NOTE_SCHEMA.names
    ]
    schema = pa.schema(fields)
    described = with_source(schema, source_of(found))
    counts = {"notes": file.metadata.num_rows, "written": 0, "subjects": 0}
    subjects: set[int | str] = set()

    def tables() -> Iterator[pa.Table]:
        for batch in file.iter_batches(_BATCH_ROWS, columns=["hadm_id", "subject_id", "split", "text", "time"]):
            rows = pa.Table.from_batches([batch])
            rows = rows.filter(pc.equal(rows["split"], "train"))
            counts["written"] += rows.num_rows
            subjects.update(pc.unique(rows["subject_id"]).to_pylist())
            columns = {
                "note_id": rows["hadm_id"].cast(pa.string()),
                "subject_id": rows["subject_id"],
                "hadm_id": rows["hadm_id"],
                "kind": pa.array([KIND] * rows.num_rows, pa.string()),
                "charttime": pc.strftime(rows["time"].cast(pa.timestamp("s"), safe=False), "%Y-%m-%d %H:%M:%S"),
                "text": rows["text"],
            }
            yield pa.table(columns, schema=schema)

    with parquet_writer(output, described) as writer:
        for table in in_row_groups(tables()):
            writer.write_table(table.cast(described))
        if not counts["written"]:
            raise DataError(f"{imported}: expected rows of the training split, found none; import the table again")
    return counts | {"subjects": len(subjects)}
