"""A task that a study defines: from a column of its own table, or from a file of labels for a hospital's admissions."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

from clinical_peft.errors import DataError
from clinical_peft.tasks.task import Columns, Statement, Task

if TYPE_CHECKING:
    from clinical_peft.data.labelling import LabelRequest, Labels

FIRST_PLACE = 100
"""Own tasks stand behind the built-in ones, in the order of the study's file."""


def _no_label(request: "LabelRequest") -> "Labels":
    raise DataError("expected a task with a label function, found one whose labels stand in a table of its own")


@dataclass(frozen=True, kw_only=True)
class OwnTask(Task):
    """A prediction task that a study defines.

    Attributes:
        table: Name of the study's own table that holds notes and labels; None where labels come from a file.
        label_columns: Columns of the labels: one, or several of 0 and 1 for a multilabel task.
        delimiter: What separates the labels of a field of a multilabel task; None where a field is one label or a list.
        min_class_size: Training rows that a class needs; rarer ones become "other".
        label_file: CSV file with the columns id and label; None where labels stand in a table.
        on: Source whose admissions the file labels.
    """

    tables: Mapping[str, Mapping[str, Columns]] = field(default_factory=dict)
    label: Any = _no_label
    is_published: bool = False
    table: str | None = None
    label_columns: tuple[str, ...] = ()
    delimiter: str | None = None
    min_class_size: int = 0
    label_file: str | None = None
    on: str | None = None

    @property
    def is_own(self) -> bool:
        """Whether a study defines it."""
        return True


def own_record(task: OwnTask) -> dict[str, Any]:
    """Everything that is true of an own task, JSON-ready; `own_task` makes it a task again."""
    left_out = {"tables", "label", "stated_outcomes", "codes", "release_rows", "summary_shares"}
    record = {each.name: getattr(task, each.name) for each in fields(task) if each.name not in left_out}
    record["stated_outcomes"] = {name: asdict(one) for name, one in task.stated_outcomes.items()}
    return {key: list(value) if isinstance(value, tuple) else value for key, value in record.items()}


def own_task(record: Mapping[str, Any]) -> OwnTask:
    """Rebuild an own task from `own_record`."""
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in record.items()}
    statements = {
        name: Statement(one["pattern"], tuple(one["words"])) for name, one in record["stated_outcomes"].items()
    }
    return OwnTask(**values | {"stated_outcomes": statements})
