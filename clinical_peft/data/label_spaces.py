"""The label space of an own task: the classes that its training rows have, and every row's label among them.

What training rows lack cannot be predicted: such rows (or, of a multilabel task, such labels) are dropped and counted.
The same happens to classes that a study declares.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from clinical_peft.data.hash_split import SPLITS
from clinical_peft.data.label_values import Label
from clinical_peft.data.subgroups import OTHER
from clinical_peft.data.whole_numbers import whole_number
from clinical_peft.errors import DataError
from clinical_peft.tasks import OwnTask

MOST_CLASSES = 2_000
UNKNOWN_LABELS = "labels that are not in the label space"
OF_KNOWN_CLASS = "of a class that training rows have"
OF_KNOWN_LABELS = "with labels of the label space"


@dataclass(frozen=True)
class LabelSpace:
    """Rows with labels of the label space.

    Attributes:
        classes: The ordered classes.
        kept: Positions of the rows that have a label of the space, int64 of shape (kept,), ascending.
        labels: Their labels: positions in `classes`, or lists of classes of a multilabel task.
        step: What was kept, for the attrition table.
        left_out: Numbers of labels that were dropped from rows, by reason.
    """

    classes: list[str]
    kept: np.ndarray
    labels: list[int] | list[list[str]]
    step: str
    left_out: Mapping[str, int]


def label_space(task: OwnTask, labels: Sequence[Label], splits: Sequence[str]) -> LabelSpace:
    """Find the label space of a task, and the label of each row in it.

    Classes stand in the order that the study declares, or sorted (numbers by their value). With `min_class_size`, a
    class of fewer training rows becomes "other", the last class, and so do the classes that only validation and test
    rows have; of a multilabel task it is dropped. The two classes of a binary task are never pooled.

    Args:
        task: The task.
        labels: Label of each row, from `LabelReader`.
        splits: Split of each row.

    Raises:
        DataError: A split is empty; there are too many classes, or too few: two of a binary task, no more, both in
            training; two of a multiclass task; one of a multilabel task, in every split.
    """
    _check_splits(task, splits)
    if task.multilabel:
        return _several(task, labels, splits)
    counts = Counter(str(label) for label, split in zip(labels, splits, strict=True) if split == "train")
    if task.binary:
        _check_binary(task, counts, labels)
    least = 1 if task.binary else task.min_class_size
    frequent = [name for name, count in counts.items() if count >= least]
    pools = len(frequent) < len(counts)
    classes = [name for name in _ordered(task, frequent) if name != OTHER or not pools] + ([OTHER] if pools else [])
    _check_number(task, classes, least=2)
    index = {name: position for position, name in enumerate(classes)}
    found = [index.get(str(label), index[OTHER] if pools else -1) for label in labels]
    kept = [row for row, label in enumerate(found) if label >= 0]
    space = LabelSpace(classes, np.array(kept, np.int64), [found[row] for row in kept], OF_KNOWN_CLASS, {})
    _check_splits(task, [splits[row] for row in kept])
    return space


def _several(task: OwnTask, labels: Sequence[Label], splits: Sequence[str]) -> LabelSpace:
    training = (label for label, split in zip(labels, splits, strict=True) if split == "train")
    counts = Counter(name for label in training for name in label)
    classes = _ordered(task, [name for name, count in counts.items() if count >= max(1, task.min_class_size)])
    _check_number(task, classes, least=2)
    known = {*classes}
    found = [[name for name in label if name in known] for label in labels]
    dropped = sum(map(len, labels)) - sum(map(len, found))
    for split in SPLITS:
        if not any(label for label, own in zip(found, splits, strict=True) if own == split):
            raise DataError(
                f"cohort {task.name}: expected labels of the label space in every split, found none in {split}; give "
                "more patients or another split"
            )
    return LabelSpace(classes, np.arange(len(found)), found, OF_KNOWN_LABELS, {UNKNOWN_LABELS: dropped})


def _ordered(task: OwnTask, names: Sequence[str]) -> list[str]:
    """Order classes as the study does, or sort them."""
    declared = task.classes or (task.label_columns if len(task.label_columns) > 1 else ())
    if declared:
        return [name for name in declared if name in {*names}]
    numbers = {name: whole_number(name) for name in names}
    if None in numbers.values():
        return sorted(names)
    return sorted(names, key=lambda name: (numbers[name], name))


def _check_splits(task: OwnTask, splits: Sequence[str]) -> None:
    if empty := [split for split in SPLITS if split not in {*splits}]:
        raise DataError(
            f"cohort {task.name}: expected rows with a label in every split, found none in {', '.join(empty)}; give "
            "more labels or patients, or another split"
        )


def _check_binary(task: OwnTask, counts: Counter[str], labels: Sequence[Label]) -> None:
    found = task.classes or {*labels}
    if len(found) != 2:
        raise DataError(
            f"cohort {task.name}: expected two classes of a binary task, found {len(found):,}; correct the "
            "labels, or set type: multiclass"
        )
    if missing := 2 - len(counts):
        raise DataError(
            f"cohort {task.name}: expected both classes in the training split, found {2 - missing}; give more patients "
            "or another split"
        )


def _check_number(task: OwnTask, classes: Sequence[str], least: int) -> None:
    if len(classes) < least:
        raise DataError(
            f"cohort {task.name}: expected {least} classes or more in the training split, found {len(classes)}; give "
            "more labels, or a lower min_class_size"
        )
    if len(classes) > MOST_CLASSES:
        raise DataError(
            f"cohort {task.name}: expected at most {MOST_CLASSES:,} classes, found {len(classes):,}; set "
            "min_class_size, or name the column of the label"
        )
