"""Tables that contradict themselves or each other: an error that names the table, or a counted exclusion."""

import pickle
import re

import pandas as pd
import pytest
from cohort_fixtures import CORRECTED, NOTE_SWITCHES, PAPER, build
from golden_hospital import CASES, write_hospital
from tables_fixtures import write_csv

from clinical_peft.data.attrition import Attrition
from clinical_peft.data.icd9 import has_icd9_form
from clinical_peft.data.labelling import label_table
from clinical_peft.data.labels import stay_labels
from clinical_peft.errors import ConfigError, DataError
from clinical_peft.sources.mimic_iii.admission_notes import build_admission_notes
from clinical_peft.sources.mimic_iii.codes import code_table
from clinical_peft.sources.mimic_iii.outcomes import MimicIII
from clinical_peft.sources.mimic_iii.prolonged_ventilation import ventilated_admissions
from clinical_peft.tasks import find_codes

PROTOCOLS = pytest.mark.parametrize("switches", [PAPER, CORRECTED], ids=["paper", "corrected"])


@PROTOCOLS
@pytest.mark.parametrize("task", ["los", "mortality", "control"])
def test_an_admission_in_two_rows_is_an_error(hospital, tmp_path, switches, task):
    hospital.admissions += [hospital.admissions[0], hospital.admissions[1], hospital.admissions[1]]
    folder = hospital.write()
    message = r"ADMISSIONS\.csv: column HADM_ID: expected each value in one row, found 2 in several"
    with pytest.raises(DataError, match=message):
        build(task, folder, tmp_path, switches)
    with pytest.raises(DataError, match=message):
        label_table(task, MimicIII(folder), switches)
    assert not list(tmp_path.glob("*.parquet"))


@pytest.mark.parametrize(
    ("name", "column", "header", "row"),
    [
        ("ICUSTAYS", "ICUSTAY_ID", "ICUSTAY_ID,SUBJECT_ID,HADM_ID,INTIME", [1, 5, 10, "2150-01-01 00:00:00"]),
        ("ADMISSIONS", "HADM_ID", "HADM_ID,ADMITTIME", [10, "2150-01-01 00:00:00"]),
        ("PATIENTS", "SUBJECT_ID", "SUBJECT_ID,DOB", [5, "2100-01-01 00:00:00"]),
    ],
)
def test_a_stay_admission_or_patient_in_two_rows_is_an_error(tmp_path, name, column, header, row):
    once = [
        ("ICUSTAYS", "ICUSTAY_ID,SUBJECT_ID,HADM_ID,INTIME", [1, 5, 10, "2150-01-01 00:00:00"]),
        ("ADMISSIONS", "HADM_ID,ADMITTIME", [10, "2150-01-01 00:00:00"]),
        ("PATIENTS", "SUBJECT_ID,DOB", [5, "2100-01-01 00:00:00"]),
    ]
    for other, other_header, other_row in once:
        write_csv(tmp_path / f"{other}.csv", other_header, [other_row])
    write_csv(tmp_path / f"{name}.csv", header, [row, row])
    episodes = pd.DataFrame({"icustay_id": [], "starttime": [], "endtime": []})
    with pytest.raises(DataError, match=rf"{name}\.csv: column {column}: .* found 1 in several"):
        ventilated_admissions(tmp_path, episodes, Attrition())


def test_a_discharge_before_the_admission(hospital, tmp_path):
    hospital.admissions[1][3] = "2149-12-31 22:00:00"
    folder = hospital.write()
    assert label_table("los", MimicIII(folder), PAPER).set_index("hadm_id")["label"][1001] == 0
    assert 1001 not in set(label_table("los", MimicIII(folder), CORRECTED)["hadm_id"])
    assert stay_labels(MimicIII(folder).admissions(times=True), CORRECTED)[1]["that do not end before they begin"] == {
        1001
    }
    assert list(stay_labels(MimicIII(folder).admissions(times=True), PAPER)[1]) == ["discharged alive"]
    paper, _, steps = build("los", folder, tmp_path / "paper", PAPER)
    assert 1001 in {row["hadm_id"] for row in paper}
    corrected, _, steps = build("los", folder, tmp_path / "corrected", CORRECTED)
    assert {row["hadm_id"] for row in paper} - {row["hadm_id"] for row in corrected} == {1001}
    assert [(step["step"], step["rows"]) for step in steps[-2:]] == [
        ("discharged alive", 30),
        ("that do not end before they begin", 29),
    ]
    mortality, _, _ = build("mortality", folder, tmp_path / "corrected", CORRECTED)
    assert 1001 in {row["hadm_id"] for row in mortality}  # only its length is in doubt


@PROTOCOLS
def test_a_survivor_without_times_is_an_error(hospital, tmp_path, switches):
    hospital.admissions[1][3] = ""
    with pytest.raises(DataError, match=r"ADMISSIONS\.csv: expected ADMITTIME and DISCHTIME .* found 1 rows without"):
        build("los", hospital.write(), tmp_path, switches)


@PROTOCOLS
def test_a_flag_that_is_neither_0_nor_1_is_an_error(hospital, switches):
    hospital.admissions[1][5] = 2
    with pytest.raises(DataError, match=r"column HOSPITAL_EXPIRE_FLAG, row 3: expected 0 or 1"):
        label_table("mortality", MimicIII(hospital.write()), switches)


def test_an_admission_without_flag_is_dropped_and_counted(hospital, tmp_path):
    hospital.admissions[1][5] = ""
    folder = hospital.write()
    _, _, steps = build("mortality", folder, tmp_path, CORRECTED)
    assert [step["rows"] for step in steps[-2:]] == [40, 39]
    _, _, steps = build("los", folder, tmp_path, CORRECTED)
    assert [step["rows"] for step in steps if step["step"] == "discharged alive"] == [29]


@pytest.mark.parametrize("task", ["diagnoses", "procedures"])
def test_codes_without_the_form_of_icd9_are_counted_or_kept(hospital, tmp_path, task):
    rows = hospital.diagnoses if task == "diagnoses" else hospital.procedures
    rows[0][3] = "I10" if task == "diagnoses" else "5"
    rows[2][3] = ""
    folder = hospital.write()
    assert len(code_table(task, folder, CORRECTED)) == 78
    _, _, steps = build(task, folder, tmp_path, CORRECTED)
    table = next(step["joined"] for step in steps if "joined" in step)
    assert {step["step"]: step["rows"] for step in table} == {
        f"rows of {task.upper()}_ICD": 80,
        "with a code": 79,
        "of the form of ICD-9-CM": 78,
        "with an admission": 78,
        "with a patient": 78,
    }
    assert list(code_table(task, folder, PAPER)["code"][:1]) == (["I10"] if task == "diagnoses" else ["5.0"])


def test_a_table_of_other_codes_is_no_silent_empty_cohort(hospital, tmp_path):
    for row in hospital.diagnoses:
        row[3] = "I10"
    with pytest.raises(DataError, match="no row is left by the step 'of the form of ICD-9-CM'"):
        build("diagnoses", hospital.write(), tmp_path, CORRECTED)
    assert not (tmp_path / "diagnoses.parquet").exists()


def test_the_form_of_a_code():
    diagnoses = ["401", "4019", "40190", "V08", "V1081", "E885", "E8859"]
    no_diagnoses = ["", "40", "401900", "V8", "V10811", "E88", "E88591", "I10", "401.9", " 4019", "v08", "４０１"]
    assert has_icd9_form(pd.Series(diagnoses), find_codes("diagnoses")).all()
    assert not has_icd9_form(pd.Series(no_diagnoses), find_codes("diagnoses")).any()
    assert has_icd9_form(pd.Series(["54", "034", "0331"]), find_codes("procedures")).all()
    assert not has_icd9_form(pd.Series(["", "5", "03310", "03.3", "V08"]), find_codes("procedures")).any()


@PROTOCOLS
@pytest.mark.parametrize("task", ["diagnoses", "procedures"])
def test_an_admission_whose_codes_are_two_patients_is_an_error(hospital, switches, task):
    rows = hospital.diagnoses if task == "diagnoses" else hospital.procedures
    rows[1][0] += 1
    message = rf"{task.upper()}_ICD\.csv: expected one SUBJECT_ID per HADM_ID, found 1 admissions"
    with pytest.raises(DataError, match=message):
        label_table(task, MimicIII(hospital.write()), switches)


@PROTOCOLS
@pytest.mark.parametrize("task", ["los", "mortality", "diagnoses"])
def test_a_note_of_another_patient_is_an_error(hospital, tmp_path, switches, task):
    hospital.notes[1][1] = 7
    with pytest.raises(DataError, match=rf"cohort {task}: expected the notes .* agree on SUBJECT_ID, found 1"):
        build(task, hospital.write(), tmp_path, switches)


@PROTOCOLS
def test_a_last_report_without_patient_leaves_the_admission_out(hospital, tmp_path, switches):
    hospital.notes[1][1] = ""
    rows, _, steps = build("mortality", hospital.write(), tmp_path, switches)
    assert 1001 not in {row["hadm_id"] for row in rows}
    by_name = {step["step"]: (step["rows"], step["patients"]) for step in steps}
    assert by_name["last of each set of equal texts"] == (40, 39)
    assert by_name["of an admission with a report"] == (39, 39)


def test_a_patient_in_two_lists_writes_nothing(tmp_path):
    tables = write_hospital(tmp_path)
    (tmp_path / "splits" / "mimic_test.csv").write_text("SUBJECT_ID\n1101\n1104\n")
    with pytest.raises(DataError, match=r"mimic_test\.csv: expected disjoint lists, found a patient who is also in"):
        build("los", tables, tmp_path / "out", PAPER, splits=tmp_path / "splits")
    assert not list((tmp_path / "out").glob("los*"))


@PROTOCOLS
def test_an_empty_split_writes_nothing(tmp_path, switches):
    tables = write_hospital(tmp_path)
    (tmp_path / "splits" / "mimic_test.csv").write_text("SUBJECT_ID\n9\n")
    with pytest.raises(DataError, match="cohort los: expected admissions in every split, found none in test"):
        build("los", tables, tmp_path / "out", switches, splits=tmp_path / "splits")
    assert not list((tmp_path / "out").glob("los*"))


@PROTOCOLS
def test_notes_of_no_admission_make_no_empty_cohort(hospital, tmp_path, switches):
    for note in hospital.notes:
        note[2] += 5000
    with pytest.raises(DataError, match=r"step 'of an admission in ADMISSIONS' \(40 rows before it\)"):
        build("los", hospital.write(), tmp_path, switches)
    with pytest.raises(DataError):
        build_admission_notes(
            hospital.folder, tmp_path / "n.parquet", **{name: switches[name] for name in NOTE_SWITCHES}
        )
    assert not list(tmp_path.glob("*.parquet"))


def beep(tmp_path, tables, labels, **more):
    path = tmp_path / "pmv_labels.pkl"
    path.write_bytes(pickle.dumps(labels))
    return build("pmv", tables, tmp_path / "out", PAPER, pmv_split="beep", pmv_labels=path, **more)


def test_the_label_file_of_beep_names_members_labels_and_split(tmp_path):
    tables = write_hospital(tmp_path)
    kept = {101: (1, "train"), 103: (0, "test"), 104: (0, "train"), 105: (0, "val")}
    labels = {**kept, 113: (1, "train"), 134: (1, "train"), 166: (1, "val"), 7: (0, "test")}
    rows, classes, steps = beep(tmp_path, tables, labels, splits=tmp_path / "splits")
    names = {"train": "train", "val": "validation", "test": "test"}
    assert {row["hadm_id"]: (row["label"], row["split"]) for row in rows} == {
        hadm_id: (label, names[split]) for hadm_id, (label, split) in kept.items()
    }
    # One patient trains and is tested: the file splits admissions.
    assert {row["hadm_id"]: row["subject_id"] for row in rows}[101] == 1101
    assert {row["hadm_id"]: row["subject_id"] for row in rows}[103] == 1101
    assert classes == ["not prolonged", "prolonged"]
    assert [(step["step"], step["rows"], step["patients"]) for step in steps] == [
        ("in the label file of BEEP", 8, 6),
        ("in ADMISSIONS", 7, 6),
        ("with an admission note", 6, 5),  # 113 has an addendum alone
        ("without a stated death", 5, 4),  # 134 died
        ("of a patient in the split lists", 4, 3),  # 166 is in no list
    ]


def test_without_a_label_file_beep_is_a_configuration_error(tmp_path):
    tables = write_hospital(tmp_path)
    with pytest.raises(ConfigError, match=re.escape("data.pmv_labels: expected the path of BEEP's label file")):
        build("pmv", tables, tmp_path / "out", PAPER, pmv_split="beep")
    with pytest.raises(DataError, match="no row is left by the step 'in ADMISSIONS'"):
        beep(tmp_path, tables, dict.fromkeys(range(1, 9), (1, "train")))
    assert set(CASES).isdisjoint(range(1, 9))
