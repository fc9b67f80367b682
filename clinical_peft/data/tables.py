"""Reading hospital tables (CSV, plain or gzipped) as a stream of typed record batches.

The release files hold notes with newlines, commas and doubled quotes inside quoted fields (RFC 4180), so they are
never split by line. Columns are asked for by the caller's canonical names and matched in any letter case, because
MIMIC-III ships upper-case headers and its public demo lower-case ones.
"""

import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, cast

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from clinical_peft.errors import DataError

BLOCK_SIZE = 8 << 20  # bytes; also the longest row that can be read
TEXT = pa.string()
INTEGER = pa.int64()
TIME = pa.timestamp("s")  # seconds, because shifted dates reach the year 2200 and births of the oldest 1800

Columns = Sequence[str] | Mapping[str, pa.DataType]


def stream_table(path: Path, columns: Columns, *, block_size: int = BLOCK_SIZE) -> Iterator[pa.RecordBatch]:
    """Read chosen columns of a table at constant memory.

    The header is checked before this function returns, so a missing column is reported before any work.

    Args:
        path: CSV file, gzipped when its name ends in ``.gz``.
        columns: Canonical column names, or a mapping from them to a type: `TEXT` (the default), `INTEGER` (also
            accepts a trailing ``.0``, which radiology reports of MIMIC-IV-Note carry) or `TIME`.
        block_size: Bytes read at a time; no row may be longer.

    Returns:
        Batches with the columns in the order and under the names asked for. An empty field is null.

    Raises:
        DataError: A column is missing; the file is cut off, corrupt or not UTF-8; a row has a wrong number of
            fields; a value does not fit its type. The message never holds a field's content.
    """
    path = Path(path)
    types = dict(columns) if isinstance(columns, Mapping) else dict.fromkeys(columns, TEXT)
    return _stream(path, types, _match_columns(path, list(types)), block_size)


def read_table(path: Path, columns: Columns) -> pd.DataFrame:
    """Read chosen columns of a table into memory.

    Args:
        path: CSV file, gzipped when its name ends in ``.gz``.
        columns: As for `stream_table`.

    Returns:
        One column per name asked for, in file order: ``str``, nullable ``Int64`` or ``datetime64[s]``.

    Raises:
        DataError: As for `stream_table`.
    """
    types = dict(columns) if isinstance(columns, Mapping) else dict.fromkeys(columns, TEXT)
    table = pa.Table.from_batches(stream_table(path, types), schema=pa.schema(list(types.items())))
    return table.to_pandas(types_mapper={INTEGER: pd.Int64Dtype()}.get)


def read_header(path: Path) -> list[str]:
    """Return the column names of a CSV file, as they stand in it.

    Raises:
        DataError: The file is missing, empty, not UTF-8 or not gzip although its name says so.
    """
    try:
        with _open_binary(path) as raw, io.TextIOWrapper(raw, encoding="utf-8-sig", newline="") as handle:
            header = next(csv.reader(handle), None)
    except FileNotFoundError:
        raise DataError(f"{path}: expected a CSV file, found none") from None
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: the header cannot be read ({type(error).__name__}); {_REPAIR}") from None
    if not header:
        raise DataError(f"{path}: expected a header line, found an empty file; {_REPAIR}")
    return header


_REPAIR = "the file is cut off or damaged: fetch it again and compare its checksum"


def _open_binary(path: Path) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(path, "rb")) if path.suffix == ".gz" else path.open("rb")


def _match_columns(path: Path, names: list[str]) -> dict[str, str]:
    """Map each canonical name to the header's own spelling."""
    header = read_header(path)
    spelling = {name.strip().lower(): name for name in reversed(header)}
    missing = [name for name in names if name.lower() not in spelling]
    if missing:
        raise DataError(f"{path}: expected column {', '.join(missing)}; found {', '.join(header)}")
    return {name: spelling[name.lower()] for name in names}


class _QuoteCounter(io.RawIOBase):
    """Pass bytes through and count quotation marks: an odd number means that the last field was cut off.

    pyarrow accepts an unterminated quoted field at the end of a file without an error.
    """

    def __init__(self, source: IO[bytes] | pa.NativeFile) -> None:
        self._source = source
        self.count = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data: bytes = self._source.read(size) if size >= 0 else self._source.read()
        self.count += data.count(b'"')
        return data

    def close(self) -> None:
        self._source.close()
        super().close()


def _stream(
    path: Path, types: dict[str, pa.DataType], spelling: dict[str, str], block_size: int
) -> Iterator[pa.RecordBatch]:
    problems: list[str] = []

    def note_wrong_row(row: pa_csv.InvalidRow) -> str:
        where = f"row {row.number}" if row.number is not None else "a row"
        problems.append(f"{where}: expected {row.expected_columns} fields, found {row.actual_columns}")
        return "error"

    compression = "gzip" if path.suffix == ".gz" else None
    with _QuoteCounter(pa.input_stream(str(path), compression=compression)) as source:
        try:
            reader = pa_csv.open_csv(
                pa.PythonFile(source, mode="r"),
                read_options=pa_csv.ReadOptions(block_size=block_size, use_threads=False),
                parse_options=pa_csv.ParseOptions(newlines_in_values=True, invalid_row_handler=note_wrong_row),
                convert_options=pa_csv.ConvertOptions(
                    include_columns=[spelling[name] for name in types],
                    column_types=dict.fromkeys(spelling.values(), TEXT),
                    null_values=[""],
                    strings_can_be_null=True,
                ),
            )
            for batch in reader:
                arrays = [
                    _convert(array, kind, path, name)
                    for array, (name, kind) in zip(batch.columns, types.items(), strict=True)
                ]
                yield pa.RecordBatch.from_arrays(arrays, names=list(types))
        except (pa.ArrowInvalid, OSError) as error:
            raise DataError(f"{path}: {_explain(error, problems, block_size)}") from None
        if source.count % 2:
            raise DataError(f"{path}: unbalanced quotation marks; {_REPAIR}")


def _explain(error: Exception, problems: list[str], block_size: int) -> str:
    """Say what is wrong with a file without pyarrow's own message, which quotes the row."""
    if problems:
        return f"{problems[-1]}; {_REPAIR}"
    message = str(error)
    row = re.search(r"Row #(\d+)", message)
    where = f"row {row.group(1)}: " if row else ""
    if "invalid UTF8" in message:
        return f"{where}expected UTF-8 text, found other bytes; {_REPAIR}"
    if "straddles two block boundaries" in message:
        return f"{where}a row is longer than {block_size} bytes, perhaps for a lost quotation mark; {_REPAIR}"
    return f"{where}it cannot be read to its end ({type(error).__name__}); {_REPAIR}"


def _convert(array: pa.Array, kind: pa.DataType, path: Path, column: str) -> pa.Array:
    if kind == TEXT:
        return array
    try:
        if kind == INTEGER:
            try:
                return pc.cast(array, INTEGER)
            except pa.ArrowInvalid:
                return pc.cast(pc.replace_substring_regex(array, r"\.0+$", ""), INTEGER)
        return pc.cast(array, kind)
    except pa.ArrowInvalid:
        raise DataError(
            f"{path}: column {column}: expected {_KIND_NAMES.get(kind, kind)}, found another value"
        ) from None


_KIND_NAMES = {INTEGER: "whole numbers", TIME: "times as YYYY-MM-DD HH:MM:SS"}
