"""Reading hospital tables (CSV, plain or gzipped) as a stream of typed record batches.

The release files hold notes with newlines, commas and doubled quotes inside quoted fields (RFC 4180), so they are
never split by line. Columns are asked for by the caller's canonical names and matched in any letter case, because
MIMIC-III ships upper-case headers and its public demo lower-case ones. `docs/data.md` says what becomes of each kind
of bad input.
"""

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from clinical_peft.data.column_names import describe_names, known_names
from clinical_peft.data.table_source import REPAIR, TableSource, read_header
from clinical_peft.data.whole_numbers import flags, whole_numbers
from clinical_peft.errors import DataError

# Bytes; also the longest row that can be read. pyarrow decompresses up to 32 blocks ahead of a slow consumer, so that
# this also bounds the memory of a stream.
BLOCK_SIZE = 2 << 20
TEXT = pa.string()
INTEGER = pa.int64()
FLAG = pa.bool_()  # of a column that holds 0, 1 or nothing
TIME = pa.timestamp("s")  # seconds, because shifted dates reach the year 2200 and births of the oldest 1800
MISSING = ("", "NA", "NULL")  # fields without a value; R and SQL write the words
HEADER_ROWS = 1  # rows are counted from 1, the header's, as pyarrow counts them

logger = logging.getLogger(__name__)

Columns = Sequence[str] | Mapping[str, pa.DataType]


def stream_table(
    path: Path, columns: Columns, *, times: Sequence[str] = (), block_size: int = BLOCK_SIZE
) -> Iterator[pa.RecordBatch]:
    """Read chosen columns of a table at constant memory.

    The header is checked before this function returns, so a missing column is reported before any work. The borders
    of the batches depend on the uncompressed bytes alone.

    Args:
        path: CSV file, gzipped when its name ends in ``.gz``.
        columns: Canonical column names, or a mapping from them to a type: `TEXT` (the default), `INTEGER` (in any
            spelling of `clinical_peft.data.whole_numbers`), `FLAG` (such a number that is 0 or 1) or `TIME`.
        times: Those of the columns of `TEXT` that hold times, which are checked and kept as they are written.
        block_size: Bytes read at a time; no row may be longer.

    Returns:
        Batches with the columns in the order and under the names asked for. A field of `MISSING` is null.

    Raises:
        DataError: A column is missing or stands in the header twice; the file is cut off, corrupt, not UTF-8 or holds
            a NUL byte or a quotation mark out of place; a row has a wrong number of fields or is too long; a value
            does not fit its type. The message never holds a field's content.
    """
    path = Path(path)
    types = dict(columns) if isinstance(columns, Mapping) else dict.fromkeys(columns, TEXT)
    return _stream(path, types, _match_columns(path, list(types)), times, block_size)


def read_table(path: Path, columns: Columns) -> pd.DataFrame:
    """Read chosen columns of a table into memory.

    Args:
        path: CSV file, gzipped when its name ends in ``.gz``.
        columns: As for `stream_table`.

    Returns:
        One column per name asked for, in file order: ``str``, nullable ``Int64`` or ``boolean``, or ``datetime64[s]``.

    Raises:
        DataError: As for `stream_table`.
    """
    types = dict(columns) if isinstance(columns, Mapping) else dict.fromkeys(columns, TEXT)
    table = pa.Table.from_batches(stream_table(path, types), schema=pa.schema(list(types.items())))
    return table.to_pandas(types_mapper={INTEGER: pd.Int64Dtype(), FLAG: pd.BooleanDtype()}.get)


def stripped(texts: pa.StringArray) -> pa.StringArray:
    """Return a column of texts without blanks around them; null stays null."""
    return pc.utf8_trim_whitespace(texts)


def marked_as_error(marks: pa.BooleanArray) -> pa.BooleanArray:
    """Return which rows of MIMIC-III have a 1 in a column of type `FLAG` that marks errors (ISERROR, ERROR)."""
    return pc.fill_null(marks, False)


def _match_columns(path: Path, names: list[str]) -> dict[str, str]:
    """Map each canonical name to the header's own spelling."""
    header = read_header(path)
    spellings: dict[str, list[str]] = {}
    for name in header:
        spellings.setdefault(name.strip().lower(), []).append(name)
    missing = [name for name in names if name.lower() not in spellings]
    if missing:
        raise DataError(f"{path}: expected column {', '.join(missing)}; found {_describe_header(header, names)}")
    repeated = [name for name in names if len(spellings[name.lower()]) > 1]
    if repeated:
        raise DataError(
            f"{path}: expected one column {', '.join(repeated)}, found several in the header; remove the others"
        )
    return {name: spellings[name.lower()][0] for name in names}


def _describe_header(header: list[str], asked: list[str]) -> str:
    """List which columns there are; the row may be data, since a file without a header begins with a note."""
    for separator, name in _SEPARATORS.items():
        fields = header[0].split(separator)
        if len(header) == 1 < len(fields) and known_names(fields, asked):
            return f"one of another name; expected commas between columns, found {name}: write the file with commas"
    if known_names(header, asked):
        return f"{describe_names(header, asked)}; if the column has another name, rename it in the header"
    return f"a first row of {len(header)} fields that does not hold any known name; add a header, or rename its columns"


def _stream(
    path: Path, types: dict[str, pa.DataType], spelling: dict[str, str], times: Sequence[str], block_size: int
) -> Iterator[pa.RecordBatch]:
    problems: list[str] = []

    def note_wrong_row(row: pa_csv.InvalidRow) -> str:
        where = f"row {row.number}" if row.number is not None else "a row"
        problems.append(f"{where}: expected {row.expected_columns} fields, found {row.actual_columns}")
        return "error"

    rows = HEADER_ROWS
    with TableSource(path) as source:
        try:
            reader = pa_csv.open_csv(
                pa.PythonFile(source, mode="r"),
                read_options=pa_csv.ReadOptions(block_size=block_size, use_threads=False),
                parse_options=pa_csv.ParseOptions(newlines_in_values=True, invalid_row_handler=note_wrong_row),
                convert_options=pa_csv.ConvertOptions(
                    include_columns=[spelling[name] for name in types],
                    column_types=dict.fromkeys(spelling.values(), TEXT),
                    null_values=MISSING,
                    strings_can_be_null=True,
                ),
            )
            for batch in reader:
                arrays = [
                    _convert(array, kind, f"{path}: column {name}", rows)
                    for array, (name, kind) in zip(batch.columns, types.items(), strict=True)
                ]
                for name in times:
                    _convert(arrays[list(types).index(name)], TIME, f"{path}: column {name}", rows)
                rows += batch.num_rows
                yield pa.RecordBatch.from_arrays(arrays, names=list(types))
        except pa.ArrowInvalid as error:
            raise DataError(f"{path}: {_explain(error, problems, block_size, rows)}") from None
        if source.marks.count % 2:
            raise DataError(f"{path}: row {rows}: unbalanced quotation marks up to the end of the file; {REPAIR}")
        if rows > HEADER_ROWS and path.suffix.lower() == ".csv" and source.marks.last not in b'\r\n"':
            logger.warning(
                "%s: row %d, the last, has no line end: right where a program leaves it out, else %s",
                path,
                rows,
                REPAIR,
            )


def _explain(error: Exception, problems: list[str], block_size: int, rows: int) -> str:
    """Describe what is wrong with a file without pyarrow's own message, which quotes the row."""
    if problems:
        return f"{problems[-1]}; {REPAIR}"
    message = str(error)
    row = re.search(r"Row #(\d+)", message)
    where = f"row {row.group(1)}" if row else f"after row {rows}"
    if "invalid UTF8" in message:
        return (
            f"{where}: expected UTF-8 text, found other bytes; {REPAIR}, or if it is in another encoding, such as "
            "Latin-1, save it as UTF-8"
        )
    if "straddles two block boundaries" in message:
        return f"{where}: a row is longer than {block_size} bytes, perhaps for a lost quotation mark; {REPAIR}"
    return f"{where}: expected CSV text, found something else; {REPAIR}"


def _convert(array: pa.Array, kind: pa.DataType, where: str, rows: int) -> pa.Array:
    if kind == TEXT:
        return array
    try:
        return _cast(array, kind)
    except pa.ArrowInvalid:
        number = rows + 1 + _first_misfit(array, kind)
        raise DataError(
            f"{where}, row {number}: expected {_KIND_NAMES.get(kind, kind)}, found another value; "
            "correct the row or fetch the file again"
        ) from None


def _cast(array: pa.Array, kind: pa.DataType) -> pa.Array:
    if kind in (INTEGER, FLAG):
        return whole_numbers(array) if kind == INTEGER else flags(array)
    return pc.cast(array, kind)


def _first_misfit(array: pa.Array, kind: pa.DataType) -> int:
    """Return the position of the first value that does not fit, by bisection."""
    low, high = 0, len(array) - 1
    while low < high:
        middle = (low + high) // 2
        try:
            _cast(array[low : middle + 1], kind)
            low = middle + 1
        except pa.ArrowInvalid:
            high = middle
    return low


_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "vertical bars"}
_KIND_NAMES = {INTEGER: "whole numbers", FLAG: "0 or 1", TIME: "times as YYYY-MM-DD HH:MM:SS"}
