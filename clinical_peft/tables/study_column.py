"""Columns of a table, and how their values are written."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from clinical_peft.tables.form import TASK_LABELS, Record, number

Text = Callable[[Any, Record], str]


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        field: Its name in the machine-readable form.
        value: From one of `StudyTable.rows`, the value: text, a number or a boolean; None where it is missing.
        title: Its title in the form for readers, if it stands there.
        text: From the value and its record, the text in the form for readers.
        meaning: What the value is, where field and title do not say it.
        row_text: From the row, the text in the form for readers, where the record holds too little; replaces `text`.
    """

    field: str
    value: Callable[[Any], Any]
    title: str | None = None
    text: Text = lambda value, _: str(value)
    meaning: str = ""
    row_text: Callable[[Any], str] | None = None

    def written(self, record: Record, row: Any) -> str:
        """The cell in the form for readers."""
        return self.row_text(row) if self.row_text else self.text(record[self.field], record)


def taken(field: str, title: str | None = None, text: Text = Column.text) -> Column:
    """A column of values that stand in a row's mapping under the column's name."""
    return Column(field, itemgetter(field), title, text)


def task_name(value: str, _: Record) -> str:
    """A task as readers know it."""
    return TASK_LABELS[value]


def digits(count: int) -> Text:
    """A number with so many decimals."""
    return lambda value, _: number(value, count)


def by_task(rows: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Rows in the order of the tasks."""
    order = list(TASK_LABELS)
    return sorted(rows, key=lambda row: order.index(row["task"]))
