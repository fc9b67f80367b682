"""Ids and flags: every integral spelling is the same number, anything else an error that names its place."""

import csv

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cohort_fixtures import CORRECTED, PAPER, Hospital, build
from hypothesis import given
from hypothesis import strategies as st
from mimic_iv_tables import stamp, write, write_chart, write_notes
from tables_fixtures import write_csv

from clinical_peft.data.attrition import Attrition
from clinical_peft.data.labelling import label_table
from clinical_peft.data.note_extraction import extract_notes
from clinical_peft.data.splits import read_split_lists
from clinical_peft.data.tables import FLAG, INTEGER, read_table
from clinical_peft.data.whole_numbers import GREATEST, LEAST, flags, whole_number, whole_numbers
from clinical_peft.errors import DataError
from clinical_peft.sources.mimic_iii.outcomes import MimicIII
from clinical_peft.sources.mimic_iii.ventilation import find_episodes
from clinical_peft.sources.mimic_iv.admission_notes import build_admission_notes
from clinical_peft.sources.mimic_iv.codes import IcdCoding, code_groups
from clinical_peft.sources.mimic_iv.outcomes import MimicIV
from clinical_peft.sources.mimic_iv.ventilation import find_periods

SPELLINGS = ("{}", "{}.0", "{}.00", "{}.", " {}", "{}\t", "0{}", " {}.000 ")
NUMBERS = st.integers(0, 10**12)
MISSPELT = (
    *("", " ", "x", "1.5", "1e0", "1E3", "0x1F", "1_000", "1,000", "٣", "１", "nan", "True", "1 2", "--1", "+-1"),
    *("1..0", ".0", "\n1", "1\u00a0", str(GREATEST + 1), str(LEAST - 1), "9" * 5000),
)


@given(NUMBERS, st.sampled_from(SPELLINGS), st.sampled_from(["", "-"]))
def test_every_integral_spelling_is_the_number(number, spelling, sign):
    text = spelling.format(number)
    if sign and not text.startswith((" ", "0")):
        text, number = sign + text, -number
    assert whole_number(text) == number
    assert whole_numbers(pa.array([text, None])).to_pylist() == [number, None]


@given(st.text(max_size=6) | st.sampled_from(MISSPELT))
def test_a_value_and_a_column_are_read_alike(text):
    try:
        column = whole_numbers(pa.array([text])).to_pylist()[0]
    except pa.ArrowInvalid:
        column = None
    assert column == whole_number(text)


@pytest.mark.parametrize("text", MISSPELT)
def test_other_texts_are_no_whole_number(text):
    assert whole_number(text) is None
    with pytest.raises(pa.ArrowInvalid):
        whole_numbers(pa.array(["1", text]))


@pytest.mark.parametrize(
    ("value", "number"),
    [(7, 7), (7.0, 7), (-0.0, 0), (GREATEST, GREATEST), (LEAST, LEAST), ("+5", 5)]
    + [(value, None) for value in (True, False, None, 7.5, 2.0**53, float("inf"), float("nan"), 2**63, [1], b"1")],
)
def test_numbers_that_json_or_a_pickle_hold(value, number):
    assert whole_number(value) == number


def test_the_ends_of_64_bits():
    assert whole_numbers(pa.array([str(GREATEST), f"{LEAST}.0"])).to_pylist() == [GREATEST, LEAST]


def test_flags_are_0_or_1():
    assert flags(pa.array(["1.0", " 0", None, "1"])).to_pylist() == [True, False, None, True]
    assert flags(pa.array([], pa.string())).to_pylist() == flags(pa.array([None], pa.string())).to_pylist()[1:]
    for text in ("2", "-1", "2.0", "true", "yes"):
        with pytest.raises(pa.ArrowInvalid):
            flags(pa.array(["1", text]))


@pytest.mark.parametrize(("kind", "expected"), [(INTEGER, "whole numbers"), (FLAG, "0 or 1")])
@pytest.mark.parametrize("value", ["Smith", "0x1F", "1e5", "1.5"])
def test_a_misspelt_number_is_named_by_file_row_and_column(tmp_path, kind, expected, value):
    write_csv(tmp_path / "t.csv", "A,B", [["x", 1]] * 5 + [["y", value]] + [["z", 0]] * 5)
    with pytest.raises(DataError, match=rf"t\.csv: column B, row 7: expected {expected}, found another") as caught:
        read_table(tmp_path / "t.csv", {"B": kind})
    assert value not in str(caught.value)


def respelt(path, columns, spelling="{}.0"):
    """Write a table again as a program that took these columns for floats."""
    with path.open(newline="", encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    for row in rows:
        row |= {name: spelling.format(row[name]) for name in columns if row[name]}
    write_csv(path, ",".join(rows[0]), [list(row.values()) for row in rows])


IDS = ["SUBJECT_ID", "HADM_ID"]


@pytest.fixture
def hospital(tmp_path):
    made = Hospital(tmp_path / "mimic-iii")
    folder = made.write()
    with (folder / "NOTEEVENTS.csv").open(newline="", encoding="utf-8") as handle:
        notes = list(csv.DictReader(handle))
    for row in notes[:3]:
        row["ISERROR"] = "1"
    write_csv(folder / "NOTEEVENTS.csv", ",".join(notes[0]), [list(row.values()) for row in notes])
    return folder


@pytest.mark.parametrize("spelling", ["{}.0", " {}", "{}.00", "0{}"])
@pytest.mark.parametrize("switches", [PAPER, CORRECTED], ids=["paper", "corrected"])
@pytest.mark.parametrize("task", ["mortality", "diagnoses"])
def test_cohorts_are_the_same_by_any_spelling(hospital, tmp_path, task, switches, spelling):
    before = build(task, hospital, tmp_path / "before", switches)
    respelt(hospital / "NOTEEVENTS.csv", [*IDS, "ISERROR", "ROW_ID"], spelling)
    respelt(hospital / "ADMISSIONS.csv", [*IDS, "HOSPITAL_EXPIRE_FLAG"], spelling)
    for name in ("DIAGNOSES_ICD", "PROCEDURES_ICD"):
        respelt(hospital / f"{name}.csv", [*IDS, "SEQ_NUM"], spelling)
    assert build(task, hospital, tmp_path / "after", switches) == before


@pytest.mark.parametrize("spelling", ["{}.0", " {}"])
def test_a_corpus_is_the_same_by_any_spelling(hospital, tmp_path, spelling):
    path = hospital / "NOTEEVENTS.csv"
    respelt(path, ["CHARTDATE"], "{}")
    with path.open(newline="", encoding="utf-8") as handle:
        rows = [row | {"CHARTTIME": ""} for row in csv.DictReader(handle)]
    write_csv(path, ",".join(rows[0]), [list(row.values()) for row in rows])
    output = [tmp_path / f"{number}.parquet" for number in range(2)]
    folders = {"mimic_iv_note": None, "mimic_iii": hospital, "flattened": False}
    before = extract_notes("mimic-iii", output[0], **folders)
    assert before["marked_as_error_dropped"] == 3
    respelt(path, [*IDS, "ROW_ID", "ISERROR"], spelling)
    assert extract_notes("mimic-iii", output[1], **folders) == before
    assert pq.read_table(output[0]).equals(pq.read_table(output[1]))


@pytest.mark.parametrize("switches", [PAPER, CORRECTED], ids=["paper", "corrected"])
@pytest.mark.parametrize("mark", ["2", "true", "x", "1e0"])
def test_another_mark_of_an_error_is_refused(hospital, tmp_path, switches, mark):
    data = (hospital / "NOTEEVENTS.csv").read_bytes()
    assert data.count(b",1\r\n") == 3
    (hospital / "NOTEEVENTS.csv").write_bytes(data.replace(b",1\r\n", f",{mark}\r\n".encode()))
    with pytest.raises(DataError, match=r"NOTEEVENTS\.csv: column ISERROR, row 2: expected 0 or 1"):
        build("mortality", hospital, tmp_path, switches)
    assert not list(tmp_path.glob("*.parquet"))


def test_a_flag_of_deaths_in_any_spelling(hospital):
    before = label_table("mortality", MimicIII(hospital), CORRECTED)
    respelt(hospital / "ADMISSIONS.csv", ["HOSPITAL_EXPIRE_FLAG"], "{}.00")
    assert label_table("mortality", MimicIII(hospital), CORRECTED).equals(before)
    assert before["label"].dtype == "int64"


def test_marks_of_charted_errors_in_any_spelling(tmp_path):
    header = "ICUSTAY_ID,ITEMID,CHARTTIME,VALUE,ERROR"
    write_csv(tmp_path / "PROCEDUREEVENTS_MV.csv", "ICUSTAY_ID,STARTTIME,ENDTIME,ITEMID,STATUSDESCRIPTION", [])
    found = []
    for one, zero, item, stay in (("1", "0", "220339", "7"), ("1.0", "0.0", "220339.0", " 7.0")):
        rows = [(stay, item, f"2150-01-01 0{hour}:00:00", "5", zero) for hour in range(3)]
        rows += [(stay, item, f"2150-01-01 0{hour}:00:00", "5", one) for hour in range(3, 6)]
        write_csv(tmp_path / "CHARTEVENTS.csv", header, rows)
        found.append(find_episodes(tmp_path)[0].astype("str").to_dict("list"))
    assert found[0] == found[1]
    assert found[0]["endtime"] == ["2150-01-01 02:00:00"]


def test_split_lists_in_any_spelling(tmp_path):
    for number, name in enumerate(("mimic_train.csv", "mimic_val.csv", "mimic_test.csv"), start=1):
        write_csv(tmp_path / name, "SUBJECT_ID", [[f"{number}.0"], [f" {number}{number}"]])
    assert sorted(read_split_lists(tmp_path)) == [1, 2, 3, 11, 22, 33]
    write_csv(tmp_path / "mimic_val.csv", "SUBJECT_ID", [["2"], ["0x1F"]])
    with pytest.raises(DataError, match=r"mimic_val\.csv: column SUBJECT_ID, row 3: expected whole numbers"):
        read_split_lists(tmp_path)


def mimic_iv(folder, spelling):
    """Tables of four admissions, every id, flag and count in one spelling; what is read from them."""

    def spelt(*numbers):
        return [spelling.format(number) for number in numbers]

    admissions = [[*spelt(n, 10 * n), stamp(0), stamp(99), *spelt(n % 2)] for n in range(1, 5)]
    write(folder, "hosp/admissions", "subject_id,hadm_id,admittime,dischtime,hospital_expire_flag", admissions)
    people = [spelt(n, 17 + n % 2, 2150) for n in range(1, 5)]
    write(folder, "hosp/patients", "subject_id,anchor_age,anchor_year", people)
    codes = [[*spelt(n, 10 * n, 1), code, *spelt(version)] for n in range(1, 5) for code, version in CODES]
    write(folder, "hosp/diagnoses_icd", "subject_id,hadm_id,seq_num,icd_code,icd_version", codes)
    write_chart(folder, [(*spelt(n), hours, *spelt(223849), "CMV") for n in range(1, 5) for hours in (0, 2)])
    notes = [(*spelt(n, 10 * n), "DS", *spelt(1), f"Chief Complaint:\nPain {n}\n") for n in range(1, 5)]
    write_notes(folder, notes)
    build_admission_notes(folder, folder, folder / "notes.parquet", addenda_searched=False)
    return {
        "mortality": label_table("mortality", MimicIV(folder), CORRECTED).to_dict("list"),
        "codes": code_groups(folder, "diagnoses", IcdCoding(), CORRECTED, Attrition()).to_dict("list"),
        "periods": find_periods(folder)[0].astype("str").to_dict("list"),
        "notes": pq.read_table(folder / "notes.parquet").to_pylist(),
    }


CODES = (("4280", 9), ("I509", 10))


@pytest.mark.parametrize("spelling", ["{}.0", " {}", "0{}.00"])
def test_tables_of_mimic_iv_in_any_spelling(tmp_path, spelling):
    plain = mimic_iv(tmp_path / "plain", "{}")
    assert plain["mortality"]["label"] == [1, 0, 1, 0]
    assert [note["hadm_id"] for note in plain["notes"]] == [10, 30]
    assert len(plain["codes"]["code"]) == 8
    assert len(plain["periods"]["stay_id"]) == 4
    assert mimic_iv(tmp_path / "respelt", spelling) == plain
