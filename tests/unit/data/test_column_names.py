"""Messages about columns and keys: known names alone are printed, whatever the others look like."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from clinical_peft.data.column_names import KNOWN, describe_names, known_names
from clinical_peft.data.column_roles import ROLES
from clinical_peft.data.held_out import open_parquet
from clinical_peft.data.note_files import import_notes
from clinical_peft.data.splits import read_split_lists
from clinical_peft.data.tables import read_table
from clinical_peft.errors import DataError
from clinical_peft.synthetic.tables import MIMIC_III_COLUMNS, MIMIC_IV_COLUMNS, MIMIC_IV_TABLES

WORDS = ["Smith", "pneumonia", "F", "Boston", "text"]  # the last of them is a known name


def test_known_names_are_printed_and_others_counted():
    assert describe_names(["note_id", " Text ", "Smith"], []) == "note_id, Text and 1 column of other names"
    assert describe_names(["note_id"], []) == "note_id"
    assert describe_names(["Smith", "Jones"], [], "keys") == "2 keys of other names"
    assert describe_names(["Befund", "Smith"], ["BEFUND"]) == "Befund and 1 column of other names"
    assert known_names(WORDS) == ["text"]


def test_columns_of_the_releases_are_known():
    for columns in (*MIMIC_III_COLUMNS.values(), *MIMIC_IV_TABLES.values(), MIMIC_IV_COLUMNS):
        assert {name.lower() for name in columns} <= KNOWN
    assert all(name == name.lower() for name in KNOWN)


def test_names_that_say_what_a_column_is_for_are_known():
    names = [name for role in ROLES.values() for name in role]
    assert {*names} <= KNOWN
    assert len(names) == len({*names})
    assert list(ROLES) == ["id", "text", "patient", "time", "site", "label"]


def leaks(message: str) -> list[str]:
    return [word for word in WORDS[:4] if word in message]


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_a_first_row_of_single_words_is_not_printed(tmp_path, suffix):
    source = tmp_path / f"notes.{suffix}"
    rows = [dict.fromkeys(WORDS, "x")] * 2
    source.write_text(",".join(WORDS) + "\na,b,c,d,e\n" if suffix == "csv" else "\n".join(map(json.dumps, rows)))
    columns = {"id_column": "befund_nr", "text_column": "text", "subject_column": "Patient"}
    with pytest.raises(DataError, match=r"befund_nr, Patient; found text and 4 (columns|keys) of other") as caught:
        import_notes(source, tmp_path / "n.parquet", **columns)
    assert not leaks(str(caught.value))


def test_a_table_without_a_header_prints_the_number_of_fields(tmp_path):
    (tmp_path / "t.csv").write_text("Smith,pneumonia,Boston\n1,2,3\n")
    with pytest.raises(DataError, match="a first row of 3 fields that does not hold any known name") as caught:
        read_table(tmp_path / "t.csv", ["HADM_ID"])
    assert not leaks(str(caught.value))


def test_a_split_list_without_a_header(tmp_path):
    (tmp_path / "mimic_train.csv").write_text("Smith\nJones\n")
    with pytest.raises(DataError, match="expected column SUBJECT_ID; found a first row of 1 fields") as caught:
        read_split_lists(tmp_path)
    assert not leaks(str(caught.value))


def test_a_parquet_file_of_other_columns(tmp_path):
    pq.write_table(pa.table({name: [1] for name in WORDS}), tmp_path / "t.parquet")
    with pytest.raises(DataError, match="expected column split; found text and 4 columns of other names") as caught:
        open_parquet(tmp_path / "t.parquet", ["text", "split"])
    assert not leaks(str(caught.value))


@pytest.mark.parametrize(
    "header", ["\ufeffnote_id,text", " note_id , text ", "NOTE_ID,Text", '"note_id","text"', "\ufeffNote_Id ,TEXT\t"]
)
def test_headers_that_spell_the_same_names(tmp_path, header):
    (tmp_path / "t.csv").write_text(f"{header}\na,b\n", encoding="utf-8")
    assert read_table(tmp_path / "t.csv", ["note_id", "text"]).to_dict("list") == {"note_id": ["a"], "text": ["b"]}


@pytest.mark.parametrize("header", ["note_id,text,text", "note_id,text, TEXT "])
def test_a_column_named_twice_is_an_error(tmp_path, header):
    (tmp_path / "t.csv").write_text(f"{header}\na,b,c\n", encoding="utf-8")
    with pytest.raises(DataError, match="expected one column text, found several in the header"):
        read_table(tmp_path / "t.csv", ["note_id", "text"])
