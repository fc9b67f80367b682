"""What the run of a model holds in MLflow: the compared metric of every task, and all numbers of its summaries as tags.

A table of runs has a column for each metric, and a comparison of runs a plot, so that metrics are few: `auroc/macro`,
the mean over tasks, `auroc/los`, one for each task, and `auroc`, the mean or the only task's, which sorts first and has
one name in every study. Tags keep every number exactly, by task: `los/interval.0`.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from clinical_peft.tracking.keys import unique_names

AVERAGE, MACRO = "macro_average", "macro"
# Numbers that tags and metrics give back as floats.
COUNTS = {"seeds", "undefined", "n", "patients", "classes", "classes_scored", "positives"}


def metric_names(metric: str, tasks: Sequence[str]) -> dict[str, str]:
    """Names of a model's metrics by task, in the order of the tasks.

    Example:
        >>> metric_names("auroc", ["los", "macro_average"])
        {'los': 'auroc/los', 'macro_average': 'auroc/macro'}
    """
    short = {task: MACRO if task == AVERAGE and MACRO not in tasks else task for task in tasks}
    names = unique_names(list(short.values()))
    return {task: f"{metric}/{names[name]}" for task, name in short.items()}


def headline(metric: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """A model's metrics, by their names in MLflow; those that are undefined are absent.

    Args:
        metric: The compared metric.
        rows: The model's summaries, one a task.
    """
    names = metric_names(metric, [row["task"] for row in rows])
    found = {row["task"]: float(row[metric]) for row in rows if row.get(metric) is not None}
    first = found.get(AVERAGE) if len(rows) > 1 else next(iter(found.values()), None)
    return ({} if first is None else {metric: first}) | {names[task]: value for task, value in found.items()}


def numbers(rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Every number of a model's summaries as text that gives the same number back, by task and dotted place."""
    names = unique_names([row["task"] for row in rows])
    return {f"{names[row['task']]}/{key}": repr(value) for row in rows for key, value in _numbers(row)}


def summary(task: str, name: str, tags: Mapping[str, str], metrics: Mapping[str, float]) -> dict[str, Any]:
    """A summary of a task as `numbers` took it apart.

    Args:
        task: The task.
        name: Its name in tags.
        tags: Tags of the model's run.
        metrics: Its metrics, which hold the numbers of a study that was sent before they were tags.
    """
    found = {key: float(value) for key, value in tags.items() if key.startswith(f"{name}/")}
    found = found or {key: value for key, value in metrics.items() if key.startswith(f"{name}/")}
    row: dict[str, Any] = {"task": task}
    for key, value in found.items():
        *above, last = key.removeprefix(f"{name}/").split(".")
        place = row
        for part in above:
            place = place.setdefault(part, {})
        place[last] = round(value) if (above or [last])[0] in COUNTS else value
    return {field: _with_lists(value) for field, value in row.items()}


def _numbers(value: Any, prefix: str = "") -> Iterator[tuple[str, float]]:
    """Every number in nested mappings and lists, by its dotted place; what is missing is left out."""
    if isinstance(value, Mapping | list | tuple):
        parts = value.items() if isinstance(value, Mapping) else enumerate(value)
        for key, part in parts:
            yield from _numbers(part, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(value, int | float):
        yield prefix, float(value)


def _with_lists(value: Any) -> Any:
    """Turn mappings whose keys are places into lists."""
    if not isinstance(value, dict):
        return value
    if all(key.isdigit() for key in value):
        return [_with_lists(value[key]) for key in sorted(value, key=int)]
    return {key: _with_lists(part) for key, part in value.items()}
