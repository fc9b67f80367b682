"""Bad tables: each kind of damage is a named error, no message quotes the file, and nothing is written.

The cases are those of the table in docs/data.md.
"""

import csv
import gzip
import io
import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from clinical_peft.data.note_extraction import extract_notes
from clinical_peft.data.note_files import import_notes
from clinical_peft.data.tables import INTEGER, TEXT, TIME, stream_table
from clinical_peft.errors import DataError

SECRET = "Mrs Smith"
BLOCK = 8192
COLUMNS = ("note_id", "subject_id", "hadm_id", "note_type", "note_seq", "charttime", "storetime", "text")
ROWS = 1000
LAST = ROWS + 1  # the header is row 1
NUMBERED = [
    (f"{number}-DS-1", number, number, "DS", 1, "", "", f"{SECRET} {number * number}") for number in range(ROWS)
]


def table(rows=NUMBERED, columns=COLUMNS) -> bytes:
    handle = io.StringIO(newline="")
    csv.writer(handle, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n").writerows([columns, *rows])
    return handle.getvalue().encode()


GOOD = table()
ZIPPED = gzip.compress(GOOD, mtime=0)


def flipped(data: bytes) -> bytes:
    damaged = bytearray(data)
    damaged[len(damaged) // 2] ^= 0xFF
    return bytes(damaged)


def row(*fields: str) -> bytes:
    return GOOD + ",".join(fields).encode() + b"\n"


GOOD_ROW = ("1000-DS-1", "7", "7", "DS", "1", "", "", SECRET)
# name of the case: file name, content, what the message says
CASES: dict[str, tuple[str, bytes, str]] = {
    "half of a gzip file": ("csv.gz", ZIPPED[: len(ZIPPED) // 2], r"cannot be read beyond byte \d+ of .* \(EOFError\)"),
    "gzip file without its checksum": ("csv.gz", ZIPPED[:-4], "cannot be read beyond byte"),
    "gzip file with a flipped bit": ("csv.gz", flipped(ZIPPED), "cut off or damaged"),
    "gzip file with a block of no kind": ("csv.gz", ZIPPED[:600] + b"\xff" * 8 + ZIPPED[608:], "cut off or damaged"),
    "gzip file whose first block is of no kind": ("csv.gz", ZIPPED[:10] + b"\xff" * 8, "header cannot be read"),
    "gzip file with bytes after its end": ("csv.gz", ZIPPED + b"more", "cannot be read beyond byte"),
    "plain text named gzip": ("csv.gz", GOOD, r"header cannot be read \(BadGzipFile\)"),
    "gzip named plain text": ("csv", ZIPPED, r"header cannot be read \(gzip\)"),
    "UTF-16": ("csv", GOOD.decode().encode("utf-16"), r"header cannot be read \(UTF-16\)"),
    "no bytes": ("csv", b"", "expected a header line, found an empty file"),
    "no bytes, gzipped": ("csv.gz", gzip.compress(b""), "expected a header line, found an empty file"),
    "header alone": ("csv", table([]), "expected notes, found only a header"),
    "no header": ("csv", GOOD.partition(b"\n")[2], "expected column .*; found a first row of 8 fields that does not"),
    "missing column": (
        "csv",
        GOOD.replace(b"charttime", b"storedate", 1),
        "expected column charttime; found note_id, ",
    ),
    "renamed column": ("csv", GOOD.replace(b"text", b"note_text", 1), "expected column text; .*note_text; .*rename"),
    "column twice": ("csv", GOOD.replace(b"storetime", b"TEXT", 1), "expected one column text, found several"),
    "NUL byte": ("csv", row(*GOOD_ROW[:-1], "a\0b"), rf"NUL byte at byte {len(GOOD) + 22} of the uncompressed"),
    "NUL byte, gzipped": ("csv.gz", gzip.compress(row(*GOOD_ROW[:-1], "a\0b")), f"NUL byte at byte {len(GOOD) + 22} "),
    "invalid UTF-8": ("csv", GOOD + b"x,7,7,DS,1,,,\xff\n", f"row {LAST + 1}: expected UTF-8 text"),
    "too few fields": ("csv", row(*GOOD_ROW[:-1]), f"row {LAST + 1}: expected 8 fields, found 7"),
    "too many fields": ("csv", row(*GOOD_ROW, SECRET), f"row {LAST + 1}: expected 8 fields, found 9"),
    "unescaped quotation mark": ("csv", row(*GOOD_ROW[:-1], f'"{SECRET}'), f"row {LAST + 1}: unbalanced quotation"),
    "quotation mark inside a field": (
        "csv",
        GOOD + f"x,7,7,DS,1,,,{SECRET} 6' 5\" tall\n".encode() + GOOD.partition(b"\n")[2],
        rf"quotation marks around a whole field, .* found one elsewhere at byte {len(GOOD) + 27} of the uncompressed",
    ),
    "two of them, which enclose rows": (
        "csv",
        GOOD + f'x,7,7,DS,1,,,5" tall\ny,7,7,DS,1,,,{SECRET}\nz,7,7,DS,1,,,6" tall\n'.encode(),
        rf"found one elsewhere at byte {len(GOOD) + 14} ",
    ),
    "text after a quoted field": (
        "csv.gz",
        gzip.compress(GOOD + f'x,7,7,DS,1,,,"{SECRET}" more\n'.encode()),
        rf"found one elsewhere at byte {len(GOOD) + 14 + len(SECRET)} ",
    ),
    "longer than a block": (
        "csv",
        row(*GOOD_ROW[:-1], "x" * 3 * BLOCK),
        rf"after row \d+: .* longer than {BLOCK} bytes",
    ),
    "not a whole number": (
        "csv",
        row("x", SECRET, *GOOD_ROW[2:]),
        f"column subject_id, row {LAST + 1}: expected whole",
    ),
    "no patient": ("csv", row("x", "", *GOOD_ROW[2:]), f"row {LAST + 1}: expected a subject_id"),
    "no note id": ("csv", row("", *GOOD_ROW[1:]), f"row {LAST + 1}: expected a note_id"),
}


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Let the damage lie some blocks behind the beginning."""
    monkeypatch.setattr("clinical_peft.data.tables.BLOCK_SIZE", BLOCK)
    monkeypatch.setattr(stream_table, "__kwdefaults__", stream_table.__kwdefaults__ | {"block_size": BLOCK})


@pytest.mark.parametrize("flattened", [True, False])
@pytest.mark.parametrize("name", CASES)
def test_a_bad_table_is_one_error_and_writes_nothing(tmp_path, name, flattened):
    suffix, data, message = CASES[name]
    folder, output = tmp_path / "tables", tmp_path / "notes" / "mimic-iv.parquet"
    folder.mkdir()
    path = folder / f"radiology.{suffix}"
    path.write_bytes(data)
    (folder / "discharge.csv").write_bytes(table(NUMBERED[:50]))
    with pytest.raises(DataError, match=message) as caught:
        extract_notes("mimic-iv", output, mimic_iv_note=folder, mimic_iii=None, flattened=flattened)
    assert str(path) in str(caught.value)
    assert SECRET not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert not output.parent.exists() or list(output.parent.iterdir()) == []


@pytest.mark.parametrize("name", ["half of a gzip file", "NUL byte", "invalid UTF-8", "too many fields"])
def test_an_earlier_corpus_stays_when_a_table_turns_bad(tmp_path, name):
    suffix, data, _ = CASES[name]
    output = tmp_path / "notes.parquet"
    for table_name in ("discharge", "radiology"):
        (tmp_path / f"{table_name}.csv").write_bytes(GOOD)
    extract_notes("mimic-iv", output, mimic_iv_note=tmp_path, mimic_iii=None, flattened=True)
    before = output.read_bytes()
    (tmp_path / "radiology.csv").unlink()
    (tmp_path / f"radiology.{suffix}").write_bytes(data)
    with pytest.raises(DataError):
        extract_notes("mimic-iv", output, mimic_iv_note=tmp_path, mimic_iii=None, flattened=True)
    assert output.read_bytes() == before


@pytest.mark.parametrize("name", [name for name in CASES if name not in ("header alone", "no patient", "no note id")])
def test_an_imported_file_is_held_to_the_same(tmp_path, name):
    suffix, data, message = CASES[name]
    path = tmp_path / f"notes.{suffix}"
    path.write_bytes(data)
    columns = {"id_column": "note_id", "text_column": "text", "subject_column": "subject_id"}
    message = message.replace("charttime", "subject_id")
    if name == "missing column":
        path.write_bytes(GOOD.replace(b"subject_id", b"patient", 1))
    elif name == "not a whole number":
        message = f"row {LAST + 1}: expected a whole number in subject_id .* found another string"
    with pytest.raises(DataError, match=message) as caught:
        import_notes(path, tmp_path / "out" / "n.parquet", **columns)
    assert SECRET not in str(caught.value)
    assert not (tmp_path / "out").exists() or list((tmp_path / "out").iterdir()) == []


def test_unusual_text_is_kept_as_it_is(tmp_path):
    texts = ["a\nb", "a\r\nb", "a\rb", "a\u2028b", 'say ""no""', 'he said "no", then left', "naïve 𝄞"]
    rows = [(f"{number}-DS-1", number, "", "DS", 1, "", "", text) for number, text in enumerate(texts)]
    (tmp_path / "discharge.csv").write_bytes(table(rows))
    found = [row for batch in stream_table(tmp_path / "discharge.csv", ["text"]) for row in batch["text"].to_pylist()]
    assert found == texts


def test_the_first_of_several_misfits_is_named(tmp_path):
    path = tmp_path / "t.csv"
    lines = [f"{number},2150-01-01 00:00:00" for number in range(500)]
    lines[300] = lines[301] = f"{SECRET},2150-01-01 00:00:00"
    lines[450] = "450,01/02/2150"
    path.write_text("\n".join(["A,B", *lines]) + "\n")
    for kinds, expected in (
        ({"A": INTEGER}, "column A, row 302: expected whole numbers"),
        ({"A": TEXT, "B": TIME}, "column B, row 452: expected times as YYYY-MM-DD HH:MM:SS"),
    ):
        with pytest.raises(DataError, match=re.escape(expected)):
            list(stream_table(path, kinds, block_size=1024))


def test_a_missing_column_is_reported_before_any_row_is_read(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(b"A,B,C\n")
    with pytest.raises(DataError, match=r"expected column TEXT, X; found A and 2 columns of other names"):
        stream_table(path, ["A", "TEXT", "X"])


def test_notes_without_any_text_are_an_error(tmp_path):
    for name in ("discharge", "radiology"):
        (tmp_path / f"{name}.csv").write_bytes(table([("1-DS-1", 1, "", "DS", 1, "", "", "")]))
    with pytest.raises(DataError, match="no note is left of 2 rows read"):
        extract_notes("mimic-iv", tmp_path / "n.parquet", mimic_iv_note=tmp_path, mimic_iii=None, flattened=True)
    assert not (tmp_path / "n.parquet").exists()


def test_damage_in_an_unread_column_does_not_matter(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"A,B\n1,\xff\n")
    assert next(stream_table(tmp_path / "t.csv", ["A"])).to_pylist() == [{"A": "1"}]


def extracted(folder: Path, rows, *, flattened: bool) -> tuple[dict[str, int], list[str]]:
    for name, content in (("discharge", rows), ("radiology", NUMBERED[:1])):
        (folder / f"{name}.csv").write_bytes(table(content))
    output = folder / "n.parquet"
    counts = extract_notes("mimic-iv", output, mimic_iv_note=folder, mimic_iii=None, flattened=flattened)
    return counts, pq.read_table(output)["note_id"].to_pylist()


@pytest.mark.parametrize(("flattened", "kept"), [(False, 300), (True, 302)])
def test_a_row_that_is_there_twice_is_counted(tmp_path, flattened, kept):
    """The original keeps it; so does its protocol. Some batches lie between the two."""
    rows = [*NUMBERED[:300], NUMBERED[7]]
    counts, note_ids = extracted(tmp_path, rows, flattened=flattened)
    assert counts["ids_repeated"] == 1
    assert counts["duplicates_dropped"] == (0 if flattened else 2)  # also of the one note of the other table
    assert len(note_ids) == counts["written"] == kept


def test_one_id_for_two_texts_is_an_error(tmp_path):
    rows = [*NUMBERED[:300], (*NUMBERED[7][:-1], f"{SECRET} again"), *NUMBERED[300:400]]
    with pytest.raises(
        DataError, match=r"discharge\.csv: row 302: expected a note id of its own, found that of"
    ) as caught:
        extracted(tmp_path, rows, flattened=False)
    assert SECRET not in str(caught.value)
    assert not (tmp_path / "n.parquet").exists()
    counts, note_ids = extracted(tmp_path, rows, flattened=True)
    assert (counts["ids_repeated"], note_ids.count(NUMBERED[7][0])) == (1, 2)


def test_an_empty_row_with_the_id_of_a_note_is_dropped(tmp_path):
    rows = [*NUMBERED[1:9], (*NUMBERED[7][:-1], "")]
    counts, note_ids = extracted(tmp_path, rows, flattened=False)
    assert (counts["ids_repeated"], note_ids.count(NUMBERED[7][0])) == (1, 1)


@pytest.mark.parametrize(
    ("suffix", "end", "warned"),
    [
        ("csv", "text", True),
        ("csv", "", True),
        ("csv", '"text"', False),
        ("csv", "text\r\n", False),
        ("csv.gz", "text", False),
    ],
)
def test_a_last_field_that_may_be_cut_off_is_a_warning(tmp_path, caplog, suffix, end, warned):
    path = tmp_path / f"t.{suffix}"
    data = f"A,B\n1,a\n2,{end}".encode()
    path.write_bytes(gzip.compress(data) if suffix == "csv.gz" else data)
    assert [batch.num_rows for batch in stream_table(path, ["A", "B"])] == [2]
    expected = (
        f"{path}: row 3, the last, has no line end: right where a program leaves it out, else the file is cut off"
    )
    assert [record.getMessage().startswith(expected) for record in caplog.records] == [True] * warned


def test_a_good_table_is_read_whole(tmp_path):
    """The cases above fail for their damage, not for the rows around it."""
    for name in ("discharge", "radiology"):
        Path(tmp_path / f"{name}.csv.gz").write_bytes(ZIPPED)
    counts = extract_notes("mimic-iv", tmp_path / "n.parquet", mimic_iv_note=tmp_path, mimic_iii=None, flattened=True)
    assert counts["written"] == pq.read_metadata(tmp_path / "n.parquet").num_rows == 2 * ROWS
