"""Tables as the page shows them: the rows of one task, and no column that holds nothing."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from clinical_peft.tables.form import MISSING, Table

TASK = "Task"
"""Title of the column by which a table falls into tasks."""
NOTHING = {"", MISSING}


def of_task(table: Table, label: str) -> Table:
    """The rows of a task, without the column that names it; as many as there are, perhaps none.

    Args:
        table: A table with a column of tasks.
        label: The task's short name.
    """
    column = table.header.index(TASK)
    return _kept(table, lambda row: table.rows[row][column] == label, lambda other: other != column)


def without_tasks(table: Table, labels: Sequence[str]) -> Table:
    """The rows that belong to none of some tasks."""
    column = table.header.index(TASK)
    return _kept(table, lambda row: table.rows[row][column] not in labels, lambda _: True)


def falls_into_tasks(table: Table) -> bool:
    """Whether every row of a table names its task."""
    return TASK in table.header


def without_empty_columns(table: Table) -> Table:
    """The table without columns that are empty in every row, those of text apart."""
    return _kept(
        table,
        lambda _: True,
        lambda column: column < table.text_columns or any(row[column] not in NOTHING for row in table.rows),
    )


def _kept(table: Table, keeps_row: Callable[[int], bool], keeps_column: Callable[[int], bool]) -> Table:
    rows = [row for row in range(len(table.rows)) if keeps_row(row)]
    columns = [column for column in range(len(table.header)) if keeps_column(column)]
    return replace(
        table,
        header=tuple(table.header[column] for column in columns),
        rows=tuple(tuple(table.rows[row][column] for column in columns) for row in rows),
        text_columns=sum(column < table.text_columns for column in columns),
        bold=frozenset(
            (rows.index(row), columns.index(column)) for row, column in table.bold if row in rows and column in columns
        ),
        row_names=tuple(table.row_names[row] for row in rows) if table.row_names else (),
    )
