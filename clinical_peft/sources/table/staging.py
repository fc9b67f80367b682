"""A user's table read once, its rows with a text kept aside until it is known of all what ids and patients are.

Only texts and columns of rows go to disk; what decides about rows is held in memory.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from clinical_peft.data.seen_texts import SeenTexts
from clinical_peft.data.user_tables import Batch, read_batches
from clinical_peft.errors import DataError
from clinical_peft.sources.table.rows import SUBGROUP, TIME, TableRows, read_table_rows, table_columns
from clinical_peft.sources.table.spec import TableSpec
from clinical_peft.sources.table.splits import RowSplits

_CANONICAL = "^(0|-?[1-9][0-9]*)$"


class IdKind:
    """Whether all ids of a column are whole numbers of 64 bits in their shortest spelling: `12`, not `012` or `12.0`.

    If so they are stored as int64, otherwise all as they stand.
    """

    def __init__(self) -> None:
        self.integers = True

    def add(self, ids: list[str]) -> None:
        """Look at more ids."""
        self.integers = self.integers and _are_integers(pa.array(ids, pa.string()))

    @property
    def type(self) -> pa.DataType:
        """Type of the column."""
        return pa.int64() if self.integers else pa.string()


@dataclass
class StagedRows:
    """What is known of the rows of a table that have a text, in the order of the file.

    Attributes:
        rows: Where they lie, an Arrow file of id, patient, time, site, subgroups and text.
        schema: Its schema.
        ranks: Split of each row, int8 of shape (rows,).
        patients: Patient of each row as a 64-bit hash, uint64 of shape (rows,); empty without a column of patients.
        numbers: Number of each row in its file, int64 of shape (rows,).
        files: Position of each row's file in `TableSpec.paths`, int16 of shape (rows,).
        rows_read: Rows of the files, those without a text too.
        patients_read: Their patients; 0 without a column of patients.
        id_kind: Whether ids are integers.
        patient_kind: Whether patients are.
        ids_repeat: Whether an id stands in two files.
    """

    rows: Path
    schema: pa.Schema
    ranks: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int8))
    patients: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint64))
    numbers: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    files: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int16))
    rows_read: int = 0
    patients_read: int = 0
    id_kind: IdKind = field(default_factory=IdKind)
    patient_kind: IdKind = field(default_factory=IdKind)
    ids_repeat: bool = False

    def __len__(self) -> int:
        return len(self.ranks)

    def batches(self) -> Iterator[tuple[slice, pa.Table]]:
        """Read the rows again: by batch, their positions and the rows."""
        first = 0
        with pa.OSFile(str(self.rows)) as file:
            reader = pa.ipc.open_file(file)
            for number in range(reader.num_record_batches):
                batch = pa.Table.from_batches([reader.get_batch(number)])
                yield slice(first, first + batch.num_rows), batch
                first += batch.num_rows


def stage_rows(spec: TableSpec, rows: Path, splits: RowSplits) -> StagedRows:
    """Read a table's files once.

    Args:
        spec: The table.
        rows: File to write.
        splits: How rows are split.

    Raises:
        DataError: A file is malformed, an id stands in it twice, or a row is (`read_table_rows`); no row has a text.
    """
    staged = StagedRows(rows, _schema(spec))
    kept: dict[str, list[np.ndarray]] = {name: [] for name in ("ranks", "patients", "numbers", "files")}
    all_patients: list[np.ndarray] = []
    ids = UniqueIds()
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.OSFile(str(rows), "wb") as file, pa.ipc.new_file(file, staged.schema, options=options) as writer:
        for position, (given, path) in enumerate(spec.paths.items()):
            ids.begin_file()
            for batch in read_batches(Path(path), table_columns(spec)):
                read = read_table_rows(spec, batch, splits, given)
                ids.add(batch, spec.id, read.ids)
                staged.id_kind.add(read.ids)
                patients = _hashes(read.patients or [])
                if read.patients is not None:
                    staged.patient_kind.add(read.patients)
                    all_patients.append(patients)
                staged.rows_read += len(read.ids)
                has_text = np.asarray(pc.greater(pc.binary_length(read.texts), 0))
                kept["ranks"].append(read.ranks[has_text])
                kept["patients"].append(patients[has_text] if len(patients) else patients)
                kept["numbers"].append(np.array(batch.numbers, np.int64)[has_text])
                kept["files"].append(np.full(has_text.sum(), position, np.int16))
                writer.write_batch(_record(spec, read, staged.schema).filter(pa.array(has_text)))
    staged.ranks, staged.patients, staged.numbers, staged.files = map(np.concatenate, kept.values())
    staged.patients_read = len(np.unique(np.concatenate(all_patients))) if all_patients else 0
    staged.ids_repeat = ids.repeat_between_files
    if not len(staged):
        raise DataError(
            f"{next(iter(spec.paths.values()))}: column {', '.join(spec.text)}: expected texts, found none in "
            f"{staged.rows_read:,} rows; name the column of the text"
        )
    return staged


class UniqueIds:
    """Refuses an id that stands twice in a file, and notes whether one stands in two files."""

    def __init__(self) -> None:
        self._everywhere = SeenTexts()
        self._in_file = SeenTexts()
        self.repeat_between_files = False

    def begin_file(self) -> None:
        """Forget the ids of the file before."""
        self._in_file = SeenTexts()

    def add(self, batch: Batch, column: str, ids: list[str]) -> None:
        """Look at the ids of more rows.

        Args:
            batch: The rows.
            column: Column of the ids.
            ids: The ids.

        Raises:
            DataError: An id stands in an earlier row of the file.
        """
        encoded = [text.encode() for text in ids]
        new = self._in_file.add_all(encoded)
        if not new.all():
            raise DataError(
                f"{batch.place(int(np.argmin(new)), column)}: expected each id once, found one of an earlier row; keep "
                "one row of each id"
            )
        self.repeat_between_files |= not self._everywhere.add_all(encoded).all()


def _schema(spec: TableSpec) -> pa.Schema:
    texts = ["site", *(SUBGROUP + column for column in spec.subgroups), "text"]
    fields = [("id", pa.string()), ("patient", pa.string()), ("time", TIME), *((name, pa.string()) for name in texts)]
    return pa.schema(fields)


def _record(spec: TableSpec, read: TableRows, schema: pa.Schema) -> pa.RecordBatch:
    patients = read.patients if read.patients is not None else [None] * len(read.ids)
    groups = [read.subgroups[column] for column in spec.subgroups]
    columns = [read.ids, patients, read.times, read.sites, *groups, read.texts]
    arrays = [
        column if isinstance(column, pa.Array) else pa.array(column, kind)
        for column, kind in zip(columns, schema.types, strict=True)
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _hashes(texts: list[str]) -> np.ndarray:
    return np.array([xxhash.xxh3_64_intdigest(text.encode()) for text in texts], np.uint64)


def _are_integers(ids: pa.StringArray) -> bool:
    if not pc.all(pc.match_substring_regex(ids, _CANONICAL)).as_py():
        return False
    try:
        pc.cast(ids, pa.int64())
    except pa.ArrowInvalid:
        return False
    return True
