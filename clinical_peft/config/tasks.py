"""The section `tasks`: settings of the built-in outcomes, and outcomes of a study's own.

An own task takes its labels from columns of one of the study's tables (`table`), or from a file of labels for a
hospital's admissions (`labels` and `on`).
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic import (
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from clinical_peft.config.alternatives import Text
from clinical_peft.config.hospital import SourceName
from clinical_peft.config.sections import Name, Partial, Section, UserPath
from clinical_peft.tasks import TASKS, OwnTask, Task, TaskType
from clinical_peft.tasks.own import FIRST_PLACE, own_record
from clinical_peft.tasks.task import Statement

MOST_CLASSES = 2000
LONGEST_SHORT_NAME = 8
OWN_KEYS = (
    *("type", "table", "labels", "on", "label_column", "label_columns", "classes", "delimiter", "min_class_size"),
    *("stated_outcomes", "short"),
)
"""Keys of a task that a study defines; a built-in task has them already."""
RESERVED = ("admission", "subgroups", "ventilation", "carevue", "leakage")
"""Names that an own task may not take, since other files of the workflow have them."""


def _with_label(schema: dict[str, Any]) -> None:
    schema["properties"]["label"] = {"type": "string", "deprecated": True, "description": "earlier name of `title`"}


class TaskEntry(Section):
    """A clinical outcome: settings of a built-in one, or one of the study's own."""

    model_config = ConfigDict(json_schema_extra=_with_label)

    title: str | None = Field(None, min_length=1, description="name for readers in place of the task's own")
    recipe: Partial = Field({}, description="overrides of `finetuning`")
    task_adapter: Partial = Field({}, description="overrides of the task adapter's settings, such as r or alpha")
    models: list[Name] | None = Field(None, description="models of the matrix that run this task; null means all")
    type: TaskType | None = Field(None, description="of an own task; this and the keys below make a task one's own")
    short: str | None = Field(
        None, min_length=1, max_length=LONGEST_SHORT_NAME, description="column title in tables; null derives it"
    )
    table: Name | None = Field(None, description="table of `data.tables` that holds the labels")
    label_column: Text | None = Field(None, description="column of the label, or of a multilabel task's labels")
    label_columns: list[Text] | None = Field(
        None, min_length=1, description="of a multilabel task: a column of 0 and 1 for each class"
    )
    labels: UserPath | None = Field(None, description="CSV file with the columns id and label, in place of a table")
    on: SourceName | None = Field(None, description="hospital whose admissions `labels` labels")
    classes: list[Text] | None = Field(
        None, min_length=2, max_length=MOST_CLASSES, description="in the order of the integer labels; null: those found"
    )
    delimiter: Text | None = Field(None, description="what separates the labels in a field of a multilabel task")
    min_class_size: int | None = Field(
        None, ge=1, description="training rows that a class needs; rarer ones become `other`"
    )
    stated_outcomes: dict[Name, Text] = Field(
        {}, description="patterns of statements in notes that give the outcome away, by name, for the leakage check"
    )

    @model_validator(mode="before")
    @classmethod
    def _read_on(cls, entry: Any) -> Any:
        """Take the key true for `on`, of which YAML 1.1 makes it where it stands without quotation marks."""
        return (
            {"on" if key is True else key: value for key, value in entry.items()} if isinstance(entry, dict) else entry
        )

    @model_validator(mode="before")
    @classmethod
    def _rename_label(cls, entry: Any) -> Any:
        """Take `label`, the earlier name of `title`, for it."""
        if not isinstance(entry, dict) or "label" not in entry:
            return entry
        if "title" in entry:
            raise ValueError("expected only title, found also label, its earlier name; remove label")
        return {"title" if key == "label" else key: value for key, value in entry.items()}

    @field_validator("stated_outcomes")
    @classmethod
    def _check_patterns(cls, patterns: dict[str, str]) -> dict[str, str]:
        for name, pattern in patterns.items():
            try:
                compiled = re.compile(pattern, re.IGNORECASE)
            except re.error as error:
                raise ValueError(f"{name}: expected a regular expression, found one with {error}") from None
            if compiled.search(""):
                raise ValueError(f"{name}: expected a pattern of words, found one that matches an empty text")
        return patterns

    @model_serializer(mode="wrap")
    def _without_unused_keys(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Say nothing of an own task's keys where they are not used."""
        given: dict[str, Any] = serialise(self)
        return {key: value for key, value in given.items() if key not in OWN_KEYS or value not in (None, {})}

    @property
    def own_keys(self) -> list[str]:
        """Keys in use that only an own task has."""
        return [key for key in OWN_KEYS if getattr(self, key) not in (None, {})]

    @model_validator(mode="after")
    def _check_own(self) -> "TaskEntry":
        if self.own_keys:
            for check in (self._check_place, self._check_columns, self._check_classes):
                check()
        return self

    def _check_place(self) -> None:
        if self.table is not None and self.labels is not None:
            raise ValueError("table and labels: an own task has its labels in one of the two; remove the other")
        if self.table is None and self.labels is None:
            raise ValueError(
                f"{self.own_keys[0]}: an own task needs table, one of data.tables, or labels, a file, with on"
            )
        if (self.labels is None) != (self.on is None):
            raise ValueError("labels and on go together: the file, and the hospital whose admissions it labels")
        if self.type is None:
            raise ValueError("type: expected binary, multiclass or multilabel, found none; an own task needs it")

    def _check_columns(self) -> None:
        given = [key for key in ("label_column", "label_columns") if getattr(self, key) is not None]
        if self.labels is not None and given:
            raise ValueError(f"{given[0]}: a file of labels has the columns id and label; remove the key")
        if self.table is not None and len(given) != 1:
            found = "both" if given else "none"
            raise ValueError(f"label_column or label_columns: expected one of the two with table, found {found}")
        columns = self.label_columns
        if columns is not None and self.type != "multilabel":
            raise ValueError(f"label_columns: are for type multilabel, found {self.type}; use label_column")
        if columns is not None and len(set(columns)) < len(columns):
            raise ValueError("label_columns: expected each column once, found one twice")
        if self.delimiter is not None and columns is not None:
            raise ValueError("delimiter: divides the field of label_column, found with label_columns; remove one")
        if self.delimiter is not None and self.type != "multilabel":
            raise ValueError(f"delimiter: is for type multilabel, found {self.type}; remove it")

    def _check_classes(self) -> None:
        classes = self.classes or []
        if len(set(classes)) < len(classes):
            raise ValueError("classes: expected each class once, found one twice")
        if self.type == "binary" and classes and len(classes) != 2:
            raise ValueError(f"classes: expected 2 with type binary, found {len(classes)}")
        if self.type == "binary" and self.min_class_size is not None:
            raise ValueError("min_class_size: is for multiclass and multilabel tasks, found type binary; remove it")
        if classes and self.label_columns is not None:
            raise ValueError("classes: the label_columns are the classes; remove one of the two")
        if self.delimiter is not None and any(self.delimiter in name for name in classes):
            raise ValueError("classes: expected classes without the delimiter, found one that holds it")


def own_tasks(entries: Mapping[str, TaskEntry]) -> dict[str, OwnTask]:
    """Return the tasks that a study defines, in the order of its file.

    Args:
        entries: Section `tasks` of a valid study.

    Raises:
        ValueError: Two tasks have one short name.
    """
    taken = {task.short for task in TASKS.values()}
    given = [(name, entry.short) for name, entry in entries.items() if entry.short is not None]
    for name, short in given:
        if short in taken:
            raise ValueError(f"tasks.{name}.short: {short!r} is the short name of another task; choose another")
        taken.add(short)
    found: dict[str, OwnTask] = {}
    for name, entry in entries.items():
        if name in TASKS or entry.type is None:
            continue
        short = entry.short or _short_name(name, taken)
        taken.add(short)
        found[name] = _own_task(name, entry, entry.type, short, place=FIRST_PLACE + len(found))
    return found


def _short_name(name: str, taken: set[str]) -> str:
    """The first letters of a name in upper case, numbered where another task has the same."""
    short = name[:LONGEST_SHORT_NAME].upper()
    number = 1
    while short in taken:
        number += 1
        short = f"{name[: LONGEST_SHORT_NAME - len(str(number))].upper()}{number}"
    return short


def _own_task(name: str, entry: TaskEntry, kind: TaskType, short: str, place: int) -> OwnTask:
    columns = entry.label_columns or ([entry.label_column] if entry.label_column is not None else [])
    return OwnTask(
        name=name,
        title=entry.title or name,
        short=short,
        place=place,
        type=kind,
        classes=tuple(entry.classes or ()),
        labelled_step="with a label",
        stated_outcomes={key: Statement(pattern, ()) for key, pattern in entry.stated_outcomes.items()},
        table=entry.table,
        label_columns=tuple(columns),
        delimiter=entry.delimiter,
        min_class_size=entry.min_class_size or 0,
        label_file=str(entry.labels) if entry.labels is not None else None,
        on=entry.on,
    )


def untitled_record(task: Task) -> dict[str, Any]:
    """Return a task's record for a job on it alone, without what readers call it and where it stands among others.

    Args:
        task: Any task of a study.
    """
    if not isinstance(task, OwnTask):
        return {"name": task.name}
    return own_record(replace(task, title=task.name, short=task.name, place=FIRST_PLACE))


def titled(task: Task, entry: TaskEntry) -> Task:
    """Return a built-in task under the title that a study gives it, if it gives one."""
    return replace(task, title=entry.title) if entry.title is not None else task
