"""What other programs make of a table: the same value in another spelling counts as the same, or ends the job."""

import gzip

import pytest
from cohort_fixtures import CORRECTED, NOTE_SWITCHES, PAPER
from mimic_iv_tables import NOTES, write, write_notes
from tables_fixtures import write_csv

from clinical_peft.data.attrition import Attrition
from clinical_peft.data.note_extraction import extract_notes
from clinical_peft.data.note_files import import_notes
from clinical_peft.data.subgroups import build_subgroups
from clinical_peft.data.tables import FLAG, INTEGER, TIME, read_table, stream_table
from clinical_peft.errors import DataError
from clinical_peft.sources.mimic_iii.admission_notes import build_admission_notes
from clinical_peft.sources.mimic_iii.codes import code_table
from clinical_peft.sources.mimic_iv.codes import IcdCoding, code_groups

NOTEEVENTS = "ROW_ID,SUBJECT_ID,HADM_ID,CHARTDATE,CHARTTIME,CATEGORY,DESCRIPTION,ISERROR,TEXT"


# --- times ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("column", "value"), [("CHARTDATE", "01/31/2101"), ("CHARTTIME", "31.01.2101 07:00")])
def test_a_note_with_a_date_in_another_order_is_an_error(tmp_path, column, value):
    row = dict.fromkeys(NOTEEVENTS.split(","), "") | {"ROW_ID": 1, "SUBJECT_ID": 1, "CHARTDATE": "2101-01-31"}
    row["TEXT"] = "a"
    write_csv(tmp_path / "NOTEEVENTS.csv", NOTEEVENTS, [row.values()])
    assert extract_notes("mimic-iii", tmp_path / "n.parquet", mimic_iii=tmp_path, flattened=True)["written"] == 1
    write_csv(
        tmp_path / "NOTEEVENTS.csv", NOTEEVENTS, [(row | {"TEXT": "a"}).values(), (row | {column: value}).values()]
    )
    with pytest.raises(DataError, match=rf"column {column}, row 3: expected times as YYYY-MM-DD HH:MM:SS"):
        extract_notes("mimic-iii", tmp_path / "n.parquet", mimic_iii=tmp_path, flattened=True)


def test_a_date_in_another_order_is_an_error(hospital, tmp_path):
    hospital.notes[3][3] = "01/11/2150"
    with pytest.raises(DataError, match="column CHARTDATE, row 5: expected times"):
        build_admission_notes(hospital.write(), tmp_path / "a.parquet", **dict.fromkeys(NOTE_SWITCHES, False))


def test_a_note_of_mimic_iv_with_another_date_is_an_error(tmp_path):
    write_notes(tmp_path, [(1, 1, "DS", 1, "a")])
    rows = [["1-DS-1", 1, 1, "DS", 1, "1/31/2150 07:00", "", "a"]]
    for name in ("discharge", "radiology"):
        write(tmp_path, f"note/{name}", NOTES, rows)
    with pytest.raises(DataError, match="column charttime, row 2: expected times"):
        extract_notes("mimic-iv", tmp_path / "n.parquet", mimic_iv_note=tmp_path, flattened=True)


# --- codes ------------------------------------------------------------------------------------------------------------


def test_other_spellings_of_a_code_are_the_same_code(hospital):
    plain = code_table("diagnoses", hospital.write(), CORRECTED)
    for row in hospital.diagnoses:
        row[3] = f" {row[3][:3]}.{row[3][3:]}\t".lower()
    assert code_table("diagnoses", hospital.write(), CORRECTED).equals(plain)
    for row in hospital.procedures:
        row[3] = f"{row[3][:2]}.{row[3][2:]} "
    assert {*code_table("procedures", hospital.write(), CORRECTED)["code"]} == {"033", "331"}


@pytest.mark.parametrize(("task", "code"), [("diagnoses", "28800.0"), ("diagnoses", "40.1"), ("procedures", "331.0")])
def test_a_code_that_was_read_as_a_number_is_an_error(hospital, task, code):
    getattr(hospital, task)[3][3] = code
    folder = hospital.write()
    with pytest.raises(DataError, match=r"column ICD9_CODE, row 5: expected .* dot after the category") as caught:
        code_table(task, folder, CORRECTED)
    assert code not in str(caught.value)
    code_table(task, folder, PAPER)


def test_dots_in_codes_of_mimic_iv_make_no_other_group(tmp_path):
    header = "subject_id,hadm_id,seq_num,icd_code,icd_version"

    def groups(*codes):
        write(tmp_path, "diagnoses_icd", header, [[1, 1, place, *code] for place, code in enumerate(codes)])
        return list(code_groups(tmp_path, "diagnoses", IcdCoding(), CORRECTED, Attrition())["code"])

    assert groups(("428.0", 9), ("v10.9", 9), ("i50.9 ", 10)) == ["9:428", "9:V109", "10:I50"]
    with pytest.raises(DataError, match=r"column icd_code, row 3: expected .* dot after the category"):
        groups(("428.0", 9), ("28800.0", 9))


# --- missing values ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["NA", "NULL"])
def test_words_for_a_missing_value_are_missing(tmp_path, word):
    (tmp_path / "t.csv").write_text(f'ID,FLAG,AT,TEXT\n1,{word},{word},"{word}"\n{word},1,2150-01-01 00:00:00,NAME\n')
    table = read_table(tmp_path / "t.csv", {"ID": INTEGER, "FLAG": FLAG, "AT": TIME, "TEXT": "string"})
    assert table.isna().to_numpy().tolist() == [[False, True, True, True], [True, False, False, False]]


def test_a_text_that_is_a_word_for_a_missing_one_is_no_note(tmp_path):
    (tmp_path / "n.csv").write_text("note_id,text\n1,NA\n2,NAME\n")
    counts = import_notes(tmp_path / "n.csv", tmp_path / "n.parquet", id_column="note_id", text_column="text")
    assert (counts["empty_dropped"], counts["written"]) == (1, 1)


@pytest.mark.parametrize("name", ["n.csv", "n.jsonl"])
def test_a_blank_note_id_is_an_error(tmp_path, name):
    text = "note_id,text\n ,a\n" if name.endswith("csv") else '{"note_id": " ", "text": "a"}\n'
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match="expected a note id of its own in note_id, found none"):
        import_notes(tmp_path / name, tmp_path / "n.parquet", id_column="note_id", text_column="text")
    for table in ("discharge", "radiology"):
        write(tmp_path, f"note/{table}", NOTES, [[" ", 1, 1, "DS", 1, "", "", "a"]])
    with pytest.raises(DataError, match="row 2: expected a note_id in every row, found none"):
        extract_notes("mimic-iv", tmp_path / "n.parquet", mimic_iv_note=tmp_path, flattened=True)


# --- blanks -----------------------------------------------------------------------------------------------------------


def test_blanks_around_matched_words_do_not_count(hospital, tmp_path):
    hospital.admissions[1][4] = "NEWBORN "
    for note in hospital.notes:
        note[4:6] = f"{note[4]} ", " Report"
    steps = build_admission_notes(hospital.write(), tmp_path / "a.parquet", **dict.fromkeys(NOTE_SWITCHES, False))
    assert steps[-1]["rows"] == 39


def test_blanks_around_attributes_do_not_count(tmp_path):
    columns = "HADM_ID,SUBJECT_ID,ADMITTIME,INSURANCE,ADMISSION_TYPE,ETHNICITY"
    row = [1, 1, "2150-01-01 00:00:00", " Medicare ", "NA", "NULL"]
    write_csv(tmp_path / "ADMISSIONS.csv", columns, [row])
    assert build_subgroups("mimic-iii", tmp_path, tmp_path / "s.parquet") == 1


# --- files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("ID,TEXT\n1,é\n".encode("latin-1"), "row 2: expected UTF-8 text, found other bytes; .* save it as UTF-8"),
        ("ID,TÉXT\n1,a\n".encode("latin-1"), r"\(not UTF-8\); save the file as UTF-8"),
        ("ID,TEXT\n1,a\n".encode("utf-16"), r"\(UTF-16\); save the file as UTF-8"),
        ("ID,TEXT\n1,a\n".encode("utf-16-le"), r"\(UTF-16\); save the file as UTF-8"),
        (b"ID;TEXT\n1;a\n", "expected commas between columns, found semicolons"),
        (b"ID\tTEXT\n1\ta\n", "expected commas between columns, found tabs"),
        (gzip.compress(b"ID,TEXT\n1,a\n", mtime=0), r"\(gzip\); add \.gz to its name"),
    ],
)
def test_another_encoding_or_separator_is_named(tmp_path, content, message):
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        list(stream_table(path, ["ID", "TEXT"]))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_json_lines_in_another_encoding_are_named(tmp_path, encoding):
    (tmp_path / "n.jsonl").write_bytes('{"id": "é", "text": "a"}\n'.encode(encoding))
    with pytest.raises(DataError, match=r"line 1: expected UTF-8 text, found other bytes.*; save the file as UTF-8"):
        import_notes(tmp_path / "n.jsonl", tmp_path / "n.parquet", id_column="id", text_column="text")
