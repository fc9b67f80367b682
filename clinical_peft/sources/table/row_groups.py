"""Rows in groups that a Parquet reader takes one at a time, and rows brought into another order at constant memory."""

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from clinical_peft.data.note_table import ROW_GROUP_CHARACTERS, ROW_GROUP_ROWS
from clinical_peft.files import PARTIAL

_BUCKET_BYTES = 8 << 20
_MOST_BUCKETS = 256


def in_row_groups(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Bring tables with a column ``text`` together up to the size of a row group."""
    pending: list[pa.Table] = []
    rows = characters = 0
    for table in tables:
        pending.append(table)
        rows += table.num_rows
        characters += pc.sum(pc.binary_length(table["text"])).as_py() or 0
        if rows >= ROW_GROUP_ROWS or characters >= ROW_GROUP_CHARACTERS:
            yield pa.concat_tables(pending).combine_chunks()
            pending, rows, characters = [], 0, 0
    if rows:
        yield pa.concat_tables(pending).combine_chunks()


def in_order(tables: Iterable[pa.Table], places: np.ndarray, size: int, folder: Path) -> Iterator[pa.Table]:
    """Yield rows in another order at constant memory, by way of files that hold stretches of it.

    Args:
        tables: Rows with a column ``text``, all of one schema.
        places: Place of each row in the new order, int64 of shape (rows,), each of 0 to rows - 1 once.
        size: Bytes of all rows, roughly.
        folder: Folder for the files, which are removed at the end.
    """
    buckets = max(1, min(_MOST_BUCKETS, -(-size // _BUCKET_BYTES)))
    per_bucket = max(1, -(-len(places) // buckets))
    with tempfile.TemporaryDirectory(prefix=PARTIAL, dir=folder) as name:
        files = _spread(tables, places, per_bucket, Path(name))
        for _, file in sorted(files.items()):
            with pa.OSFile(str(file)) as handle:
                rows = pa.ipc.open_file(handle).read_all().sort_by(_PLACE).drop_columns([_PLACE])
            file.unlink()
            yield rows


_PLACE = "place in the new order"


def _spread(tables: Iterable[pa.Table], places: np.ndarray, per_bucket: int, folder: Path) -> dict[int, Path]:
    """Write each row, with its place, to the file of its stretch."""
    files: dict[int, Path] = {}
    writers: dict[int, pa.RecordBatchFileWriter] = {}
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    first = 0
    with ExitStack() as stack:
        for table in tables:
            here = places[first : first + table.num_rows]
            first += table.num_rows
            placed = table.append_column(_PLACE, pa.array(here))
            for bucket in np.unique(here // per_bucket).tolist():
                if bucket not in writers:
                    files[bucket] = folder / f"{bucket}.arrow"
                    writers[bucket] = stack.enter_context(
                        pa.ipc.new_file(str(files[bucket]), placed.schema, options=options)
                    )
                part = placed.filter(pa.array(here // per_bucket == bucket)).combine_chunks()
                writers[bucket].write_table(part)
    return files
