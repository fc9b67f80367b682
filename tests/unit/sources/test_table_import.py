"""A user's table is read as it stands: ids, patients, texts, times, and each mistake with its row."""

import json
from datetime import datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from own_tables import imported, steps_of, table_of, write_rows

from clinical_peft.data.patients import source_of
from clinical_peft.errors import DataError
from clinical_peft.sources.table import splits as table_splits
from clinical_peft.sources.table.corpus import write_training_notes
from clinical_peft.sources.table.groups import write_subgroups
from clinical_peft.sources.table.importing import import_table
from clinical_peft.sources.table.spec import SplitSpec

FORMATS = [f"notes{suffix}{gz}" for suffix in (".csv", ".jsonl", ".parquet") for gz in ("", ".gz")]
FOLDS = ("train", "validation", "test")
BY_COLUMN = SplitSpec(kind="column", column="fold")


def rows_of(number: int = 6, **values):
    """One patient a row, in three splits by turns."""
    row = {"encounter": "a{0}", "mrn": "p{0}", "note": "Smith was seen {0}."}
    return [
        {name: text.format(place) for name, text in row.items()} | {"fold": FOLDS[place % 3]} | values
        for place in range(number)
    ]


def import_rows(tmp_path, rows, *, name="notes.csv", split=BY_COLUMN, **columns):
    return imported(table_of(write_rows(tmp_path / name, rows), split=split, **columns), tmp_path)


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_rows(tmp_path, name):
    rows = rows_of(note='Line 1,  \r\nhe said "no"\r\n[**Name**] ü ')
    found = import_rows(tmp_path, rows, name=name)
    assert [row["hadm_id"] for row in found] == [f"a{place}" for place in range(6)]
    assert {row["text"] for row in found} == {'Line 1,\nhe said "no"\n___ ü'}
    assert [row["split"] for row in found] == [row["fold"] for row in rows]
    assert source_of(pq.read_schema(tmp_path / "ours.parquet")) == "ours"


def test_a_byte_order_mark_and_line_ends_of_windows(tmp_path):
    path = write_rows(tmp_path / "notes.csv", rows_of())
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert b"\r\n" in path.read_bytes()
    assert len(imported(table_of(path, split=BY_COLUMN), tmp_path)) == 6


@pytest.mark.parametrize(
    ("ids", "stored"),
    [
        ([12, 7, 0], [12, 7, 0]),
        (["12", "-7", str(2**63 - 1)], [12, -7, 2**63 - 1]),
        (["0012", "7", "8"], ["0012", "7", "8"]),
        (["12.0", "7", "8"], ["12.0", "7", "8"]),
        ([str(2**63), "7", "8"], [str(2**63), "7", "8"]),
        (["+12", "7", "-0"], ["+12", "7", "-0"]),
        (["a", "7", " 8"], ["a", "7", " 8"]),
    ],
)
@pytest.mark.parametrize("column", ["encounter", "mrn"])
def test_ids_are_integers_only_where_all_are(tmp_path, column, ids, stored):
    rows = [row | {column: one} for row, one in zip(rows_of(3), ids, strict=True)]
    found = import_rows(tmp_path, rows)
    assert [row[{"encounter": "hadm_id", "mrn": "subject_id"}[column]] for row in found] == stored


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1), min_size=3, max_size=9, unique=True)
)
def test_ids_round_trip(tmp_path_factory, ids):
    ids = [one for one in ids if one.strip()]
    ids += [f"more {place}" for place in range(3 - len(ids))]
    rows = [{"encounter": one, "mrn": one, "note": "Seen.", "fold": FOLDS[place % 3]} for place, one in enumerate(ids)]
    found = import_rows(tmp_path_factory.mktemp("ids"), rows, name="notes.jsonl")
    assert [str(row["hadm_id"]) for row in found] == [str(row["subject_id"]) for row in found] == ids


def test_numbers_of_json_and_of_float_columns_are_ids(tmp_path):
    rows = [row | {"encounter": float(place), "mrn": place} for place, row in enumerate(rows_of(3))]
    for name in ("notes.jsonl", "notes.parquet"):
        found = import_rows(tmp_path, rows, name=name)
        assert [(row["hadm_id"], row["subject_id"]) for row in found] == [(0, 0), (1, 1), (2, 2)]


@pytest.mark.parametrize("column", ["encounter", "mrn"])
@pytest.mark.parametrize(
    ("value", "found"),
    [(None, "none"), ("", "none"), ("  ", "none"), (0.5, "another number"), ([1], "a list"), ({"a": 1}, "an object")],
)
def test_what_is_no_id_is_an_error_with_its_row(tmp_path, column, value, found):
    rows = rows_of()
    rows[3][column] = value
    with pytest.raises(DataError, match=rf"jsonl: line 4, column {column}: expected an id .*, found {found}") as caught:
        import_rows(tmp_path, rows, name="notes.jsonl")
    assert "Smith" not in str(caught.value)
    assert not list(tmp_path.glob("ours*"))


@pytest.mark.parametrize("name", ["notes.csv", "notes.jsonl", "notes.parquet"])
def test_one_id_twice_is_an_error_with_its_row(tmp_path, name):
    place = {"notes.csv": "row 5", "notes.jsonl": "line 4", "notes.parquet": "row 4"}[name]
    rows = rows_of()
    rows[3]["encounter"] = "a1"
    with pytest.raises(DataError, match=f"{place}, column encounter: expected each id once, found one of an earlier"):
        import_rows(tmp_path, rows, name=name)


def test_ids_that_repeat_between_files_carry_their_split(tmp_path):
    files = {fold: write_rows(tmp_path / f"{fold}.csv", rows_of(2, mrn=fold)) for fold in FOLDS}
    found = imported(table_of(files, split=SplitSpec(kind="files")), tmp_path)
    assert [row["hadm_id"] for row in found] == [f"{fold}/a{place}" for fold in FOLDS for place in (0, 1)]
    assert [row["split"] for row in found] == [fold for fold in FOLDS for _ in (0, 1)]


def test_ids_that_are_unique_over_files_stay(tmp_path):
    files = {
        fold: write_rows(tmp_path / f"{fold}.csv", rows_of(1, encounter=place, mrn=fold))
        for place, fold in enumerate(FOLDS)
    }
    assert [row["hadm_id"] for row in imported(table_of(files, split=SplitSpec(kind="files")), tmp_path)] == [0, 1, 2]


def test_missing_texts_are_dropped_and_counted(tmp_path):
    rows = rows_of(8)
    rows[0]["note"], rows[1]["note"] = None, " \n "
    found = import_rows(tmp_path, rows, name="notes.jsonl")
    assert len(found) == 6
    assert steps_of(tmp_path)[:2] == [("in the file", 8, 8), ("with a text", 6, 6)]


def test_equal_texts_of_two_patients_are_kept(tmp_path):
    assert len(import_rows(tmp_path, rows_of(note="Routine visit."))) == 6


def test_all_texts_missing_is_an_error(tmp_path):
    with pytest.raises(DataError, match=r"notes\.csv: column note: expected texts, found none in 6 rows"):
        import_rows(tmp_path, rows_of(note=""))


@pytest.mark.parametrize(("value", "found"), [(["Smith"], "a list"), (7, "another number"), (True, "a boolean")])
def test_only_a_text_is_a_text(tmp_path, value, found):
    rows = rows_of()
    rows[2]["note"] = value
    with pytest.raises(DataError, match=f"line 3, column note: expected a text, found {found}") as caught:
        import_rows(tmp_path, rows, name="notes.jsonl")
    assert "Smith" not in str(caught.value)


def test_several_columns_are_joined_under_their_names(tmp_path):
    rows = rows_of(3, plan="Rest.", history="")
    rows[1]["history"] = "Falls."
    found = import_rows(tmp_path, rows, text=("history", "plan"))
    assert [row["text"] for row in found] == ["plan:\nRest.", "history:\nFalls.\n\nplan:\nRest.", "plan:\nRest."]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("2019-03-01", datetime(2019, 3, 1)),
        ("2019-03-01 12:30", datetime(2019, 3, 1, 12, 30)),
        ("2019-03-01 12:30:59", datetime(2019, 3, 1, 12, 30, 59)),
        ("2019-03-01T12:30:59.25Z", datetime(2019, 3, 1, 12, 30, 59, 250_000)),
        ("2019-03-01 12:30:59.123456789+02:00", datetime(2019, 3, 1, 12, 30, 59, 123_456)),
        ("2105-03-01", datetime(2105, 3, 1)),
        ("", None),
    ],
)
def test_times_keep_their_own_clock(tmp_path, written, expected):
    assert {row["time"] for row in import_rows(tmp_path, rows_of(admitted=written), time="admitted")} == {expected}


def test_times_of_parquet_keep_their_own_clock(tmp_path):
    noon = pa.array([datetime(2019, 3, 1, 12)] * 6).cast(pa.timestamp("ns", tz="Europe/Berlin"))
    path = tmp_path / "notes.parquet"
    pq.write_table(pa.Table.from_pylist(rows_of()).append_column("admitted", noon), path)
    found = imported(table_of(path, split=BY_COLUMN, time="admitted"), tmp_path)
    assert {row["time"] for row in found} == {datetime(2019, 3, 1, 13)}


@pytest.mark.parametrize("value", ["01/02/2019", "2019-13-01", "2019", "20190101", "Smith", 1546300800000, True])
def test_a_time_that_is_none_is_an_error_with_its_row(tmp_path, value):
    rows = rows_of(admitted="2019-01-01")
    rows[4]["admitted"] = value
    with pytest.raises(DataError, match="line 5, column admitted: expected a time as YYYY-MM-DD") as caught:
        import_rows(tmp_path, rows, name="notes.jsonl", time="admitted")
    assert "Smith" not in str(caught.value)


def test_a_column_named_twice_is_an_error(tmp_path):
    (tmp_path / "notes.csv").write_text("encounter,mrn,note,fold,note\n1,2,x,train,Smith\n")
    with pytest.raises(DataError, match="expected one column note, found several"):
        imported(table_of(tmp_path / "notes.csv", split=BY_COLUMN), tmp_path)
    table = pa.table([["a"], ["p"], ["x"], ["train"], ["Smith"]], names=["encounter", "mrn", "note", "fold", "note"])
    pq.write_table(table, tmp_path / "notes.parquet")
    with pytest.raises(DataError, match="expected one column note, found several"):
        imported(table_of(tmp_path / "notes.parquet", split=BY_COLUMN), tmp_path)


@pytest.mark.parametrize("name", ["notes.csv", "notes.jsonl", "notes.parquet"])
def test_a_missing_column_is_an_error_without_foreign_names(tmp_path, name):
    with pytest.raises(DataError, match=r"expected (column|key) mrn; found") as caught:
        import_rows(tmp_path, [{"encounter": "a", "Smith": "p", "note": "x", "fold": "train"}], name=name)
    assert "Smith" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("notes.csv", b"", "found an empty file"),
        ("notes.csv", b"encounter,mrn,note,fold\n", "expected rows, found none"),
        ("notes.jsonl", b"\n", "expected rows, found none"),
        ("notes.csv", "encounter,mrn,note,fold\n1,2,Smith f\xfcr,train\n".encode("latin-1"), "expected UTF-8 text"),
        ("notes.csv", b'encounter,mrn,note,fold\n1,2,Smith "x",train\n', "quotation marks"),
        ("notes.csv", b'encounter,mrn,note,fold\n1,2,"Smith,train\n', "row 2: expected 4 fields, found 3"),
        ("notes.csv.gz", b"encounter,mrn,note,fold\n", "cannot be read"),
        ("notes.parquet", b"Smith", "cannot be read after row 0"),
        ("notes.parquet.gz", b"Smith", "cannot be read after row 0"),
        ("notes.tsv", b"encounter\tmrn\n", r"expected a file ending in \.csv, \.jsonl, \.parquet"),
        ("notes.jsonl", b'{"encounter": "\\ud800", "mrn": "p", "note": "x", "fold": "train"}', "surrogate pair"),
    ],
)
def test_a_file_that_cannot_be_read_is_an_error(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        imported(table_of(tmp_path / name, split=BY_COLUMN), tmp_path)
    assert name in str(caught.value)
    assert "Smith" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(DataError, match=r"notes\.csv: expected a file, found none"):
        imported(table_of(tmp_path / "notes.csv"), tmp_path)


def test_values_of_subgroups_that_may_not_be_printed_are_other(tmp_path):
    rows = rows_of(4, sex="F")
    rows[1]["sex"], rows[2]["sex"], rows[3]["sex"] = "Smith", None, "M"
    path = write_rows(tmp_path / "notes.jsonl", rows)
    spec = table_of(path, split=BY_COLUMN, subgroups={"sex": ("F", "M")})
    imported(spec, tmp_path)
    assert write_subgroups(spec, tmp_path / "ours.parquet", tmp_path / "groups.parquet") == 4
    found = pq.read_table(tmp_path / "groups.parquet")
    assert found.to_pylist() == [
        {"hadm_id": "a0", "sex": "F"},
        {"hadm_id": "a1", "sex": "other"},
        {"hadm_id": "a2", "sex": None},
        {"hadm_id": "a3", "sex": "M"},
    ]
    assert source_of(found.schema) == "ours"


def test_the_corpus_holds_training_notes_alone(tmp_path):
    import_rows(tmp_path, rows_of(admitted="2019-03-01 12:30"), time="admitted")
    counts = write_training_notes(tmp_path / "ours.parquet", tmp_path / "notes.parquet")
    table = pq.read_table(tmp_path / "notes.parquet")
    assert counts == {"notes": 6, "written": 2, "subjects": 2}
    assert source_of(table.schema) == "ours"
    assert table.to_pylist()[0] == {
        "note_id": "a0",
        "subject_id": "p0",
        "hadm_id": "a0",
        "kind": "table",
        "charttime": "2019-03-01 12:30:00",
        "text": "Smith was seen 0.",
    }


def test_the_same_file_gives_the_same_bytes(tmp_path):
    path = write_rows(tmp_path / "notes.csv", rows_of(2_000))
    spec = table_of(path, split=BY_COLUMN)
    for name in ("a", "b"):
        import_table(spec, tmp_path / name / "t.parquet", tmp_path / name / "t.json", salt="s", work=tmp_path / name)
    assert (tmp_path / "a" / "t.parquet").read_bytes() == (tmp_path / "b" / "t.parquet").read_bytes()
    assert sorted(file.name for file in (tmp_path / "a").iterdir()) == ["t.json", "t.parquet"]


def test_counts_say_what_was_dropped(tmp_path):
    rows = rows_of(9)
    rows[0]["note"], rows[3]["fold"] = "", ""
    spec = table_of(write_rows(tmp_path / "notes.csv", rows), split=BY_COLUMN)
    counts = import_table(spec, tmp_path / "t.parquet", tmp_path / "t.json", salt="s")
    dropped = {"empty_dropped": 1, "without_split_dropped": 1, "later_dropped": 0}
    assert counts == {"rows_read": 9, "written": 7, "subjects": 7} | dropped
    assert table_splits.UNPLACED == -1
    assert json.loads((tmp_path / "t.json").read_text())[-1]["step"] == "of a named split"
