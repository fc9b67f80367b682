"""A study's tables on a terminal: plain text in aligned columns, or row by row where it is too narrow for them."""

from collections.abc import Sequence
from pathlib import Path

from clinical_peft.errors import DataError
from clinical_peft.tables.form import Table
from clinical_peft.tables.stored import read_tables

STORED = "tables.json"
FIRST = ("downstream_main", "domain_adaptation")
"""Tables that are shown where none is named: the first of them that has rows."""
_GAP = "  "


def stored_tables(results: Path) -> dict[str, Table]:
    """Return the tables of a study that have rows, by name.

    Args:
        results: Folder of the study's results.

    Raises:
        DataError: There are none yet.
    """
    if not (results / STORED).is_file():
        raise DataError(f"{results}: expected tables, found none; run the study first (`clinical-peft run`)")
    return {name: table for name, table in read_tables(results / STORED).items() if table.rows}


def choose_table(tables: dict[str, Table], name: str | None) -> Table:
    """Return a table by its name, or the main one.

    Args:
        tables: Tables by name.
        name: Name of a table; None for the main one.

    Raises:
        DataError: There is no such table.
    """
    found = next((each for each in (FIRST if name is None else (name,)) if each in tables), None)
    if found is None:
        raise DataError(f"table: expected one of {', '.join(tables) or 'none, as none has rows'}, found {name}")
    return tables[found]


def list_tables(tables: dict[str, Table]) -> str:
    """Name each table with its caption."""
    width = max(map(len, tables), default=0)
    return "\n".join(f"{name:<{width}}{_GAP}{table.caption}" for name, table in tables.items())


def as_text(table: Table, *, width: int | None = None) -> str:
    """Return a table as text.

    Args:
        table: The table.
        width: Columns of the terminal; rows that do not fit stand one value a line. None for any width.
    """
    rows = [table.header, *table.rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(table.header))]
    is_narrow = width is not None and sum(widths) + len(_GAP) * (len(widths) - 1) > width
    body = _by_value(table) if is_narrow else _aligned(rows, widths, table.text_columns)
    return "\n".join([table.caption, "", *body, *(f"\n{note}" for note in table.notes)])


def _aligned(rows: Sequence[Sequence[str]], widths: Sequence[int], text_columns: int) -> list[str]:
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if column < text_columns else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append(_GAP.join(cells).rstrip())
    return [lines[0], _GAP.join("-" * width for width in widths), *lines[1:]]


def _by_value(table: Table) -> list[str]:
    """The rows of a wide table, each under its first cell."""
    wide = max(map(len, table.header[1:]), default=0)
    lines: list[str] = []
    for row in table.rows:
        values = zip(table.header[1:], row[1:], strict=True)
        lines += [row[0], *(f"{_GAP}{title:<{wide}}{_GAP}{value}" for title, value in values if value)]
    return lines
