"""A user's own file of rows (CSV, JSON lines or Parquet, gzipped or not) as a stream of batches that know their rows.

Nothing of a field reaches a message: only the file, the row, and columns that the study names.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import IO, Any, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from clinical_peft.data.column_names import describe_names
from clinical_peft.data.json_lines import first_keys, kind_of, read_json_lines
from clinical_peft.data.table_source import REPAIR, UNREADABLE, open_bytes, read_header
from clinical_peft.data.tables import HEADER_ROWS, stream_table
from clinical_peft.errors import DataError

BATCH_ROWS = 500
_BATCH_CHARACTERS = 4 << 20
_BLOCK_SIZE = 1 << 20  # bytes, of which pyarrow reads 32 blocks ahead; no row of a CSV file may be longer
_GREATEST_EXACT = 2**53  # a float from it on may have been rounded


@dataclass(frozen=True)
class Batch:
    """Some rows of a file.

    Attributes:
        path: The file.
        word: What a row is called in messages: row or line.
        numbers: Number of each row in the file; a CSV file's header is row 1.
        columns: Values of each row by column, as the file has them; None where there is none.
    """

    path: Path
    word: str
    numbers: Sequence[int]
    columns: Mapping[str, list[Any]]

    def place(self, position: int, column: str) -> str:
        """Name the file, the row and the column of a value, for a message."""
        return f"{self.path}: {self.word} {self.numbers[position]}, column {column}"

    def plain(self, column: str, expected: str) -> list[str | None]:
        """Return a column as texts: whole numbers without a decimal point, booleans in lower case, None for no value.

        Args:
            column: Name of the column.
            expected: What it should hold, for the message.

        Raises:
            DataError: A value is a list, an object, a fraction or not text.
        """
        found = []
        for position, value in enumerate(self.columns[column]):
            text = plain_text(value)
            if text is None and value is not None and not is_missing(value):
                raise DataError(f"{self.place(position, column)}: expected {expected}, found {kind_of(value)}")
            found.append(text)
        return found


def is_missing(value: object) -> bool:
    """Whether a field has no value: null, not a number, or an empty text."""
    return value is None or value == "" or (isinstance(value, float) and value != value)


def plain_text(value: object) -> str | None:
    """Return a text, a whole number or a boolean as text; None for everything else.

    A float that is a whole number counts as one: programs that read a column with missing values as floats write `7.0`
    for 7. A text with a lone surrogate or a NUL character is None too.
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < _GREATEST_EXACT else None
    if isinstance(value, Decimal):
        return str(int(value)) if value.is_finite() and value == int(value) else None
    if not isinstance(value, str) or not value or "\0" in value:
        return None
    return value if value.isascii() or _is_text(value) else None


def read_batches(path: Path, columns: Sequence[str]) -> Iterator[Batch]:
    """Read chosen columns of a user's file at constant memory.

    Columns of a CSV file are found in any letter case, keys of JSON lines and columns of a Parquet file as they are
    written. Fields of a CSV file that are empty, `NA` or `NULL` have no value.

    Args:
        path: ``.csv``, ``.jsonl`` or ``.parquet``, or one of these with ``.gz``.
        columns: Their names; a name given twice is read once.

    Raises:
        DataError: The file is missing, empty, of another kind, damaged or no UTF-8; a column is missing or stands in
            it twice; it holds no row.
    """
    path, wanted = Path(path), list(dict.fromkeys(columns))
    is_empty = True
    for batch in _format_of(path).read(path, wanted):
        is_empty = False
        yield batch
    if is_empty:
        raise DataError(f"{path}: expected rows, found none; write the file again")


def column_names(path: Path) -> list[str]:
    """Return the columns of a user's file as they stand in it, or the keys of its first JSON line.

    Args:
        path: As for `read_batches`.

    Raises:
        DataError: The file is missing, empty, of another kind, or its header or first line is damaged.
    """
    path = Path(path)
    return _format_of(path).names(path)


def row_word(path: Path) -> str:
    """Return what a row of a file is called in messages."""
    return "line" if ".jsonl" in path.name.lower() else "row"


def _read_csv(path: Path, columns: Sequence[str]) -> Iterator[Batch]:
    rows = HEADER_ROWS
    with _one_reading_thread():
        for batch in stream_table(path, columns, block_size=_BLOCK_SIZE):
            values = {name: array.to_pylist() for name, array in zip(columns, batch.columns, strict=True)}
            yield from _in_batches(path, range(rows + 1, rows + 1 + batch.num_rows), values)
            rows += batch.num_rows


@contextmanager
def _one_reading_thread() -> Iterator[None]:
    """Let pyarrow read ahead in one thread: blocks that eight threads allocate stay in memory long after their use."""
    threads = pa.io_thread_count()
    pa.set_io_thread_count(1)
    try:
        yield
    finally:
        pa.set_io_thread_count(threads)


def _in_batches(path: Path, numbers: range, values: Mapping[str, list[Any]]) -> Iterator[Batch]:
    for start in range(0, len(numbers), BATCH_ROWS):
        part = slice(start, start + BATCH_ROWS)
        yield Batch(path, row_word(path), numbers[part], {name: column[part] for name, column in values.items()})


def _read_json_lines(path: Path, columns: Sequence[str]) -> Iterator[Batch]:
    numbers: list[int] = []
    lines: list[dict[str, Any]] = []
    characters = 0

    def batch() -> Batch:
        return Batch(path, row_word(path), tuple(numbers), {name: [line[name] for line in lines] for name in columns})

    for number, line in read_json_lines(path, columns):
        numbers.append(number)
        lines.append(line)
        characters += sum(len(value) for value in line.values() if isinstance(value, str))
        if len(lines) == BATCH_ROWS or characters >= _BATCH_CHARACTERS:
            yield batch()
            numbers, lines, characters = [], [], 0
    if lines:
        yield batch()


def _read_parquet(path: Path, columns: Sequence[str]) -> Iterator[Batch]:
    rows = 0
    try:
        with _seekable(path) as handle:
            file = pq.ParquetFile(handle, pre_buffer=False)
            _check_names(path, file.schema_arrow.names, columns)
            for batch in file.iter_batches(BATCH_ROWS, columns=list(columns), use_threads=False):
                yield Batch(
                    path,
                    row_word(path),
                    range(rows + 1, rows + 1 + batch.num_rows),
                    {name: _without_zones(batch.column(name)) for name in columns},
                )
                rows += batch.num_rows
    except (pa.ArrowException, UnicodeDecodeError, *UNREADABLE) as error:
        raise DataError(f"{path}: cannot be read after row {rows} ({type(error).__name__}); {REPAIR}") from None


def _parquet_names(path: Path) -> list[str]:
    try:
        with _seekable(path) as handle:
            return [*pq.read_schema(handle).names]
    except (pa.ArrowException, *UNREADABLE) as error:
        raise DataError(f"{path}: expected a Parquet file, cannot be read ({type(error).__name__}); {REPAIR}") from None


@contextmanager
def _seekable(path: Path) -> Iterator[IO[bytes]]:
    """Open a Parquet file, a gzipped one by a copy that has no name and vanishes with this process."""
    with open_bytes(path) as handle:
        if path.suffix.lower() != ".gz":
            yield handle
            return
        with tempfile.TemporaryFile() as copy:
            shutil.copyfileobj(handle, copy)
            yield cast(IO[bytes], copy)


def _check_names(path: Path, found: Sequence[str], columns: Sequence[str]) -> None:
    if missing := [name for name in columns if name not in found]:
        raise DataError(f"{path}: expected column {', '.join(missing)}; found {describe_names(found, columns)}")
    if repeated := [name for name in columns if list(found).count(name) > 1]:
        raise DataError(f"{path}: expected one column {', '.join(repeated)}, found several; remove the others")


def _without_zones(array: pa.Array) -> list[Any]:
    """Values as Python objects; times keep the clock of their own zone."""
    if pa.types.is_timestamp(array.type):
        array = pc.local_timestamp(array) if array.type.tz else array
        array = array.cast(pa.timestamp("us"), safe=False)
    return array.to_pylist()


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


@dataclass(frozen=True)
class _Format:
    """How files of one kind are read: their rows, and the names of their columns."""

    read: Callable[[Path, Sequence[str]], Iterator[Batch]]
    names: Callable[[Path], list[str]]


_FORMATS: Mapping[str, _Format] = {
    ".csv": _Format(_read_csv, read_header),
    ".jsonl": _Format(_read_json_lines, first_keys),
    ".parquet": _Format(_read_parquet, _parquet_names),
}


def _format_of(path: Path) -> _Format:
    name = path.name.lower().removesuffix(".gz")
    found = next((each for suffix, each in _FORMATS.items() if name.endswith(suffix)), None)
    if found is None:
        raise DataError(
            f"{path}: expected a file ending in {', '.join(_FORMATS)}, or one of these with .gz; write it as one "
            "(a file with tabs or semicolons: with commas)"
        )
    if not path.is_file():
        raise DataError(f"{path}: expected a file, found none; correct its path in the study")
    return found
