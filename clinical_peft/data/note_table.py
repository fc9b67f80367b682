"""The table of notes that every corpus becomes, and how it is written."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from clinical_peft.data.cohort_files import IDS
from clinical_peft.files import atomic_path

NOTE_SCHEMA = pa.schema(
    [
        ("note_id", pa.string()),
        ("subject_id", pa.int64()),
        ("hadm_id", pa.int64()),
        ("kind", pa.string()),
        ("charttime", pa.string()),
        ("text", pa.string()),
    ]
)
"""Notes of MIMIC's hospitals, and of files without patients; `note_schema` has that of a study's own table."""
ROW_GROUP_ROWS = 10_000  # these two bound the writer's memory, and the reader's
ROW_GROUP_CHARACTERS = 8 << 20
# On the tables of benchmarks/extract.py Snappy and LZ4 save a tenth of the time and double the file, level 3 takes a
# tenth longer and saves a tenth of it.
COMPRESSION, COMPRESSION_LEVEL = "zstd", 1


def note_schema(ids: pa.DataType) -> pa.Schema:
    """Return the schema of the notes of a study's own table, whose patients and admissions have ids of some type."""
    return pa.schema([field.with_type(ids) if field.name in IDS else field for field in NOTE_SCHEMA])


@contextmanager
def parquet_writer(
    path: Path, schema: pa.Schema, metadata: Mapping[str, str] | None = None
) -> Iterator[pq.ParquetWriter]:
    """Open a Parquet file that appears whole or not at all, in a folder that only its owner can enter.

    Columns named ``text`` get no dictionary and no statistics: texts differ, and their least and greatest are of no
    use to a reader.
    """
    described = schema.with_metadata(dict(metadata)) if metadata else schema
    others = [name for name in schema.names if name != "text"]
    with (
        atomic_path(path) as temporary,
        pq.ParquetWriter(
            temporary,
            described,
            compression=COMPRESSION,
            compression_level=COMPRESSION_LEVEL,
            use_dictionary=others,
            write_statistics=others,
        ) as writer,
    ):
        yield writer


@contextmanager
def note_batch_writer(path: Path) -> Iterator[Callable[[pa.Table], None]]:
    """Open a table of notes and yield a function that writes a batch of `NOTE_SCHEMA` as a row group.

    Encoding and compression run in a thread beside the caller's, which waits when it is a batch ahead: memory stays
    bounded, and the bytes depend on the batches alone.
    """
    with parquet_writer(path, NOTE_SCHEMA) as writer, ThreadPoolExecutor(max_workers=1) as beside:
        pending: list[Future[None]] = []

        def write(batch: pa.Table) -> None:
            if pending:
                pending.pop().result()
            pending.append(beside.submit(writer.write_table, batch))

        yield write
        if pending:
            pending.pop().result()


def write_notes(path: Path, rows: Iterable[Mapping[str, object]], metadata: Mapping[str, str] | None = None) -> int:
    """Write rows as a table of notes, a group of rows at a time.

    Args:
        path: Parquet file to write.
        rows: One mapping per note with ``text`` and other columns of `NOTE_SCHEMA`; an absent column is null.
        metadata: Stored in the file's schema.

    Returns:
        The number of notes written.
    """
    written = 0
    with parquet_writer(path, NOTE_SCHEMA, metadata) as writer:
        pending: list[Mapping[str, object]] = []
        characters = 0
        for row in rows:
            pending.append(row)
            written += 1
            characters += len(str(row["text"]))
            if len(pending) == ROW_GROUP_ROWS or characters >= ROW_GROUP_CHARACTERS:
                writer.write_table(pa.Table.from_pylist(pending, schema=writer.schema))
                pending, characters = [], 0
        if pending or not written:
            writer.write_table(pa.Table.from_pylist(pending, schema=writer.schema))
    return written
