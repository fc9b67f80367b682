"""A task's cohort in memory: its admissions, its label space, and the target of every admission."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from clinical_peft.data.cohort_files import require_ids
from clinical_peft.data.hash_split import SPLITS
from clinical_peft.errors import TrainingError
from clinical_peft.files import read_json
from clinical_peft.tasks import TaskType

COLUMNS = ("hadm_id", "subject_id", "split", "text", "label")


@dataclass(frozen=True, kw_only=True)
class TaskInputs:
    """Files and folders that a fine-tuning job reads.

    Attributes:
        cohort: Cohort file; see `read_task`.
        classes: Label space of the cohort.
        base: Base folder; None for TF-IDF.
        adapter: Folder of the clinical adapter, or None where the job has none.
        features: Pooled features of the cohort's notes, for a job that trains a head alone; None to compute them.
    """

    cohort: Path
    classes: Path
    base: Path | None = None
    adapter: Path | None = None
    features: Path | None = None

    @property
    def base_folder(self) -> Path:
        """Base folder of a job with a network.

        Raises:
            TrainingError: The job has no base.
        """
        if self.base is None:
            raise TrainingError(f"{self.cohort}: fine-tuning a network needs a base, found none")
        return self.base


@dataclass(frozen=True)
class TaskData:
    """A cohort with encoded labels, one row per admission.

    Attributes:
        task: Name of the task.
        type: Kind of label.
        classes: Ordered label space of length K.
        table: The cohort's rows as read, ordered by hadm_id.
        targets: Class index per row, int64 of shape (N,); for a multilabel task 0/1 per class, uint8 of shape (N, K).
        unknown_codes: For a multilabel task, labels of validation and test rows that the label space does not hold.
            Such codes never occur in training, have no class to score and are dropped from the targets.
    """

    task: str
    type: TaskType
    classes: tuple[Any, ...]
    table: pa.Table
    targets: np.ndarray
    unknown_codes: int

    def rows(self, *splits: str) -> np.ndarray:
        """Positions of the rows of the given splits, int64, in the table's order."""
        column = np.asarray(self.table.column("split").to_pylist())
        return np.flatnonzero(np.isin(column, splits))

    @property
    def texts(self) -> list[str]:
        """Admission notes in the table's order."""
        return self.table.column("text").to_pylist()

    def training_counts(self) -> np.ndarray:
        """Training admissions of each class, int64 of shape (K,)."""
        targets = self.targets[self.rows("train")]
        if self.type == "multilabel":
            return targets.sum(axis=0, dtype=np.int64)
        return np.bincount(targets, minlength=len(self.classes))


def read_task(cohort: Path, classes: Path, task: str, kind: TaskType, *, splits: Sequence[str] = SPLITS) -> TaskData:
    """Read a cohort and its label space, and encode the labels.

    Args:
        cohort: Parquet file with the columns hadm_id, subject_id, split, text and label.
        classes: JSON file with the ordered label space. Integer labels of a label space of names are its indices.
        task: Name of the task.
        kind: Its type.
        splits: Splits to read; rows of other splits are not read.

    Raises:
        DataError: An id has another type than `clinical_peft.data.cohort_files.require_ids` takes.
        TrainingError: A column, a split or a note is missing, a label is not in the label space, or every training
            admission has the same label.
    """
    table = _read_cohort(cohort, splits)
    space = tuple(read_json(classes))
    if len(space) < 2 or len(set(space)) != len(space):
        raise TrainingError(f"{classes}: expected at least two distinct classes, found {len(space)}")
    row_splits = np.asarray(table.column("split").to_pylist())
    labels = table.column("label").to_pylist()
    unknown = 0
    if kind == "multilabel":
        targets, unknown = _encode_sets(labels, row_splits, space, cohort)
        learnable = bool(targets[row_splits == "train"].any())
    else:
        targets = _encode_single(labels, space, cohort)
        learnable = len(np.unique(targets[row_splits == "train"])) > 1
        if kind == "binary" and len(space) != 2:
            raise TrainingError(f"{classes}: expected two classes for the binary task {task}, found {len(space)}")
    if not learnable:
        raise TrainingError(f"{cohort}: the training split of {task} shows no differing labels; nothing can be learned")
    return TaskData(task=task, type=kind, classes=space, table=table, targets=targets, unknown_codes=unknown)


def _read_cohort(cohort: Path, splits: Sequence[str]) -> pa.Table:
    if not Path(cohort).is_file():
        raise TrainingError(f"{cohort}: expected a cohort file, found none; build the cohort first")
    schema = pq.read_schema(cohort)
    missing = set(COLUMNS) - set(schema.names)
    if missing:
        raise TrainingError(f"{cohort}: expected columns {', '.join(COLUMNS)}; missing: {', '.join(sorted(missing))}")
    require_ids(cohort, schema)
    chosen = [("split", "in", list(splits))] if set(splits) != set(SPLITS) else None
    table = pq.read_table(cohort, columns=list(COLUMNS), filters=chosen).sort_by("hadm_id").combine_chunks()
    for row, text in enumerate(table.column("text").to_pylist()):
        if not text or text.isspace():
            raise TrainingError(f"{cohort}, row {row} by hadm_id: the admission note is empty; drop it from the cohort")
    found = {str(split) for split in table.column("split").to_pylist()}
    if found != set(splits):
        absent = ", ".join(sorted(set(splits) - found)) or "none"
        raise TrainingError(
            f"{cohort}: expected the splits {', '.join(splits)}; missing: {absent}; "
            f"other values: {len(found - set(splits))}"
        )
    return table


def _encode_single(labels: Sequence[Any], space: tuple[Any, ...], cohort: Path) -> np.ndarray:
    named = all(isinstance(name, str) for name in space) and all(isinstance(label, int) for label in labels)
    index = {label: position for position, label in enumerate(range(len(space)) if named else space)}
    for row, label in enumerate(labels):
        if label not in index:
            raise TrainingError(
                f"{cohort}, row {row} by hadm_id: expected one of the {len(space)} classes as label, found another"
            )
    return np.asarray([index[label] for label in labels], dtype=np.int64)


def _encode_sets(
    labels: Sequence[Sequence[str]], splits: np.ndarray, space: tuple[Any, ...], cohort: Path
) -> tuple[np.ndarray, int]:
    index = {label: position for position, label in enumerate(space)}
    targets = np.zeros((len(labels), len(space)), dtype=np.uint8)
    unknown = 0
    for row, codes in enumerate(labels):
        if codes is None:
            raise TrainingError(f"{cohort}, row {row} by hadm_id: expected a list of labels, found none")
        for code in codes:
            if code in index:
                targets[row, index[code]] = 1
            elif splits[row] == "train":
                raise TrainingError(
                    f"{cohort}, row {row} by hadm_id: expected one of the {len(space)} classes as each label of the "
                    "training split, found another"
                )
            else:
                unknown += 1
    return targets, unknown
