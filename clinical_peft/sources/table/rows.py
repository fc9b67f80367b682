"""What a batch of a user's table says: ids, patients, times, sites, subgroups, texts and splits, each row checked."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from clinical_peft.data.json_lines import kind_of
from clinical_peft.data.note_cleaning import structure_texts
from clinical_peft.data.subgroups import OTHER
from clinical_peft.data.user_tables import Batch, is_missing
from clinical_peft.errors import DataError
from clinical_peft.sources.table.spec import TableSpec
from clinical_peft.sources.table.splits import RowSplits

SUBGROUP = "subgroup:"
TIME = pa.timestamp("us")
_ID = "an id (a text or a whole number)"
_TIME = re.compile(
    r"(\d{4}-\d{2}-\d{2})(?:[ T](\d{2}:\d{2}(?::\d{2})?)(?:\.(\d{1,9}))?)?(?:Z|[+-]\d{2}:?\d{2})?", re.ASCII
)


@dataclass(frozen=True)
class TableRows:
    """The rows of a batch.

    Attributes:
        ids: Id of each row, as the file has it.
        patients: Patient of each row, or None where the table has no such column.
        times: Time of each row, timestamps of shape (rows,); null where there is none.
        sites: Site of each row, or None.
        subgroups: By column, the group of each row; values that may not be printed are "other", missing ones None.
        texts: Cleaned text of each row, string of shape (rows,); empty where there is none.
        ranks: Split of each row as a position in `SPLITS`, int8 of shape (rows,); `UNPLACED` where the row has none.
    """

    ids: list[str]
    patients: list[str] | None
    times: pa.Array
    sites: list[str | None]
    subgroups: dict[str, list[str | None]]
    texts: pa.StringArray
    ranks: np.ndarray


def table_columns(spec: TableSpec) -> list[str]:
    """Columns that are read of a table beside those of labels, each once."""
    optional = (spec.patient, spec.time, spec.site, spec.split.column)
    return list(dict.fromkeys([spec.id, *spec.text, *filter(None, optional), *spec.subgroups]))


def read_table_rows(spec: TableSpec, batch: Batch, splits: RowSplits, given: str) -> TableRows:
    """Read the rows of a batch.

    Args:
        spec: The table.
        batch: Columns `table_columns` of some rows.
        splits: How rows are split.
        given: Key of the file in `TableSpec.paths`.

    Raises:
        DataError: An id or a patient is missing, a text or a time is of another kind, or a split is unknown.
    """
    patients = required_ids(batch, spec.patient) if spec.patient else None
    times = _times(batch, spec.time) if spec.time else [None] * len(batch.numbers)
    sites: list[str | None] = [None] * len(batch.numbers)
    if spec.site:
        sites = batch.plain(spec.site, "the name of a site")
    return TableRows(
        ids=required_ids(batch, spec.id),
        patients=patients,
        times=pa.array(times, TIME),
        sites=sites,
        subgroups={column: _groups(batch, column, values) for column, values in spec.subgroups.items()},
        texts=_texts(batch, spec.text),
        ranks=splits.ranks(batch, given, patients, times, sites),
    )


def required_ids(batch: Batch, column: str) -> list[str]:
    """Return a column of ids as texts, as the file has them.

    Raises:
        DataError: A row has none.
    """
    found = []
    for position, text in enumerate(batch.plain(column, _ID)):
        if text is None or not text.strip():
            raise DataError(
                f"{batch.place(position, column)}: expected {_ID}, found none; give the row one, or remove the row"
            )
        found.append(text)
    return found


def _times(batch: Batch, column: str) -> list[datetime | None]:
    found = []
    for position, value in enumerate(batch.columns[column]):
        time = None if is_missing(value) else _time(value)
        if time is None and not is_missing(value):
            raise DataError(
                f"{batch.place(position, column)}: expected a time as YYYY-MM-DD or YYYY-MM-DD HH:MM:SS, found "
                f"{kind_of(value)}; write it so, or leave the field empty"
            )
        found.append(time)
    return found


def _time(value: Any) -> datetime | None:
    """Return a time as its own clock shows it, without its zone; None if it is not a time."""
    if isinstance(value, datetime):
        return value
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day)
    match = _TIME.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        return None
    day, clock, fraction = match.groups()
    try:
        return datetime.fromisoformat(f"{day} {clock or '00:00'}").replace(
            microsecond=int((fraction or "0").ljust(6, "0")[:6])
        )
    except ValueError:
        return None


def _groups(batch: Batch, column: str, printable: Sequence[str]) -> list[str | None]:
    values = batch.plain(column, "a text, a whole number or a boolean")
    return [value if value is None or value in printable else OTHER for value in values]


def _texts(batch: Batch, columns: Sequence[str]) -> pa.StringArray:
    """Clean the text of each row: one column, or several that are not empty under their names as headings."""
    parts = [structure_texts(_written(batch, column)) for column in columns]
    if len(columns) == 1:
        return parts[0]
    rows = zip(*(part.to_pylist() for part in parts), strict=True)
    return pa.array(
        ["\n\n".join(f"{name}:\n{text}" for name, text in zip(columns, row, strict=True) if text) for row in rows],
        pa.string(),
    )


def _written(batch: Batch, column: str) -> pa.StringArray:
    values = batch.columns[column]
    for position, value in enumerate(values):
        if not isinstance(value, str) and not is_missing(value):
            raise DataError(
                f"{batch.place(position, column)}: expected a text, found {kind_of(value)}; write it as a text"
            )
        if isinstance(value, str) and "\0" in value:
            raise DataError(f"{batch.place(position, column)}: expected a text, found a NUL character in it; remove it")
    return pa.array([value if isinstance(value, str) else None for value in values], pa.string())
