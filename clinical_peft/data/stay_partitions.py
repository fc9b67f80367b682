"""Partitioning rows by ICU stay on disk, so that stays are processed at constant memory."""

import shutil
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from clinical_peft.files import PARTIAL, private_directory

PARTITIONS = 64
BUFFERED_ROWS = 500_000  # kept until they are divided: a batch has few rows of each partition
_MIX = np.uint64(0x9E3779B97F4A7C15)  # odd; spreads stays whose numbers follow one another


@contextmanager
def by_stay(frames: Iterable[pd.DataFrame], stay: str, work: Path | None) -> Iterator[Iterator[pd.DataFrame]]:
    """Divide rows so that those of one stay come together.

    Args:
        frames: Rows, all with the same columns, of numbers and booleans; the first may be empty and gives the columns.
        stay: Column of the stay, int64.
        work: Folder for the rows, which only its owner can enter; emptied before and removed afterwards, so that what
            a killed process left does not stay. None to keep all rows in memory.

    Yields:
        Some stays' rows at a time, in the order in which they came; an empty frame where there are none at all.
    """
    if work is None:
        yield iter([pd.concat(frames, ignore_index=True)])
        return
    shutil.rmtree(work, ignore_errors=True)
    folder = private_directory(Path(work)) / f"{PARTIAL}stays"
    folder.mkdir(mode=0o700)
    try:
        columns = _write(frames, stay, folder)
        yield _read(folder, columns)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _write(frames: Iterable[pd.DataFrame], stay: str, folder: Path) -> pd.DataFrame:
    """Write rows to one file per partition, and return an empty frame with their columns."""
    with ExitStack() as stack:
        writers: dict[int, pa.RecordBatchStreamWriter] = {}
        columns: pd.DataFrame | None = None
        for rows in _buffered(frames):
            columns = rows.iloc[:0]
            partition = (rows[stay].to_numpy().astype(np.uint64) * _MIX >> np.uint64(32)) % np.uint64(PARTITIONS)
            order = np.argsort(partition, kind="stable")
            borders = np.searchsorted(partition[order], np.arange(PARTITIONS + 1))
            table = pa.Table.from_pandas(rows, preserve_index=False).take(pa.array(order))
            for number in np.flatnonzero(np.diff(borders)).tolist():
                if number not in writers:
                    file = str(folder / f"{number:03d}.arrow")
                    writers[number] = stack.enter_context(pa.ipc.new_stream(file, table.schema))
                writers[number].write_table(table.slice(borders[number], borders[number + 1] - borders[number]))
    if columns is None:
        raise ValueError("expected a frame at least")
    return columns


def _buffered(frames: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    held: list[pd.DataFrame] = []
    rows = 0
    for frame in frames:
        held.append(frame)
        rows += len(frame)
        if rows >= BUFFERED_ROWS:
            yield pd.concat(held, ignore_index=True)
            held, rows = [], 0
    if held:
        yield pd.concat(held, ignore_index=True)


def _read(folder: Path, columns: pd.DataFrame) -> Iterator[pd.DataFrame]:
    files = sorted(folder.iterdir())
    for file in files:
        with pa.OSFile(str(file)) as source, pa.ipc.open_stream(source) as stream:
            yield stream.read_pandas()
    if not files:
        yield columns
