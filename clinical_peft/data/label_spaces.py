"""The label space of an own task: the classes that its training rows have, and every row's label among them.

What training rows lack cannot be predicted: such rows (or, of a multilabel task, such labels) are dropped and counted.
The same happens to classes that a study declares.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from clinical_peft.data.hash_split import SPLITS
from clinical_peft.data.label_columns import LabelCollector, LabelColumn
from clinical_peft.data.label_values import Label
from clinical_peft.data.subgroups import OTHER
from clinical_peft.data.whole_numbers import whole_number
from clinical_peft.errors import DataError
from clinical_peft.tasks import OwnTask

MOST_CLASSES = 2_000
UNKNOWN_LABELS = "labels that are not in the label space"
OF_KNOWN_CLASS = "of a class that training rows have"
OF_KNOWN_LABELS = "with labels of the label space"
_TRAIN = SPLITS.index("train")


@dataclass(frozen=True)
class LabelSpace:
    """Rows with labels of the label space.

    Attributes:
        classes: The ordered classes.
        kept: Positions of the rows that have a label of the space, int64 of shape (kept,), ascending.
        labels: Their labels, of shape (kept,): int64 positions in `classes`, or lists of strings of a multilabel task.
        step: What was kept, for the attrition table.
        left_out: Numbers of labels that were dropped from rows, by reason.
    """

    classes: list[str]
    kept: np.ndarray
    labels: pa.Array
    step: str
    left_out: Mapping[str, int]


def label_space(task: OwnTask, labels: Sequence[Label], splits: Sequence[str]) -> LabelSpace:
    """Find the label space of a task as `label_space_of` does.

    Args:
        task: The task.
        labels: Label of each row, from `LabelReader`, lists or tuples of a multilabel task.
        splits: Split of each row.

    Raises:
        DataError: As for `label_space_of`.
    """
    collector = LabelCollector()
    collector.add(labels)
    return label_space_of(task, collector.column(), np.array([SPLITS.index(split) for split in splits], np.int8))


def label_space_of(task: OwnTask, labels: LabelColumn, ranks: np.ndarray) -> LabelSpace:
    """Find the label space of a task, and the label of each row in it.

    Classes stand in the order that the study declares, or sorted (numbers by their value). With `min_class_size`, a
    class of fewer training rows becomes "other", the last class, and so do the classes that only validation and test
    rows have; of a multilabel task it is dropped. The two classes of a binary task are never pooled.

    Args:
        task: The task.
        labels: Labels of rows that all have one.
        ranks: Split of each row as a position in `SPLITS`, int8 of shape (rows,).

    Raises:
        DataError: A split is empty; there are too many classes, or too few: two of a binary task, no more, both in
            training; two of another task.
    """
    _check_splits(task, ranks)
    counts = np.bincount(labels.codes[ranks[labels.rows] == _TRAIN], minlength=len(labels.names))
    return _several(task, labels, ranks, counts) if task.multilabel else _single(task, labels, ranks, counts)


def _single(task: OwnTask, labels: LabelColumn, ranks: np.ndarray, counts: np.ndarray) -> LabelSpace:
    if task.binary:
        _check_binary(task, labels, counts)
    frequent = _frequent(labels, counts, 1 if task.binary else task.min_class_size)
    pools = len(frequent) < np.count_nonzero(counts)
    classes = [name for name in ordered_classes(task, frequent) if name != OTHER or not pools] + (
        [OTHER] if pools else []
    )
    _check_number(task, classes)
    index = {name: position for position, name in enumerate(classes)}
    rest = index[OTHER] if pools else -1
    found = np.array([index.get(name, rest) for name in labels.names], np.int64)[labels.codes]
    kept = np.flatnonzero(found >= 0)
    _check_splits(task, ranks[kept])
    return LabelSpace(classes, kept, pa.array(found[kept]), OF_KNOWN_CLASS, {})


def _several(task: OwnTask, labels: LabelColumn, ranks: np.ndarray, counts: np.ndarray) -> LabelSpace:
    classes = ordered_classes(task, _frequent(labels, counts, task.min_class_size))
    _check_number(task, classes)
    known = np.isin(labels.names, classes)[labels.codes]
    rows = labels.rows[known]
    for rank, split in enumerate(SPLITS):
        if not (ranks[rows] == rank).any():
            raise DataError(
                f"cohort {task.name}: expected labels of the label space in every split, found none in {split}; give "
                "more patients or another split"
            )
    starts = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(labels)))])
    names = pa.array(labels.names, pa.string()).take(pa.array(labels.codes[known]))
    lists = pa.ListArray.from_arrays(pa.array(starts, pa.int32()), names)
    dropped = int(np.count_nonzero(~known))
    return LabelSpace(classes, np.arange(len(labels)), lists, OF_KNOWN_LABELS, {UNKNOWN_LABELS: dropped})


def _frequent(labels: LabelColumn, counts: np.ndarray, least: int) -> list[str]:
    """Return the labels with at least the given number of training rows, and at least one row."""
    return [name for name, count in zip(labels.names, counts.tolist(), strict=True) if count >= max(1, least)]


def ordered_classes(task: OwnTask, names: Sequence[str]) -> list[str]:
    """Order classes as the study does, or sort them."""
    declared = task.classes or (task.label_columns if len(task.label_columns) > 1 else ())
    if declared:
        return [name for name in declared if name in {*names}]
    numbers = {name: whole_number(name) for name in names}
    if None in numbers.values():
        return sorted(names)
    return sorted(names, key=lambda name: (numbers[name], name))


def _check_splits(task: OwnTask, ranks: np.ndarray) -> None:
    counts = np.bincount(ranks, minlength=len(SPLITS))
    if empty := [split for split, count in zip(SPLITS, counts, strict=True) if not count]:
        raise DataError(
            f"cohort {task.name}: expected rows with a label in every split, found none in {', '.join(empty)}; give "
            "more labels or patients, or another split"
        )


def _check_binary(task: OwnTask, labels: LabelColumn, counts: np.ndarray) -> None:
    check_binary_classes(task, len(task.classes or np.unique(labels.codes)), f"cohort {task.name}")
    if (in_training := np.count_nonzero(counts)) < 2:
        raise DataError(
            f"cohort {task.name}: expected both classes in the training split, found {in_training}; give more patients "
            "or another split"
        )


def check_binary_classes(task: OwnTask, classes: int, where: str) -> None:
    """Check that a binary task has two classes; other tasks may have any number.

    Args:
        task: The task.
        classes: Number of its classes.
        where: What has them, for the message.

    Raises:
        DataError: There are fewer, or more.
    """
    if task.binary and classes != 2:
        raise DataError(
            f"{where}: expected two classes of a binary task, found {classes:,}; correct the labels, or set "
            "type: multiclass"
        )


def _check_number(task: OwnTask, classes: Sequence[str]) -> None:
    if len(classes) < 2:
        raise DataError(
            f"cohort {task.name}: expected 2 classes or more in the training split, found {len(classes)}; give more "
            "labels, or a lower min_class_size"
        )
    if len(classes) > MOST_CLASSES:
        raise DataError(
            f"cohort {task.name}: expected at most {MOST_CLASSES:,} classes, found {len(classes):,}; set "
            "min_class_size, or name the column of the label"
        )
