"""Columns of a table, and how their values are written."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from clinical_peft.tables.form import Record, number
from clinical_peft.tables.study_tasks import Tasks, task_label, task_order

Text = Callable[[Any, Record], str]


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        field: Its name in the machine-readable form.
        value: From one of `StudyTable.rows`, the value: text, a number or a boolean; None where it is missing.
        title: Its title in the form for readers, if it stands there; may hold `StudyResults.words` in braces.
        text: From the value and its record, the text in the form for readers.
        meaning: What the value is, where field and title do not say it.
        row_text: From the row, the text in the form for readers, where the record holds too little; replaces `text`.
        is_task: Whether it names a task, whose short name stands in the form for readers.
        is_published: Whether it is of the paper; a study that has nothing of the paper's has no such column.
        is_of_hospital: Whether it is of MIMIC; a study that has nothing of MIMIC's has no such column.
    """

    field: str
    value: Callable[[Any], Any]
    title: str | None = None
    text: Text = lambda value, _: str(value)
    meaning: str = ""
    row_text: Callable[[Any], str] | None = None
    is_task: bool = False
    is_published: bool = False
    is_of_hospital: bool = False

    def written(self, record: Record, row: Any, tasks: Tasks) -> str:
        """The cell in the form for readers."""
        if self.is_task:
            return task_label(record[self.field], tasks)
        return self.row_text(row) if self.row_text else self.text(record[self.field], record)


def taken(field: str, title: str | None = None, text: Text = Column.text) -> Column:
    """A column of values that stand in a row's mapping under the column's name."""
    return Column(field, itemgetter(field), title, text)


def task_column(name: Callable[[Any], str]) -> Column:
    """The column of tasks, whose name is found in a row."""
    return Column("task", name, "Task", is_task=True)


def digits(count: int) -> Text:
    """A number with so many decimals."""
    return lambda value, _: number(value, count)


def by_task(rows: Iterable[Mapping[str, Any]], tasks: Tasks) -> list[Mapping[str, Any]]:
    """Rows in the order of the tasks."""
    order = task_order(tasks)
    return sorted(rows, key=lambda row: order.index(row["task"]))
