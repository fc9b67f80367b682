"""The first rows of a table are checked before the first job, with one line for each mistake."""

import pyarrow as pa
import pytest
from own_tables import labelled_rows, own_task_of, table_of, write_rows

from clinical_peft.errors import ConfigError, DataError
from clinical_peft.sources.table.checks import check_label_file, check_table_file
from clinical_peft.sources.table.spec import SplitSpec

SPLIT = SplitSpec(kind="column", column="fold")
BINARY = own_task_of("binary")


def rows_of(number=150):
    labels = ["0", "1"] * (number // 2)
    return [row | {"admitted": "2019-01-01"} for row in labelled_rows(train=labels)]


def check(tmp_path, rows, **columns):
    path = write_rows(tmp_path / "notes.csv", rows)
    check_table_file(table_of(path, split=SPLIT, time="admitted", **columns), [BINARY])


def test_first_rows_of_one_split_pass(tmp_path):
    check(tmp_path, rows_of())


def test_a_check_leaves_the_reading_threads_as_they_were(tmp_path):
    before = pa.io_thread_count()
    check(tmp_path, rows_of(2_000))
    assert pa.io_thread_count() == before > 1


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("encounter", "", "column encounter: expected an id"),
        ("encounter", "1", "column encounter: expected each id once"),
        ("mrn", "", "column mrn: expected an id"),
        ("outcome", "0.5", "column outcome: expected a class, found a fraction"),
        ("admitted", "yesterday", "column admitted: expected a time"),
        ("fold", "Smith", "column fold: expected train"),
    ],
)
def test_a_mistake_in_the_first_rows_is_an_error(tmp_path, column, value, message):
    rows = rows_of()
    rows[120][column] = value
    check(tmp_path, rows)  # beyond the first rows
    rows[60][column] = value
    with pytest.raises(DataError, match=f"row 62, {message}") as caught:
        check(tmp_path, rows)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("column", ["encounter", "mrn", "note", "fold", "outcome", "admitted"])
def test_a_missing_column_is_an_error(tmp_path, column):
    rows = [{name: value for name, value in row.items() if name != column} for row in rows_of()]
    with pytest.raises(DataError, match=f"expected column {column}; found"):
        check(tmp_path, rows)


def test_first_rows_without_any_text_are_an_error(tmp_path):
    with pytest.raises(DataError, match="column note: expected texts, found none in the first 100 rows"):
        check(tmp_path, [row | {"note": ""} for row in rows_of()])


def test_a_label_in_the_text_is_an_error(tmp_path):
    with pytest.raises(ConfigError, match=r"tasks\.own: expected labels apart from the text .* column outcome in both"):
        check(tmp_path, rows_of(), text=("note", "outcome"))


def test_a_label_file_is_checked_as_it_is_read(tmp_path):
    path = write_rows(tmp_path / "labels.csv", [{"id": place, "label": place % 2} for place in range(10)])
    task = own_task_of("binary", table=None, label_columns=(), label_file=str(path), on="mimic-iii")
    check_label_file(task)
    write_rows(path, [{"id": "Smith", "label": 1}])
    with pytest.raises(DataError, match="row 2, column id: expected the id of an admission") as caught:
        check_label_file(task)
    assert "Smith" not in str(caught.value)
