"""A task's cohort with a smaller training split; validation and test stay as they are."""

import logging
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from clinical_peft.data.patients import source_of
from clinical_peft.data.train_subsets import training_subset
from clinical_peft.disclosure.counts import shown_part
from clinical_peft.errors import TrainingError
from clinical_peft.training.task_data import TaskData

logger = logging.getLogger(__name__)

UNUSED = "unused"
"""The split of training rows that a part does not hold."""


def with_train_size(data: TaskData, size: int, *, seed: int) -> TaskData:
    """Keep whole patients of the training split until they have the requested number of rows.

    Args:
        data: A task's cohort.
        size: Rows to keep, or somewhat more (`clinical_peft.data.train_subsets.training_subset`).
        seed: Seed of the run; each draws patients of its own, so that the spread over seeds shows what other patients
            would change.

    Returns:
        The same rows in the same order, those of other patients in the split `UNUSED`; the label space stays.

    Raises:
        TrainingError: The rows that are kept show one label alone.
    """
    train = data.rows("train")
    patients = np.asarray(data.table.column("subject_id").to_pylist())[train]
    chosen = training_subset(patients, size, seed=seed, source=source_of(data.table.schema))
    if chosen.all():
        logger.warning(
            "task %s, matrix.train_sizes: the training split has no more than %d rows, so this run trains on all of it "
            "and is no point of the learning curve",
            data.task,
            size,
        )
    splits = np.asarray(data.table.column("split").to_pylist(), dtype=object)
    splits[train[~chosen]] = UNUSED
    place = data.table.schema.get_field_index("split")
    table = data.table.set_column(place, data.table.schema.field(place), pa.array(splits, pa.string()))
    smaller = replace(data, table=table)
    if not _shows_differing_labels(smaller):
        raise TrainingError(
            f"task {data.task}, matrix.train_sizes: {size} training rows drawn with seed {seed} show no differing "
            "labels; nothing can be learned from them; drop this size, or give a larger one"
        )
    return smaller


def describe_part(data: TaskData, smaller: TaskData) -> dict[str, Any]:
    """Say how large a part is, as far as it may be published.

    Args:
        data: The whole cohort.
        smaller: What `with_train_size` returned.

    Returns:
        `train_rows` and `train_patients` of the part, None where they or what the whole has more are few; and
        `is_whole_split`, in which case both are None.
    """
    rows, patients = (shown_part(*counts) for counts in zip(_training_size(smaller), _training_size(data), strict=True))
    is_whole = _training_size(smaller) == _training_size(data)
    return {"train_rows": rows, "train_patients": patients, "is_whole_split": is_whole}


def _training_size(data: TaskData) -> tuple[int, int]:
    """Training rows and their patients."""
    patients = data.table.column("subject_id").take(data.rows("train"))
    return len(patients), len(patients.unique())


def _shows_differing_labels(data: TaskData) -> bool:
    """Whether training shows more than one class, or any label of a multilabel task."""
    counts = data.training_counts()
    return bool(counts.any()) if data.type == "multilabel" else int((counts > 0).sum()) > 1
