"""What is wrong with a user's table, as far as its header and first rows show it, before the first job."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow.compute as pc

from clinical_peft.data.label_files import read_label_file
from clinical_peft.data.label_values import LabelReader
from clinical_peft.data.user_tables import Batch, read_batches
from clinical_peft.errors import ConfigError, DataError
from clinical_peft.sources.table.rows import read_table_rows, table_columns
from clinical_peft.sources.table.spec import TableSpec
from clinical_peft.sources.table.splits import RowSplits
from clinical_peft.sources.table.staging import UniqueIds
from clinical_peft.tasks import OwnTask

FIRST_ROWS = 100


def check_table_file(spec: TableSpec, tasks: Sequence[OwnTask]) -> None:
    """Read the first rows of a table as its import and the cohorts of its tasks do.

    Args:
        spec: The table.
        tasks: Tasks of the table.

    Raises:
        ConfigError: The split lacks something, declared classes contradict themselves, or a label is part of the text.
        DataError: A file is missing, malformed or empty, or lacks a column; or among the first rows an id is missing or
            repeated, a time, label or split cannot be read, or no row of many has a text.
    """
    for task in tasks:
        check_columns(spec, task)
    readers = [LabelReader(task) for task in tasks]
    splits = RowSplits(spec, salt="")
    labels = [column for reader in readers for column in reader.columns]
    ids = UniqueIds()
    for given, path in spec.paths.items():
        ids.begin_file()
        texts = rows = 0
        for batch in _first(read_batches(Path(path), [*table_columns(spec), *labels])):
            read = read_table_rows(spec, batch, splits, given)
            ids.add(batch, spec.id, read.ids)
            for reader in readers:
                reader.read(batch)
            texts += pc.sum(pc.greater(pc.binary_length(read.texts), 0)).as_py()
            rows += len(read.ids)
        if not texts:
            raise DataError(
                f"{path}: column {', '.join(spec.text)}: expected texts, found none in the first {rows} rows; name the "
                "column of the text"
            )


def check_columns(spec: TableSpec, task: OwnTask) -> None:
    """Check that no label of a task is part of the text, where a model would read it.

    Raises:
        ConfigError: A column is both.
    """
    if shared := [column for column in task.label_columns if column in spec.text]:
        raise ConfigError(
            f"tasks.{task.name}: expected labels apart from the text of table {spec.name}, found column "
            f"{', '.join(shared)} in both; drop it from data.tables.{spec.name}.text"
        )


def check_label_file(task: OwnTask) -> None:
    """Read the first rows of a file of labels as its task does.

    Raises:
        ConfigError: As for `read_label_file`.
        DataError: The same.
    """
    read_label_file(task, rows=FIRST_ROWS)


def _first(batches: Iterator[Batch]) -> Iterator[Batch]:
    left = FIRST_ROWS
    for batch in batches:
        columns = {name: values[:left] for name, values in batch.columns.items()}
        yield Batch(batch.path, batch.word, batch.numbers[:left], columns)
        left -= len(batch.numbers)
        if left <= 0:
            return
