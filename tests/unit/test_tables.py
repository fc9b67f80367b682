"""Reading hospital tables: any valid CSV as the csv module reads it, and errors that name the file."""

import csv
import gzip
import io

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinical_peft.data.table_files import find_table, locate_table
from clinical_peft.data.tables import INTEGER, TEXT, TIME, read_table, stream_table
from clinical_peft.errors import DataError

AWKWARD = st.text(st.sampled_from(list('ab ",\n\r\u2028\u2029\x0b\x85é;\\')), max_size=12)
ROWS = st.lists(st.tuples(AWKWARD, AWKWARD, AWKWARD), max_size=20)


def csv_bytes(rows, header=("A", "B", "C")) -> bytes:
    handle = io.StringIO(newline="")
    csv.writer(handle).writerows([header, *rows])
    return handle.getvalue().encode()


@settings(deadline=None)
@given(ROWS, st.booleans())
def test_any_text_survives_as_the_csv_module_reads_it(tmp_path_factory, rows, zipped):
    path = tmp_path_factory.mktemp("csv") / ("t.csv.gz" if zipped else "t.csv")
    data = csv_bytes(rows)
    path.write_bytes(gzip.compress(data) if zipped else data)
    expected = list(csv.DictReader(io.StringIO(data.decode(), newline="")))
    found = [row for batch in stream_table(path, ["C", "a"]) for row in batch.to_pylist()]
    assert found == [{"C": row["C"] or None, "a": row["A"] or None} for row in expected]


def test_rows_arrive_in_several_batches(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(csv_bytes([(number, "x" * 50, "") for number in range(2000)]))
    batches = list(stream_table(path, {"A": INTEGER, "C": TEXT}, block_size=4096))
    assert len(batches) > 10
    assert [value for batch in batches for value in batch["A"].to_pylist()] == list(range(2000))


def test_newlines_inside_fields_may_fall_on_the_border_of_a_block(tmp_path):
    path = tmp_path / "t.csv"
    texts = ["\n".join(["line, of text"] * (number % 40 + 1)) for number in range(300)]
    path.write_bytes(csv_bytes([(number, text, "") for number, text in enumerate(texts)]))
    found = [text for batch in stream_table(path, ["B"], block_size=2048) for text in batch["B"].to_pylist()]
    assert found == texts


def test_typed_columns(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("id,when,note\n7.0,2199-12-31 23:59:59,x\n,1850-01-01 00:00:00,\n")
    frame = read_table(path, {"ID": INTEGER, "WHEN": TIME, "NOTE": TEXT})
    assert frame["ID"].tolist()[0] == 7
    assert frame["ID"].isna().tolist() == [False, True]
    assert (frame["WHEN"][0] - frame["WHEN"][1]).days == 127_834
    assert str(frame["WHEN"].dtype) == "datetime64[s]"
    assert frame["NOTE"].isna().tolist() == [False, True]


@pytest.mark.parametrize(
    "name", ["NOTEEVENTS.csv", "noteevents.csv.gz", "note/NoteEvents.csv.gz", "hosp/NOTEEVENTS.csv"]
)
def test_tables_are_found_in_any_case_and_usual_subfolder(tmp_path, name):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"")
    assert find_table(tmp_path, "noteevents") == find_table(tmp_path, "NOTEEVENTS") == path
    assert locate_table(tmp_path, "ADMISSIONS") is None
    with pytest.raises(DataError, match=r"ADMISSIONS\.csv"):
        find_table(tmp_path, "ADMISSIONS")
    with pytest.raises(DataError, match="no such folder"):
        find_table(tmp_path / "absent", "ADMISSIONS")


SECRET = "Mrs Smith"


def broken(name: str) -> tuple[str, bytes]:
    good = csv_bytes([(number, SECRET, number * number) for number in range(3000)])
    zipped = gzip.compress(good, mtime=0)
    corrupt = bytearray(zipped)
    corrupt[len(corrupt) // 2] ^= 0xFF
    return {
        "too few fields": ("t.csv", good + f"1,{SECRET}\n".encode()),
        "too many fields": ("t.csv", good + f"1,{SECRET},3,{SECRET}\n".encode()),
        "not UTF-8": ("t.csv", good + SECRET.encode() + b"\xff,2,3\n"),
        "open quotation mark": ("t.csv", good + f'1,2,"{SECRET}'.encode()),
        "not a whole number": ("t.csv", good + f"{SECRET},2,3\n".encode()),
        "half of a gzip file": ("t.csv.gz", zipped[: len(zipped) // 2]),
        "gzip file without its end": ("t.csv.gz", zipped[:-4]),
        "gzip file with a flipped bit": ("t.csv.gz", bytes(corrupt)),
        "not gzip": ("t.csv.gz", good),
        "empty": ("t.csv", b""),
        "too long a row": ("t.csv", good + f'1,"{SECRET}{"x" * 20_000}",3\n'.encode()),
    }[name]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("too few fields", "row 3002: expected 3 fields, found 2"),
        ("too many fields", "row 3002: expected 3 fields, found 4"),
        ("not UTF-8", "expected UTF-8 text"),
        ("open quotation mark", "quotation mark"),
        ("not a whole number", "column A: expected whole numbers"),
        ("half of a gzip file", "cannot be read to its end"),
        ("gzip file without its end", "cannot be read to its end"),
        ("gzip file with a flipped bit", "cut off or damaged"),
        ("not gzip", "cut off or damaged"),
        ("empty", "empty file"),
        ("too long a row", "longer than 8192 bytes"),
    ],
)
def test_broken_files_are_named_without_their_content(tmp_path, name, message):
    file_name, data = broken(name)
    path = tmp_path / file_name
    path.write_bytes(data)
    with pytest.raises(DataError) as caught:
        list(stream_table(path, {"A": INTEGER, "B": TEXT}, block_size=8192))
    assert message in str(caught.value)
    assert str(path) in str(caught.value)
    assert SECRET not in str(caught.value)
    assert caught.value.__context__ is None or caught.value.__suppress_context__


def test_a_missing_column_is_reported_before_any_row_is_read(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(csv_bytes([]))
    with pytest.raises(DataError, match=r"expected column TEXT, X; found A, B, C"):
        stream_table(path, ["A", "TEXT", "X"])


def test_a_table_without_rows(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(csv_bytes([]))
    frame = read_table(path, {"A": INTEGER, "B": TEXT})
    assert list(frame.columns) == ["A", "B"]
    assert frame.empty
    assert pa.Table.from_pandas(frame).num_rows == 0
