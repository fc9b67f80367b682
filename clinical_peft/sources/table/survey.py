"""A user's table read from end to end, as its import and its cohorts read it, without writing anything."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow.compute as pc

from clinical_peft.data.label_spaces import check_binary_classes
from clinical_peft.data.label_values import Label, LabelReader
from clinical_peft.data.user_tables import read_batches
from clinical_peft.disclosure.counts import SMALLEST_CELL, few
from clinical_peft.errors import DataError
from clinical_peft.sources.table.rows import read_table_rows, table_columns
from clinical_peft.sources.table.spec import TableSpec
from clinical_peft.sources.table.splits import RowSplits
from clinical_peft.sources.table.staging import UniqueIds
from clinical_peft.tasks import OwnTask

MOST_LISTED = 10
"""Classes whose counts are listed one by one."""


@dataclass
class TableSurvey:
    """What a table holds.

    Attributes:
        rows: Its rows.
        texts: Rows with a text.
        patients: Patients; None where the table names none.
        classes: By task, the rows of each class.
        labelled: By task, the rows with a label.
    """

    rows: int = 0
    texts: int = 0
    patients: int | None = None
    classes: dict[str, Counter[str]] = field(default_factory=dict)
    labelled: Counter[str] = field(default_factory=Counter)


def survey_table(spec: TableSpec, tasks: Sequence[OwnTask]) -> TableSurvey:
    """Read every row of a table.

    Memory grows by the ids and patients, not by the texts.

    Args:
        spec: The table.
        tasks: Tasks whose labels stand in it.

    Raises:
        ConfigError: The split lacks something, or declared classes contradict themselves.
        DataError: A row is malformed, or an id stands twice in a file; see `clinical_peft.sources.table.importing`.
    """
    found = TableSurvey(classes={task.name: Counter() for task in tasks})
    readers = {task.name: LabelReader(task) for task in tasks}
    columns = [*table_columns(spec), *(column for reader in readers.values() for column in reader.columns)]
    splits, ids = RowSplits(spec, salt=""), UniqueIds()
    patients: set[int] = set()
    for given, path in spec.paths.items():
        ids.begin_file()
        for batch in read_batches(Path(path), columns):
            read = read_table_rows(spec, batch, splits, given)
            ids.add(batch, spec.id, read.ids)
            found.rows += len(read.ids)
            found.texts += pc.sum(pc.greater(pc.binary_length(read.texts), 0)).as_py()
            patients.update(map(hash, read.patients or ()))
            for name, reader in readers.items():
                labels = [label for label in reader.read(batch) if label is not None]
                found.labelled[name] += len(labels)
                found.classes[name].update(_names(labels))
    found.patients = len(patients) if spec.patient is not None else None
    return found


def _names(labels: Sequence[Label]) -> Iterator[str]:
    for label in labels:
        yield from (label,) if isinstance(label, str) else label


def describe_rows(survey: TableSurvey) -> str:
    """Say how many rows and patients a table has; ids are unique, or the survey would have failed."""
    parts = [f"{shown_count(survey.rows)} rows with ids of their own"]
    if without := survey.rows - survey.texts:
        parts.append(f"{shown_count(without)} without a text")
    if survey.patients is not None:
        parts.append(f"{shown_count(survey.patients)} patients")
    return ", ".join(parts)


def describe_classes(survey: TableSurvey, task: OwnTask) -> str:
    """Say how many rows each class of a task has; nothing from which a count below ten could be told.

    Args:
        survey: The survey.
        task: A task of the table; only classes that the study itself names are named.
    """
    counts = survey.classes[task.name]
    labelled = survey.labelled[task.name]
    number = f"{len(counts)} class{'' if len(counts) == 1 else 'es'}"
    if few(counts.values()) or few([labelled]):
        rare = sum(count < SMALLEST_CELL for count in counts.values())
        which = "some of which have" if rare < len(counts) else "each of which has"
        return f"{number}, {which} fewer than {SMALLEST_CELL} rows"
    if 0 < survey.rows - labelled < SMALLEST_CELL:
        return f"{number} of {SMALLEST_CELL} rows or more each; fewer than {SMALLEST_CELL} rows without a label"
    if len(counts) > MOST_LISTED:
        return f"{labelled:,} rows with a label; {number} of {min(counts.values()):,} to {max(counts.values()):,} rows"
    return f"{number}: {', '.join(_of_class(counts, task))}"


def check_classes(survey: TableSurvey, task: OwnTask) -> None:
    """Refuse labels of which no task can be made, whatever the split.

    Args:
        survey: The survey.
        task: A task of the table.

    Raises:
        DataError: No row has a label, or there are too few classes, or more than two of a binary task.
    """
    classes = len(survey.classes[task.name])
    where = f"column {', '.join(task.label_columns)}"
    if not survey.labelled[task.name]:
        raise DataError(f"{where}: expected labels, found none; name the column of the label")
    check_binary_classes(task, classes, where)
    if classes < 2:
        raise DataError(f"{where}: expected 2 classes or more, found {classes}; name the column of the label")


def _of_class(counts: Mapping[str, int], task: OwnTask) -> Iterator[str]:
    """Counts with the names of declared classes, in their order; of others the counts alone, the greatest first."""
    named = {*task.classes, *(task.label_columns if len(task.label_columns) > 1 else ())}
    if named >= counts.keys():
        order = [*(task.classes or task.label_columns)]
        yield from (f"{counts[name]:,} {name}" for name in sorted(counts, key=order.index))
        return
    yield from (f"{count:,}" for count in sorted(counts.values(), reverse=True))


def shown_count(count: int) -> str:
    """A count for readers, without its value where it is below ten."""
    return f"{count:,}" if count >= SMALLEST_CELL else f"fewer than {SMALLEST_CELL}"
