"""The cohort of a task from a user's table: its imported rows, and their labels from the file again."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from clinical_peft.data.attrition import NOTES, Attrition
from clinical_peft.data.hash_split import SPLITS
from clinical_peft.data.label_columns import LabelCollector, LabelColumn
from clinical_peft.data.label_spaces import LabelSpace, label_space_of
from clinical_peft.data.label_values import LabelReader
from clinical_peft.data.note_table import parquet_writer
from clinical_peft.data.patients import with_source
from clinical_peft.data.stated_outcomes import fold
from clinical_peft.data.user_tables import read_batches
from clinical_peft.errors import DataError
from clinical_peft.files import private_directory, write_json
from clinical_peft.sources.table.importing import IDS_BY_SPLIT, id_by_split
from clinical_peft.sources.table.row_groups import in_order, in_row_groups
from clinical_peft.sources.table.rows import required_ids
from clinical_peft.sources.table.spec import TableSpec
from clinical_peft.tasks import OwnTask

_BATCH_ROWS = 500


def build_table_cohort(
    spec: TableSpec,
    task: OwnTask,
    imported: Path,
    *,
    output: Path,
    classes_output: Path,
    attrition_output: Path,
    drop_stated_outcomes: bool = False,
) -> list[dict[str, object]]:
    """Write the cohort of a task on a user's table, its label space and its attrition.

    Memory grows by the ids and labels, not by the texts.

    Args:
        spec: The table.
        task: A task of the table.
        imported: What `import_table` wrote.
        output: Parquet file to write: hadm_id, subject_id, split, text, label (int64, or lists of strings), and time
            and site where the table has them; ordered by hadm_id.
        classes_output: JSON list, the ordered label space (`clinical_peft.data.label_spaces`).
        attrition_output: JSON list of steps, each with the rows and patients left.
        drop_stated_outcomes: Drop rows whose text states the outcome by a pattern of the task.

    Returns:
        The steps of ``attrition_output``.

    Raises:
        ConfigError: The declared classes contradict themselves.
        DataError: The file has changed or is malformed; a label does not belong to the task; there are too few or too
            many classes, or a split is empty.
    """
    imported = Path(imported)
    found = pq.read_schema(imported)
    attrition = Attrition.from_metadata(found.metadata)
    patients = _numbers(imported, "subject_id")
    labels = _labels(spec, task, imported, by_split=IDS_BY_SPLIT in (found.metadata or {}))

    def count(step: str, rows: np.ndarray, left_out: Mapping[str, int] | None = None) -> None:
        counted = len(np.unique(patients[rows]))
        attrition.add(step, rows=len(rows), patients=counted, unit=NOTES, left_out=left_out)

    rows = np.flatnonzero(~labels.missing)
    count("with a label", rows)
    if drop_stated_outcomes:
        rows = rows[~_stating(task, imported)[rows]]
        count("without a stated outcome", rows)
    space = label_space_of(task, labels.take(rows), _ranks(imported)[rows])
    rows = rows[space.kept]
    count(space.step, rows, space.left_out)
    _write(spec, task, imported, Path(output), rows, space)
    write_json(classes_output, space.classes)
    write_json(attrition_output, attrition.steps)
    return attrition.steps


def _column(imported: Path, name: str) -> pa.Array:
    return pq.read_table(imported, columns=[name])[name].combine_chunks()


def _numbers(imported: Path, name: str) -> np.ndarray:
    """Number the values of a column, int32 of shape (rows,)."""
    return np.asarray(_column(imported, name).dictionary_encode().indices)


def _ranks(imported: Path) -> np.ndarray:
    """Return the split of each row as a position in `SPLITS`, int8 of shape (rows,)."""
    return np.asarray(pc.index_in(_column(imported, "split"), pa.array(SPLITS)).cast(pa.int8()))


def _labels(spec: TableSpec, task: OwnTask, imported: Path, *, by_split: bool) -> LabelColumn:
    """Read the label of each imported row from the file, where the rows stand in the same order."""
    reader, collector = LabelReader(task), LabelCollector()
    ids = _ids(imported)
    wanted = next(ids, None)
    for split, path in spec.paths.items():
        for batch in read_batches(Path(path), [spec.id, *reader.columns]):
            labels = []
            for name, label in zip(required_ids(batch, spec.id), reader.read(batch), strict=True):
                if (id_by_split(split, name) if by_split else name) == wanted:
                    labels.append(label)
                    wanted = next(ids, None)
            collector.add(labels)
    if wanted is not None:
        raise DataError(
            f"{spec.files[0]}: column {spec.id}: expected the ids of the imported rows in their order, found others; "
            "the file has changed: import it again"
        )
    return collector.column()


def _ids(imported: Path) -> Iterator[str]:
    for batch in pq.ParquetFile(imported, pre_buffer=False).iter_batches(_BATCH_ROWS, columns=["hadm_id"]):
        yield from map(str, batch["hadm_id"].to_pylist())


def _stating(task: OwnTask, imported: Path) -> np.ndarray:
    """Return which texts state the outcome, bool of shape (rows,)."""
    stating: list[bool] = []
    for batch in pq.ParquetFile(imported, pre_buffer=False).iter_batches(_BATCH_ROWS, columns=["text"]):
        stating += [states_own_outcome(task, text) for text in batch["text"].to_pylist()]
    return np.array(stating, bool)


def states_own_outcome(task: OwnTask, text: str) -> bool:
    """Return whether a text states a task's outcome by one of its patterns."""
    folded = fold(text)
    return any(
        statement.regex.search(text)
        for statement in task.stated_outcomes.values()
        if not statement.words or any(word in folded for word in statement.words)
    )


def _write(
    spec: TableSpec,
    task: OwnTask,
    imported: Path,
    output: Path,
    rows: np.ndarray,
    space: LabelSpace,
) -> None:
    kind = pa.list_(pa.string()) if task.multilabel else pa.int64()
    optional = [name for name, column in (("time", spec.time), ("site", spec.site)) if column]
    described = with_source(_schema(pq.read_schema(imported), kind, optional), spec.name)
    order = np.asarray(pc.sort_indices(_column(imported, "hadm_id").take(pa.array(rows))))
    places = np.empty(len(rows), np.int64)
    places[order] = np.arange(len(rows))
    names = [name for name in described.names if name != "label"]
    size = pq.read_metadata(imported)
    # Uncompressed bytes of the file stand for those of its texts.
    bytes_of_rows = sum(size.row_group(group).total_byte_size for group in range(size.num_row_groups))

    def tables() -> Iterator[pa.Table]:
        done = 0
        for table, here in _chosen(imported, names, rows):
            yield table.append_column("label", space.labels[done : done + here])
            done += here

    with parquet_writer(output, described) as writer:
        folder = private_directory(output.parent)
        for table in in_row_groups(in_order(tables(), places, bytes_of_rows, folder)):
            writer.write_table(table.select(described.names).cast(described))


def _schema(found: pa.Schema, label: pa.DataType, optional: list[str]) -> pa.Schema:
    fields = [found.field(name) for name in ("hadm_id", "subject_id", "split", "text")]
    return pa.schema([*fields, pa.field("label", label), *(found.field(name) for name in optional)])


def _chosen(imported: Path, names: list[str], rows: np.ndarray) -> Iterator[tuple[pa.Table, Any]]:
    """Yield chosen rows by the batch, with their number."""
    first = 0
    for batch in pq.ParquetFile(imported, pre_buffer=False).iter_batches(_BATCH_ROWS, columns=names):
        here = rows[np.searchsorted(rows, first) : np.searchsorted(rows, first + batch.num_rows)] - first
        first += batch.num_rows
        if len(here):
            yield pa.Table.from_batches([batch]).select(names).take(here), len(here)
