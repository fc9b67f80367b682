"""A user's own file of notes: what is no text, no id or no line is an error with its line."""

import gzip
import json

import pyarrow.parquet as pq
import pytest

from clinical_peft.data.note_files import import_notes
from clinical_peft.errors import DataError

COLUMNS = {"id_column": "id", "text_column": "text", "subject_column": "patient"}
GOOD = '{"id": "a", "text": "Fine.", "patient": 1}'


def imported(tmp_path, lines, *, columns=COLUMNS, name="notes.jsonl"):
    source, output = tmp_path / name, tmp_path / "out" / "n.parquet"
    data = "\n".join(lines).encode() + b"\n" if isinstance(lines, list) else lines
    source.write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    counts = import_notes(source, output, **columns)
    return counts, pq.read_table(output).to_pylist()


def line(**values) -> str:
    return json.dumps({"id": "b", "text": "Smith was seen.", "patient": 2} | values)


OTHERS = {
    "a list": ["Smith", "b"],
    "an object": {"Smith": "b"},
    "another number": 7.5,
    "a boolean": True,
}


@pytest.mark.parametrize(("kind", "value"), [*OTHERS.items(), ("null", None), ("another number", 7)])
def test_only_a_string_is_a_text(tmp_path, kind, value):
    with pytest.raises(DataError, match=rf"jsonl: line 2: expected a string in text, found {kind};") as caught:
        imported(tmp_path, [GOOD, line(text=value)])
    assert "Smith" not in str(caught.value)
    assert not list((tmp_path / "out").glob("*"))


@pytest.mark.parametrize(
    ("kind", "value"),
    [*OTHERS.items(), ("another number", 2**63), ("another number", 1e17), ("another number", 10**80)],
)
def test_other_note_ids_are_errors(tmp_path, kind, value):
    with pytest.raises(DataError, match=rf"line 2: expected a string or a whole number .* in id, found {kind};"):
        imported(tmp_path, [GOOD, line(id=value)])


@pytest.mark.parametrize(
    ("kind", "value"),
    [*OTHERS.items(), ("null", None), ("another number", 2**63), ("another number", -(2**63) - 1)]
    + [("another string", text) for text in ("Smith", "1e3", "0x1F", "1_000", "٣", "")],
)
def test_other_patient_ids_are_errors(tmp_path, kind, value):
    for text in ("Seen.", ""):  # of a note that is dropped, too
        with pytest.raises(DataError, match=rf"line 2: expected a whole number in patient .*, found {kind};") as caught:
            imported(tmp_path, [GOOD, line(patient=value, text=text)])
        assert "Smith" not in str(caught.value)


@pytest.mark.parametrize("patient", [7, 7.0, "7", "7.0", " 7 ", "+7", "07.00"])
def test_patient_ids_in_any_spelling(tmp_path, patient):
    _, rows = imported(tmp_path, [GOOD, line(patient=patient)])
    assert [row["subject_id"] for row in rows] == [1, 7]


def test_ids_of_csv_files_in_any_spelling(tmp_path):
    data = 'id,text,patient\na,x,"7.0"\nb,y, 8\nc,,9\n'
    counts, rows = imported(tmp_path, data.encode(), name="notes.csv")
    assert [(row["note_id"], row["subject_id"]) for row in rows] == [("a", 7), ("b", 8)]
    assert counts["empty_dropped"] == 1


def test_one_id_as_a_number_and_as_a_string_is_a_repeated_one(tmp_path):
    for second in (7, 7.0, "7"):
        with pytest.raises(DataError, match="line 2: expected a note id of its own in id"):
            imported(tmp_path, [line(id="7"), line(id=second, text="Another.")])


@pytest.mark.parametrize("key", ["id", "text", "patient"])
def test_a_key_that_is_there_twice_is_an_error(tmp_path, key):
    twice = f'{{"{key}": "Smith", {line()[1:]}'
    with pytest.raises(DataError, match=f"line 2: expected one key {key}, found several") as caught:
        imported(tmp_path, [GOOD, twice])
    assert "Smith" not in str(caught.value)
    other = f'{{"more": 1, "more": {{"text": 1, "text": 2}}, {line()[1:]}'
    assert imported(tmp_path, [GOOD, other])[0]["written"] == 2


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (r"\ud83d Smith", "one half of a surrogate pair"),
        (r"Smith \udc00", "one half of a surrogate pair"),
        (r"Smith \u0000", "a NUL character"),
    ],
)
@pytest.mark.parametrize("key", ["id", "text"])
def test_text_that_is_no_text_is_an_error(tmp_path, text, found, key):
    bad = line(**{key: "HERE"}).replace("HERE", text)
    with pytest.raises(DataError, match=f"line 2: key {key}: expected text, found {found}") as caught:
        imported(tmp_path, [GOOD, bad])
    assert "Smith" not in str(caught.value)
    assert not list((tmp_path / "out").glob("*"))


def test_a_whole_surrogate_pair_is_a_character(tmp_path):
    _, rows = imported(tmp_path, [line(text="HERE").replace("HERE", r"\ud834\udd1e")])
    assert rows[0]["text"] == "𝄞"


@pytest.mark.parametrize(
    "bad",
    [
        b'{"id": "b", "text": "\xed\xa0\x80", "patient": 1}',  # an encoded surrogate
        b'{"id": "b", "text": "\xff", "patient": 1}',
        '{"id": "b", "text": "Smith", "patient": 1}'.encode("utf-16"),
        b"[" * 100_000,
        b'{"id": ' + b"9" * 5_000 + b', "text": "Smith", "patient": 1}',
    ],
)
def test_a_line_that_is_no_json_in_utf8_is_an_error(tmp_path, bad):
    with pytest.raises(DataError, match=r"line 2: expected (a JSON object|UTF-8 text)") as caught:
        imported(tmp_path, GOOD.encode() + b"\n" + bad + b"\n")
    assert "Smith" not in str(caught.value)


def test_a_byte_order_mark_and_blank_lines_are_passed_over(tmp_path):
    counts, _ = imported(tmp_path, b"\xef\xbb\xbf" + GOOD.encode() + b"\r\n\n  \n" + line().encode())
    assert counts["written"] == 2


@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: data[:40] + b"\0\0" + data[42:]])
def test_a_damaged_archive_is_an_error(tmp_path, damage):
    source = tmp_path / "notes.jsonl.gz"
    data = "".join(line(id=number, text=f"Note {number * number}") + "\n" for number in range(500))
    source.write_bytes(damage(gzip.compress(data.encode(), mtime=0)))
    with pytest.raises(DataError, match=r"notes\.jsonl\.gz"):
        import_notes(source, tmp_path / "out" / "n.parquet", **COLUMNS)
    assert not list((tmp_path / "out").glob("*"))
