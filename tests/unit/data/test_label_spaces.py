"""The label space of an own task agrees with counting by hand, whatever the labels."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinical_peft.data.hash_split import SPLITS
from clinical_peft.data.label_columns import LabelCollector
from clinical_peft.data.label_spaces import label_space
from clinical_peft.errors import DataError
from clinical_peft.tasks import OwnTask

NAMES = st.sampled_from(["a", "b", "c", "10", "9", "other"])


def task_of(kind, **values):
    return OwnTask(name="own", title="Own", short="OWN", place=100, type=kind, label_columns=("outcome",), **values)


def rows(labels):
    return st.lists(st.tuples(labels, st.sampled_from(SPLITS)), min_size=1, max_size=40)


def space_of(task, pairs):
    """The label space, or None where the rows have none."""
    try:
        return label_space(task, [label for label, _ in pairs], [split for _, split in pairs])
    except DataError:
        return None


@settings(deadline=None)
@given(rows(NAMES), st.integers(0, 3))
def test_single_labels_are_classes_of_training_rows(pairs, least):
    space = space_of(task_of("multiclass", min_class_size=least), pairs)
    counts = Counter(label for label, split in pairs if split == "train")
    frequent = {name for name, count in counts.items() if count >= least}
    pools = frequent != {*counts}
    expected = [
        (row, label if label in frequent else "other")
        for row, (label, _) in enumerate(pairs)
        if label in frequent or pools
    ]
    classes = {name for row, name in expected if pairs[row][1] == "train"}
    if len(classes) < 2 or {pairs[row][1] for row, _ in expected} != {*SPLITS}:
        assert space is None
        return
    assert {*space.classes} == classes
    assert [
        (row, space.classes[label]) for row, label in zip(space.kept, space.labels.to_pylist(), strict=True)
    ] == expected


@settings(deadline=None)
@given(rows(st.lists(NAMES, max_size=4, unique=True)), st.integers(0, 3))
def test_several_labels_are_those_of_training_rows(pairs, least):
    space = space_of(task_of("multilabel", min_class_size=least), pairs)
    counts = Counter(name for labels, split in pairs if split == "train" for name in labels)
    classes = {name for name, count in counts.items() if count >= least}
    expected = [[name for name in labels if name in classes] for labels, _ in pairs]
    labelled = {split for labels, (_, split) in zip(expected, pairs, strict=True) if labels}
    if len(classes) < 2 or labelled != {*SPLITS}:
        assert space is None
        return
    assert {*space.classes} == classes
    assert space.labels.to_pylist() == expected
    assert space.left_out == {
        "labels that are not in the label space": sum(
            len(a) - len(b) for (a, _), b in zip(pairs, expected, strict=True)
        )
    }


@settings(deadline=None)
@given(st.lists(st.one_of(st.none(), NAMES, st.lists(NAMES, max_size=3).map(tuple)), max_size=30), st.data())
def test_chosen_rows_keep_their_labels(labels, data):
    collector = LabelCollector()
    collector.add(labels[: len(labels) // 2])
    collector.add(labels[len(labels) // 2 :])
    chosen = sorted(data.draw(st.sets(st.integers(0, len(labels) - 1)))) if labels else []
    column = collector.column().take(np.array(chosen, np.int64))
    found = [
        None if missing else [column.names[code] for code in column.codes[begin:end]]
        for missing, begin, end in zip(column.missing, column.starts[:-1], column.starts[1:], strict=True)
    ]
    expected = [labels[row] for row in chosen]
    assert found == [[one] if isinstance(one, str) else one if one is None else list(one) for one in expected]


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel"])
def test_an_empty_split_is_named(kind):
    labels = [("a",), ("b",)] if kind == "multilabel" else ["a", "b"]
    with pytest.raises(
        DataError, match="cohort own: expected rows with a label in every split, found none in validation"
    ):
        label_space(task_of(kind), [*labels, labels[0]], ["train", "train", "test"])
