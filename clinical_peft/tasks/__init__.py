"""Clinical tasks, one module each: a module of this package that defines `TASK` is a task of every study."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from clinical_peft.errors import ConfigError
from clinical_peft.tasks.own import OwnTask, own_record, own_task
from clinical_peft.tasks.task import CodeTable, Task, TaskType

__all__ = [
    "CONTROL",
    "PAPER_TASKS",
    "TASKS",
    "OwnTask",
    "Task",
    "TaskType",
    "find_codes",
    "find_task",
    "read_tasks",
    "task_from_record",
    "task_record",
    "tasks_from_records",
    "titled_task",
]


def read_tasks() -> dict[str, Task]:
    """Import every module of this package and return its tasks by name, in their order.

    Raises:
        ConfigError: A module's task is incomplete, or two share a name.
    """
    tasks: dict[str, Task] = {}
    for module in iter_modules(__path__):
        try:
            task: Task | None = getattr(import_module(f"{__name__}.{module.name}"), "TASK", None)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"clinical_peft/tasks/{module.name}.py: {error}") from None
        if task is not None and tasks.setdefault(task.name, task) is not task:
            raise ConfigError(f"clinical_peft/tasks/{module.name}.py: a second task is called {task.name}; rename one")
    return {task.name: task for task in sorted(tasks.values(), key=lambda task: task.place)}


TASKS = read_tasks()
PAPER_TASKS = tuple(task.name for task in TASKS.values() if task.is_published)
CONTROL = next(task.name for task in TASKS.values() if task.is_control)


def find_task(name: str) -> Task:
    """Return a task by its name.

    Raises:
        ConfigError: There is no such task.
    """
    if name not in TASKS:
        raise ConfigError(f"task: expected one of {', '.join(TASKS)}, found {name}")
    return TASKS[name]


def titled_task(name: str, titles: Mapping[str, str]) -> Task:
    """Return a task with the title that a study gives it, if it gives one.

    Args:
        name: Name of the task.
        titles: Titles by name of the task.

    Raises:
        ConfigError: There is no such task.
    """
    task = find_task(name)
    return replace(task, title=titles.get(name, task.title))


def task_record(task: Task) -> dict[str, Any]:
    """Record from which a job rebuilds a task: its name and title, or all of a task that the study defines."""
    return own_record(task) if isinstance(task, OwnTask) else {"name": task.name, "title": task.title}


def task_from_record(record: Mapping[str, Any]) -> Task:
    """Rebuild a task from `task_record`; a built-in one may go without its title.

    Raises:
        ConfigError: It is neither a built-in task nor a whole record of an own one.
    """
    if "type" in record:
        return own_task(record)
    name = str(record["name"])
    return titled_task(name, {name: record["title"]} if "title" in record else {})


def tasks_from_records(records: Iterable[Mapping[str, Any]]) -> dict[str, Task]:
    """Rebuild tasks from records, by name and in their order; see `task_from_record`."""
    tasks = map(task_from_record, records)
    return {task.name: task for task in tasks}


def find_codes(name: str) -> CodeTable:
    """Return the table of a multilabel task's codes.

    Raises:
        ConfigError: There is no such task, or its labels are no codes.
    """
    codes = find_task(name).codes
    if codes is None:
        raise ConfigError(f"task {name}: expected a task labelled by codes, found one with fixed classes")
    return codes
