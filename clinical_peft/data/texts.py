"""The texts of a table of notes, read again where they are needed, so that a table of their labels holds none."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.compute as pc
import pyarrow.parquet as pq

ROW = "row"
"""Column of a note's place in the table."""
BATCH_ROWS = 1024
HELD_ROWS = 40_000  # notes that are held at once while they are put in order: a few hundred megabytes
Edit = Callable[[str], str | None]
"""What is done to a text when it is read; None where the note is dropped."""


class Texts:
    """The column `text` of a table of notes.

    Args:
        path: Parquet file.
        edit: Done to every text; None to leave them as they are.
    """

    def __init__(self, path: Path, edit: Edit | None = None) -> None:
        self.path = Path(path)
        self.edit = edit

    def others(self) -> pd.DataFrame:
        """Return the other columns, and in `ROW` the place of each note, int64."""
        names = [name for name in pq.read_schema(self.path).names if name != "text"]
        frame = pq.read_table(self.path, columns=names).to_pandas()
        return frame.assign(**{ROW: np.arange(len(frame))})

    def read(self, notes: pd.DataFrame) -> Iterator[str | None]:
        """Yield the edited texts of some notes, a batch in memory at a time.

        Args:
            notes: With the column `ROW`, ascending.
        """
        rows = notes[ROW].to_numpy()
        first = 0
        file = pq.ParquetFile(self.path, pre_buffer=False)
        for batch in file.iter_batches(BATCH_ROWS, columns=["text"], use_threads=False):
            inside = rows[np.searchsorted(rows, first) : np.searchsorted(rows, first + batch.num_rows)]
            for text in pc.take(batch["text"], inside - first).to_pylist():
                yield text if self.edit is None else self.edit(text)
            first += batch.num_rows

    def add_to(self, notes: pd.DataFrame, *, rows: int) -> Iterator[pd.DataFrame]:
        """Yield notes with their texts, some rows at a time.

        The table is read once for every `HELD_ROWS` notes, whose order need not be its own.

        Args:
            notes: With the column `ROW`, in any order.
            rows: Rows that are yielded at a time; the last may be fewer.
        """
        held = max(rows, HELD_ROWS // rows * rows)
        for start in range(0, len(notes), held):
            part = notes.iloc[start : start + held]
            ordered = part.sort_values(ROW)
            part = part.assign(text=pd.Series(list(self.read(ordered)), index=ordered.index, dtype=object))
            for place in range(0, len(part), rows):
                yield part.iloc[place : place + rows]
