"""Cohorts: equal to the original's outputs under the paper's switches, right under the corrected ones."""

import csv
import json
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tables_fixtures import write_csv

from clinical_peft.config.switches import DATA_SWITCHES
from clinical_peft.data.admission_notes import build_admission_notes
from clinical_peft.data.cohorts import build_cohort
from clinical_peft.data.death_phrases import without_death_phrases
from clinical_peft.data.labels import LOS_UPPER_DAYS, bin_length_of_stay, code_table, control_label, label_table
from clinical_peft.data.outcomes import MimicIII
from clinical_peft.data.statistics import dataset_statistics
from clinical_peft.errors import ConfigError, DataError
from clinical_peft.tokens.tokenizer import train_tokenizer

REAL_DATA = os.environ.get("CLINICAL_PEFT_REAL_DATA")
PAPER = dict.fromkeys(DATA_SWITCHES, True)
NOTE_SWITCHES = ("sections_unanchored", "addenda_searched", "error_notes_kept", "marks_kept")
CORRECTED = dict.fromkeys(DATA_SWITCHES, False)


def discharge_summary(complaint: str, exam: str = "Well.", family: str = "None.") -> str:
    return (
        f"Chief Complaint:\n{complaint}\n\nHistory of Present Illness:\nSick for a day.\n\nPhysical Exam:\n{exam}\n\n"
        f"Family History:\n{family}\n\nSocial History:\nLives alone.\n\nPertinent Results:\nNone.\n"
    )


class Hospital:
    """A small MIMIC-III folder: one adult patient per admission, ten days in hospital, two codes each."""

    def __init__(self, folder: Path, size: int = 40) -> None:
        self.folder = folder
        self.admissions: list[list[object]] = []
        self.notes: list[list[object]] = []
        self.diagnoses: list[list[object]] = []
        self.procedures: list[list[object]] = []
        for number in range(size):
            died = int(number % 4 == 0)
            hadm_id, subject_id = 1000 + number, 100 + number
            self.admissions.append(
                [subject_id, hadm_id, "2150-01-01 00:00:00", "2150-01-11 00:00:00", "EMERGENCY", died]
            )
            self.notes.append(
                [
                    number,
                    subject_id,
                    hadm_id,
                    "2150-01-11",
                    "Discharge summary",
                    "Report",
                    discharge_summary(f"c{number}"),
                ]
            )
            self.diagnoses += [[subject_id, hadm_id, 1, "4019"], [subject_id, hadm_id, 2, f"V1{number:02d}"]]
            self.procedures += [[subject_id, hadm_id, 1, "0331"], [subject_id, hadm_id, 2, "3310"]]

    def write(self) -> Path:
        write_csv(
            self.folder / "ADMISSIONS.csv",
            "SUBJECT_ID,HADM_ID,ADMITTIME,DISCHTIME,ADMISSION_TYPE,HOSPITAL_EXPIRE_FLAG",
            self.admissions,
        )
        write_csv(
            self.folder / "NOTEEVENTS.csv",
            "ROW_ID,SUBJECT_ID,HADM_ID,CHARTDATE,CATEGORY,DESCRIPTION,TEXT,ISERROR",
            [[*note, ""] for note in self.notes],
        )
        write_csv(self.folder / "DIAGNOSES_ICD.csv", "SUBJECT_ID,HADM_ID,SEQ_NUM,ICD9_CODE", self.diagnoses)
        write_csv(self.folder / "PROCEDURES_ICD.csv", "SUBJECT_ID,HADM_ID,SEQ_NUM,ICD9_CODE", self.procedures)
        return self.folder


def build(task, mimic_iii, output, switches, *, splits="hash", pmv_split="core-patient", pmv_labels=None, **more):
    """Build notes and one cohort; return its rows, classes and attrition."""
    notes = output / "admission.parquet"
    if not notes.exists():
        note_switches = {name: switches[name] for name in NOTE_SWITCHES}
        build_admission_notes(mimic_iii, notes, **note_switches)
    paths = [output / f"{task}.{suffix}" for suffix in ("parquet", "classes.json", "attrition.json")]
    build_cohort(
        task,
        admission_notes=notes,
        outcomes=MimicIII(mimic_iii, pmv_labels=pmv_labels),
        splits=splits,
        salt="salt",
        pmv_split=pmv_split,
        switches=switches,
        output=paths[0],
        classes_output=paths[1],
        attrition_output=paths[2],
        **more,
    )
    rows = pq.read_table(paths[0]).to_pylist()
    return rows, json.loads(paths[1].read_text()), json.loads(paths[2].read_text())


@pytest.fixture
def hospital(tmp_path):
    return Hospital(tmp_path / "mimic-iii")


@pytest.mark.skipif(not REAL_DATA, reason="CLINICAL_PEFT_REAL_DATA is not set")
@pytest.mark.parametrize(
    ("task", "golden", "label_column"),
    [
        ("los", "LOS_WEEKS", "los_label"),
        ("mortality", "MP_IN", "hospital_expire_flag"),
        ("diagnoses", "DIA_GROUPS_3_DIGITS", "short_codes"),
        ("procedures", "PRO_GROUPS_3_DIGITS", "short_codes"),
    ],
)
def test_paper_protocol_equals_the_original_task_code(task, golden, label_column, tmp_path):
    folder = Path(REAL_DATA) / "core-golden"
    rows, classes, _ = build(task, folder / "mimic3", tmp_path, PAPER, splits=folder / "splits")
    assert len({row["hadm_id"] for row in rows}) == len(rows)
    for split, name in {"train": "train", "validation": "val", "test": "test"}.items():
        with (folder / "golden" / f"{golden}_adm_{name}.csv").open(newline="", encoding="utf-8") as handle:
            table = list(csv.DictReader(handle))
        expected = {int(row["id"]): (row["text"], row[label_column]) for row in table}
        found = {row["hadm_id"]: (row["text"], row["label"]) for row in rows if row["split"] == split}
        assert len(expected) == len(table) > 0
        assert found.keys() == expected.keys()
        for hadm_id, (text, label) in expected.items():
            assert found[hadm_id][0] == text
            if isinstance(found[hadm_id][1], list):
                assert sorted(found[hadm_id][1]) == sorted(label.split(","))
            else:
                assert found[hadm_id][1] == int(label)
    if isinstance(rows[0]["label"], list):
        codes = folder / "golden" / f"ALL_3_DIGIT_{golden[:3]}_CODES.txt"
        assert classes == codes.read_text().split()


def test_cohort_columns_and_attrition(hospital, tmp_path):
    rows, classes, attrition = build("mortality", hospital.write(), tmp_path, CORRECTED)
    assert list(rows[0]) == ["hadm_id", "subject_id", "split", "text", "label"]
    assert len(rows) == 40
    assert [row["hadm_id"] for row in rows] == sorted(row["hadm_id"] for row in rows)
    assert classes == ["survived", "died"]
    assert sum(row["label"] for row in rows) == 10
    assert attrition[-1] == {"step": "with a survival flag", "unit": "admissions", "rows": 40, "patients": 40}
    assert [step["rows"] for step in attrition] == sorted((step["rows"] for step in attrition), reverse=True)


def test_length_of_stay_drops_the_dead_and_rounds_only_when_told(hospital, tmp_path):
    hospital.admissions[1][3] = "2150-01-04 00:57:36"  # 3.04 days
    folder = hospital.write()
    paper = label_table("los", folder, PAPER).set_index("hadm_id")["label"]
    corrected = label_table("los", folder, CORRECTED).set_index("hadm_id")["label"]
    assert len(paper) == 30
    assert 1000 not in paper.index
    assert (paper[1001], corrected[1001]) == (0, 1)
    rows, _, attrition = build("los", folder, tmp_path, CORRECTED)
    assert {row["hadm_id"] for row in rows} == set(paper.index)
    assert [step["step"] for step in attrition[-2:]] == ["discharged alive", "that do not end before they begin"]


@settings(deadline=None)
@given(st.floats(-10, 400), st.booleans())
def test_length_of_stay_bins(days, rounded):
    found = bin_length_of_stay(np.array([days * 86_400]), rounded=rounded)[0]
    value = round(days * 86_400 / 86_400, 1) if rounded else days * 86_400 / 86_400
    if not rounded or abs(days * 10 - round(days * 10)) < 0.4:  # away from halves, where binary floats decide
        assert found == (0 if value <= 3 else 1 if value <= 7 else 2 if value <= 14 else 3)


@settings(deadline=None)
@given(st.lists(st.integers(-10 * 86_400, 400 * 86_400), min_size=1), st.booleans())
def test_a_longer_stay_is_never_in_a_lower_class(seconds, rounded):
    classes = bin_length_of_stay(np.sort(np.array(seconds)), rounded=rounded)
    assert (np.diff(classes) >= 0).all()
    assert set(classes) <= {0, 1, 2, 3}


@settings(deadline=None)
@given(st.sampled_from(list(enumerate(LOS_UPPER_DAYS))), st.integers(1, 4_320), st.booleans())
def test_a_bound_belongs_to_the_lower_class(bound, beyond, rounded):
    """Rounding lifts each bound by a twentieth of a day, 4,320 seconds, and changes nothing else."""
    lower, days = bound
    edge = days * 86_400 + (4_320 if rounded else 0)
    found = bin_length_of_stay(np.array([edge - beyond, edge, edge + beyond]), rounded=rounded)
    assert found.tolist() == [lower, lower, lower + 1]


@settings(deadline=None)
@given(st.integers(-10 * 86_400, 400 * 86_400))
def test_rounding_lowers_a_class_by_one_at_most(seconds):
    rounded, exact = (bin_length_of_stay(np.array([seconds]), rounded=choice)[0] for choice in (True, False))
    assert exact - 1 <= rounded <= exact


@pytest.mark.parametrize(
    ("days", "rounded", "exact"), [(-1, 0, 0), (3, 0, 0), (3.04, 0, 1), (3.06, 1, 1), (7.04, 1, 2), (14.04, 2, 3)]
)
def test_length_of_stay_edges(days, rounded, exact):
    seconds = np.array([days * 86_400])
    assert bin_length_of_stay(seconds, rounded=True)[0] == rounded
    assert bin_length_of_stay(seconds, rounded=False)[0] == exact


def test_procedure_codes_keep_leading_zeros_unless_read_as_integers(hospital):
    hospital.procedures = [[1, 1, 1, "0331"], [1, 1, 2, "3310"], [1, 1, 3, "0034"], [1, 1, 4, "54"]]
    folder = hospital.write()
    assert list(code_table("procedures", folder, PAPER)["code"]) == ["331", "331", "34", "54"]
    assert list(code_table("procedures", folder, CORRECTED)["code"]) == ["033", "331", "003", "54"]
    assert label_table("procedures", folder, PAPER)["label"].tolist() == [["331", "34", "54"]]


# What pandas 1.5.3 made of such columns, run on them.
READ_AS_NUMBERS = [
    (["0331", "54", "0034", ""], ["331", "54.", "34."]),
    (["0331", "NA", "54"], ["331", "54."]),
    (["0331", "nan", "9", "12345"], ["331", "9.0", "123"]),
    ([" 0331", "54 ", "7\t"], ["331", "54", "7"]),
    (["03.31", "54"], ["3.3", "54."]),
    (["+331", "-54", "7"], ["331", "-54", "7"]),
    (["1e3", "54"], ["100", "54."]),
    (["3.", ".5"], ["3.0", "0.5"]),
    (["12345678901234567", ""], ["1.2"]),
]


@pytest.mark.parametrize(("column", "codes"), READ_AS_NUMBERS)
def test_a_missing_code_or_a_point_makes_the_column_one_of_decimals(hospital, column, codes):
    hospital.procedures = [[1, 1, number, code] for number, code in enumerate(column)]
    assert list(code_table("procedures", hospital.write(), PAPER)["code"]) == codes


def test_the_integer_reading_alone_looks_at_the_codes_that_are_kept(hospital):
    hospital.procedures = [[1, 1, 1, "0331"], [1, 1, 2, "V45"], [1, 1, 3, "54"]]
    switches = CORRECTED | {"procedure_codes_as_integers": True}
    assert list(code_table("procedures", hospital.write(), switches)["code"]) == ["331", "54"]
    hospital.procedures.append([1, 1, 4, ""])
    assert list(code_table("procedures", hospital.write(), switches)["code"]) == ["331", "54."]


@pytest.mark.parametrize("code", ["V45", " ", "0x1F", "1_0", "1d3", "99999999999999999999", "inf"])
def test_a_procedure_that_is_no_number_is_an_error_of_the_integer_reading(hospital, code):
    hospital.procedures[3][3] = code
    folder = hospital.write()
    with pytest.raises(DataError, match=r"PROCEDURES_ICD\.csv: column ICD9_CODE: expected numbers, found another code"):
        code_table("procedures", folder, PAPER)
    assert len(code_table("procedures", folder, CORRECTED)) == 79


@pytest.mark.parametrize("task", ["diagnoses", "procedures"])
def test_words_that_the_original_reads_as_missing_are_no_codes(hospital, tmp_path, task):
    rows = getattr(hospital, task)
    rows[0][3], rows[2][3] = "NA", "null"
    folder = hospital.write()
    for name, switches in {"paper": PAPER, "corrected": CORRECTED}.items():
        assert len(code_table(task, folder, switches)) == 78
        _, _, steps = build(task, folder, tmp_path / name, switches)
        table = next(step["joined"] for step in steps if "joined" in step)
        assert [(step["step"], step["rows"]) for step in table[:2]] == [
            (f"rows of {task.upper()}_ICD", 80),
            ("with a code", 78),
        ]


def test_rows_without_admission_or_patient_count_for_the_whole_tables_label_space(hospital, tmp_path):
    hospital.diagnoses += [[9, "", 1, "7770"], ["", 1000, 1, "8880"], ["", 1000, 2, "9990"], [100, 1000, 3, "9990"]]
    folder = hospital.write()
    rows, classes, steps = build("diagnoses", folder, tmp_path / "paper", PAPER)
    assert classes[-3:] == ["777", "888", "999"]
    assert rows[0]["label"] == ["401", "V100"]  # the row of no patient stands for the later one of its admission
    assert [step["rows"] for step in next(step["joined"] for step in steps if "joined" in step)] == [84, 84, 83, 81]
    _, classes, steps = build("diagnoses", folder, tmp_path / "corrected", CORRECTED)
    assert not {"777", "888"}.intersection(classes)
    assert [step["rows"] for step in next(step["joined"] for step in steps if "joined" in step)] == [84, 84, 84, 83, 81]
    assert label_table("diagnoses", folder, CORRECTED)["label"][0] == ["401", "V100", "999"]


@settings(deadline=None)
@given(st.lists(st.from_regex(r"[VE]?[0-9]{3,5}", fullmatch=True), min_size=1, max_size=20))
def test_diagnosis_codes_are_prefixes(tmp_path_factory, codes):
    folder = tmp_path_factory.mktemp("codes")
    write_csv(folder / "diagnoses_icd.csv", "subject_id,hadm_id,icd9_code", [[1, 1, code] for code in codes])
    short = code_table("diagnoses", folder, PAPER)["code"]
    for code, prefix in zip(codes, short, strict=True):
        assert code.startswith(prefix)
        assert len(prefix) == min(len(code), 4 if code[0] in "VE" else 3)
    labels = label_table("diagnoses", folder, PAPER)["label"][0]
    assert len(set(labels)) == len(labels)
    assert set(labels) == set(short)


@settings(deadline=None)
@given(st.lists(st.from_regex(r"[0-9]{2,4}", fullmatch=True), min_size=1, max_size=20))
def test_procedure_codes_are_prefixes_of_the_code_or_of_its_number(tmp_path_factory, codes):
    folder = tmp_path_factory.mktemp("codes")
    write_csv(folder / "procedures_icd.csv", "subject_id,hadm_id,icd9_code", [[1, 1, code] for code in codes])
    assert list(code_table("procedures", folder, CORRECTED)["code"]) == [code[:3] for code in codes]
    assert list(code_table("procedures", folder, PAPER)["code"]) == [str(int(code))[:3] for code in codes]


def test_label_space_is_the_whole_table_or_the_training_split(hospital, tmp_path):
    hospital.diagnoses.insert(0, [9, 9, 1, "V3001"])  # an admission without notes
    folder = hospital.write()
    rows, classes, _ = build("diagnoses", folder, tmp_path / "paper", PAPER)
    assert classes[:2] == ["V300", "401"]
    assert all(len(row["label"]) == 2 for row in rows)
    rows, classes, _ = build("diagnoses", folder, tmp_path / "corrected", CORRECTED)
    train = {code for row in rows if row["split"] == "train" for code in row["label"]}
    assert classes == sorted(train)
    assert "V300" not in classes
    test_rows = [row for row in rows if row["split"] == "test"]
    assert test_rows
    assert all(row["label"] == ["401"] for row in test_rows)  # each V code is one admission's own


@pytest.mark.parametrize(
    ("exam", "family", "complaint", "original", "corrected"),
    [
        ("Well.", "None.", "attempt died out", "dropped", "kept"),
        ("Well.", "Aunt was a patient died of MI.", "fall", "dropped", "kept"),
        ("Well.", "None.", "patient died", "dropped", "dropped"),
        ("Well.", "None.", "the expired drug", "dropped", "kept"),
        ("Well.", "None.", "She expired", "dropped", "dropped"),
        ("Patient has died. Pt expired.", "None.", "fall", "dropped", "kept"),
        ("Pt expired.", "None.", "fall", "kept", "kept"),
        ("Well.", "None.", "time of death", "dropped", "dropped"),
        ("Well.", "None.", "His wife passed away", "kept", "kept"),
    ],
)
def test_death_phrases(exam, family, complaint, original, corrected):
    note = f"CHIEF COMPLAINT: {complaint}\n\nPHYSICAL EXAM: {exam}\n\nFAMILY HISTORY: {family}"
    for switch, outcome in ((True, original), (False, corrected)):
        left = without_death_phrases(note, original=switch)
        assert (left is None) == (outcome == "dropped")
        if left is not None:
            assert "Pt expired" not in left
            assert f"FAMILY HISTORY: {family}" in left


def test_notes_that_state_their_outcome_are_dropped_when_asked(hospital, tmp_path):
    hospital.notes[7][-1] = discharge_summary("fall", exam="On hospital day 4 well.")
    folder = hospital.write()
    kept, _, _ = build("los", folder, tmp_path / "kept", CORRECTED)
    left, _, attrition = build("los", folder, tmp_path / "dropped", CORRECTED, drop_stated_outcomes=True)
    assert {row["hadm_id"] for row in kept} - {row["hadm_id"] for row in left} == {1007}
    assert attrition[-1] == {"step": "stating no outcome", "unit": "admissions", "rows": 29, "patients": 29}
    mortality, _, _ = build("mortality", folder, tmp_path / "dropped", CORRECTED, drop_stated_outcomes=True)
    assert 1007 in {row["hadm_id"] for row in mortality}


def test_control_is_a_fair_coin_that_depends_on_the_salt(hospital, tmp_path):
    labels = [control_label(hadm_id, "a") for hadm_id in range(4000)]
    assert abs(sum(labels) / 4000 - 0.5) < 0.04
    assert labels != [control_label(hadm_id, "b") for hadm_id in range(4000)]
    rows, _, _ = build("control", hospital.write(), tmp_path, CORRECTED)
    assert len(rows) == 40
    assert all(row["label"] == control_label(row["hadm_id"], "salt") for row in rows)


def test_an_empty_cohort_is_an_error(hospital, tmp_path):
    for admission in hospital.admissions:
        admission[5] = 1
    with pytest.raises(DataError, match="discharged alive"):
        build("los", hospital.write(), tmp_path, CORRECTED)


def test_an_empty_split_is_an_error(tmp_path):
    with pytest.raises(DataError, match=r"cohort los: expected admissions in every split, found none in \w+"):
        build("los", Hospital(tmp_path / "mimic-iii", size=3).write(), tmp_path, CORRECTED)


def test_a_training_split_of_one_class_is_an_error(hospital, tmp_path):
    for admission in hospital.admissions:
        admission[5] = 0
    with pytest.raises(DataError, match=r"label 1 \(died\)"):
        build("mortality", hospital.write(), tmp_path, CORRECTED)


def test_patients_outside_the_lists_are_dropped_and_counted(hospital, tmp_path):
    for name, subjects in {"train": range(100, 120), "val": range(120, 125), "test": range(125, 130)}.items():
        write_csv(tmp_path / "lists" / f"mimic_{name}.csv", "SUBJECT_ID", [[subject] for subject in subjects])
    rows, _, attrition = build("mortality", hospital.write(), tmp_path, CORRECTED, splits=tmp_path / "lists")
    assert len(rows) == 30
    assert attrition[-1] == {
        "step": "of a patient in the split lists",
        "unit": "admissions",
        "rows": 30,
        "patients": 30,
    }


def test_the_same_inputs_give_the_same_bytes(hospital, tmp_path):
    folder = hospital.write()
    for output in ("one", "two"):
        build("diagnoses", folder, tmp_path / output, CORRECTED)
    for name in ("admission.parquet", "diagnoses.parquet", "diagnoses.classes.json", "diagnoses.attrition.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_unknown_task_split_and_switch(hospital, tmp_path):
    folder = hospital.write()
    with pytest.raises(ConfigError, match="expected one of los"):
        build("sepsis", folder, tmp_path, CORRECTED)
    with pytest.raises(ConfigError, match="pmv_split"):
        build("los", folder, tmp_path, CORRECTED, pmv_split="random")
    with pytest.raises(ConfigError, match="los_rounded"):
        label_table("los", folder, {})


def test_dataset_statistics(hospital, tmp_path):
    folder = hospital.write()
    for task in ("mortality", "procedures", "los"):
        build(task, folder, tmp_path, CORRECTED)
    binary, multilabel, multiclass = dataset_statistics(
        tmp_path / f"{task}.parquet" for task in ("mortality", "procedures", "los")
    )
    assert (multiclass["classes"], multiclass["prevalence"], multiclass["mean_cardinality"]) == (4, None, None)
    assert multiclass["class_shares"] == [0, 0, 1, 0]  # ten days each
    assert binary["train"] + binary["validation"] + binary["test"] == binary["patients"] == 40
    assert (binary["classes"], binary["multilabel"], binary["prevalence"]) == (2, False, 0.25)
    assert binary["class_shares"] == [0.75, 0.25]
    assert (binary["mean_cardinality"], binary["without_code"]) == (None, None)
    assert (multilabel["multilabel"], multilabel["mean_cardinality"], multilabel["prevalence"]) == (True, 2.0, None)
    assert (multilabel["without_code"], multilabel["class_shares"]) == (0, None)
    words = sorted(len(row["text"].split()) for row in pq.read_table(tmp_path / "mortality.parquet").to_pylist())
    assert binary["mean_words"] == binary["lengths"]["words"]["mean"] == sum(words) / len(words)
    assert (binary["lengths"]["words"]["median"], binary["lengths"]["words"]["longest"]) == (words[20], words[-1])
    with pytest.raises(DataError):
        dataset_statistics([tmp_path / "absent.parquet"])


def test_lengths_in_tokens_are_those_of_the_bare_text(hospital, tmp_path):
    rows, _, _ = build("mortality", hospital.write(), tmp_path, CORRECTED)
    tokenizer = train_tokenizer((row["text"] for row in rows), vocabulary=300, family="causal")
    tokenizer.save_pretrained(tmp_path / "base")
    rows = [row | {"text": f"{row['text']} </s><pad>"} for row in rows]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "mortality.parquet")
    (found,) = dataset_statistics([tmp_path / "mortality.parquet"], {"base": tmp_path / "base"})
    settings = {"add_special_tokens": False, "split_special_tokens": True}
    counts = [len(tokenizer(row["text"], **settings)["input_ids"]) for row in rows]
    assert found["lengths"]["base"]["longest"] == max(counts)
    assert found["lengths"]["base"]["mean"] == sum(counts) / len(counts)
    with pytest.raises(DataError, match=r"tokenizer\.json: expected a tokenizer, found none"):
        dataset_statistics([tmp_path / "mortality.parquet"], {"base": tmp_path})


def test_an_admission_whose_codes_are_all_unknown_is_counted(hospital, tmp_path):
    rows, _, _ = build("diagnoses", hospital.write(), tmp_path / "all", CORRECTED)
    lost = next(row["hadm_id"] for row in rows if row["split"] == "test")
    hospital.diagnoses = [row for row in hospital.diagnoses if row[1] != lost or row[3] != "4019"]
    rows, _, attrition = build("diagnoses", hospital.write(), tmp_path, CORRECTED)
    assert [row["hadm_id"] for row in rows if not row["label"]] == [lost]
    unknown = sum(row["split"] != "train" for row in rows)  # each V code is one admission's own
    assert attrition[-1]["left_out"] == {"codes that are not in the label space": unknown}
    (found,) = dataset_statistics([tmp_path / "diagnoses.parquet"])
    assert found["without_code"] == 1


@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_split_without_any_code_of_the_label_space_is_an_error(hospital, tmp_path, split):
    rows, _, _ = build("diagnoses", hospital.write(), tmp_path / "all", CORRECTED)
    own = {row["hadm_id"] for row in rows if row["split"] == split}
    hospital.diagnoses = [row for row in hospital.diagnoses if row[1] not in own or row[3] != "4019"]
    with pytest.raises(DataError, match=rf"cohort diagnoses: .* none in the {split} split \({len(own)} admissions"):
        build("diagnoses", hospital.write(), tmp_path / "none", CORRECTED)
    assert not (tmp_path / "none" / "diagnoses.parquet").exists()
    rows, _, _ = build("diagnoses", hospital.write(), tmp_path / "paper", PAPER)
    assert all(row["label"] for row in rows)
