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
ROWS = st.lists(st.tuples(AWKWARD, AWKWARD, AWKWARD), max_size=40)
ANY_CASE = st.lists(st.booleans(), min_size=7, max_size=7).map(
    lambda upper: "".join(letter.upper() if up else letter for letter, up in zip("note_id", upper, strict=True))
)


def csv_bytes(rows, header=("A", "B", "C"), **dialect) -> bytes:
    handle = io.StringIO(newline="")
    csv.writer(handle, **dialect).writerows([header, *rows])
    return handle.getvalue().encode()


@settings(deadline=None, max_examples=300)
@given(
    rows=ROWS,
    header=ANY_CASE,
    zipped=st.booleans(),
    # With "\n" and QUOTE_MINIMAL the writer leaves a field with a bare CR unquoted, which RFC 4180 forbids.
    dialect=st.sampled_from([(csv.QUOTE_MINIMAL, "\r\n"), (csv.QUOTE_ALL, "\r\n"), (csv.QUOTE_ALL, "\n")]),
    last_line_ends=st.booleans(),
    block_size=st.integers(160, 1_000),  # no row is longer than 160 bytes
)
def test_any_text_survives_as_the_csv_module_reads_it(
    tmp_path_factory, rows, header, zipped, dialect, last_line_ends, block_size
):
    path = tmp_path_factory.mktemp("csv") / ("t.csv.gz" if zipped else "t.csv")
    quoting, line_end = dialect
    data = csv_bytes(rows, (header, "B", "Text"), quoting=quoting, lineterminator=line_end)
    data = data if last_line_ends or not rows else data.removesuffix(line_end.encode())
    path.write_bytes(gzip.compress(data) if zipped else data)
    expected = list(csv.DictReader(io.StringIO(data.decode(), newline="")))
    batches = stream_table(path, ["TEXT", "note_id"], block_size=block_size)
    found = [row for batch in batches for row in batch.to_pylist()]
    assert found == [{"TEXT": row["Text"] or None, "note_id": row[header] or None} for row in expected]


def test_rows_arrive_in_several_batches(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(csv_bytes([(number, "x" * 50, "") for number in range(2000)]))
    batches = list(stream_table(path, {"A": INTEGER, "C": TEXT}, block_size=4096))
    assert len(batches) > 10
    assert [value for batch in batches for value in batch["A"].to_pylist()] == list(range(2000))


def test_batches_depend_on_text_and_not_on_compression(tmp_path):
    data = csv_bytes([(number, "line\n" * (number % 30), "") for number in range(2000)])
    (tmp_path / "t.csv").write_bytes(data)
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(data))
    plain, zipped = (
        [batch.num_rows for batch in stream_table(tmp_path / name, ["B"], block_size=4096)]
        for name in ("t.csv", "t.csv.gz")
    )
    assert plain == zipped
    assert len(plain) > 10


def test_fields_may_break_lines_at_the_end_of_a_block(tmp_path):
    path = tmp_path / "t.csv"
    texts = ["\n".join(["line, of text"] * (number % 40 + 1)) for number in range(300)]
    path.write_bytes(csv_bytes([(number, text, "") for number, text in enumerate(texts)]))
    found = [text for batch in stream_table(path, ["B"], block_size=2048) for text in batch["B"].to_pylist()]
    assert found == texts


@pytest.mark.parametrize("block_size", range(60, 100))
def test_a_crlf_inside_a_field_survives_the_border_of_a_block(tmp_path, block_size):
    path = tmp_path / "t.csv"
    texts = ["a\r\nb\r\n\r\nc\r", "\r\r\n", "d\r"]
    path.write_bytes(csv_bytes([(text, "x", "") for text in texts * 10], quoting=csv.QUOTE_ALL))
    found = [text for batch in stream_table(path, ["A"], block_size=block_size) for text in batch["A"].to_pylist()]
    assert found == texts * 10


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


@pytest.mark.parametrize("folder", ["", "hosp"])
@pytest.mark.parametrize("name", ["ADMISSIONS.csv.gz", "admissions.csv"])
def test_a_table_that_is_there_twice_is_an_error(tmp_path, folder, name):
    """A file that was unpacked in part would otherwise stand for the whole one."""
    (tmp_path / folder).mkdir(exist_ok=True)
    for file in ("ADMISSIONS.csv", name):
        (tmp_path / folder / file).write_bytes(b"")
    for find in (find_table, locate_table):
        with pytest.raises(
            DataError, match=rf"expected the table ADMISSIONS in one file, found .*{name}.* all but one"
        ):
            find(tmp_path, "ADMISSIONS")


def test_a_table_without_rows(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(csv_bytes([]))
    frame = read_table(path, {"A": INTEGER, "B": TEXT})
    assert list(frame.columns) == ["A", "B"]
    assert frame.empty
    assert pa.Table.from_pandas(frame).num_rows == 0
