"""Counts of a user's table: nothing tells a count below ten, and no undeclared class is named."""

from collections import Counter

import pytest
from own_tables import own_task_of, table_of, write_rows

from clinical_peft.errors import DataError
from clinical_peft.sources.table.survey import (
    TableSurvey,
    check_classes,
    describe_classes,
    describe_rows,
    survey_table,
)

TASK = own_task_of("multiclass")
DECLARED = own_task_of("multiclass", classes=("b", "a"))


def survey(counts: dict[str, int], *, rows: int | None = None) -> TableSurvey:
    labelled = sum(counts.values())
    return TableSurvey(
        rows=rows or labelled,
        texts=rows or labelled,
        classes={TASK.name: Counter(counts)},
        labelled=Counter({TASK.name: labelled}),
    )


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (survey({"a": 30, "b": 20}), "2 classes: 30, 20"),
        (survey({"a": 30, "b": 9}), "2 classes, some of which have fewer than 10 rows"),
        (survey({"a": 5, "b": 9}), "2 classes, each of which has fewer than 10 rows"),
        (survey({"a": 30, "b": 20}, rows=55), "2 classes of 10 rows or more each; fewer than 10 rows without a label"),
        (survey({"a": 30, "b": 20}, rows=70), "2 classes: 30, 20"),
        (survey({str(n): 20 + n for n in range(12)}), "306 rows with a label; 12 classes of 20 to 31 rows"),
    ],
)
def test_class_counts_hide_what_is_below_ten(found, text):
    assert describe_classes(found, TASK) == text


def test_only_declared_classes_are_named():
    assert describe_classes(survey({"a": 30, "b": 20}), DECLARED) == "2 classes: 20 b, 30 a"
    assert "secret" not in describe_classes(survey({"a": 30, "secret": 20}), DECLARED)


def test_rows_without_text_are_counted_out(tmp_path):
    rows = [{"encounter": n, "note": "" if n < 3 else "x", "mrn": n // 2} for n in range(40)]
    found = survey_table(table_of(write_rows(tmp_path / "notes.csv", rows)), [])
    assert (found.rows, found.texts, found.patients) == (40, 37, 20)
    assert describe_rows(found) == "40 rows with ids of their own, fewer than 10 without a text, 20 patients"


@pytest.mark.parametrize(
    ("counts", "message"),
    [({}, "expected labels, found none"), ({"a": 20}, "expected 2 classes or more, found 1")],
)
def test_labels_of_which_no_task_can_be_made(counts, message):
    with pytest.raises(DataError, match=message):
        check_classes(survey(counts, rows=30), TASK)
