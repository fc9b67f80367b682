"""Cohorts: equal to the original's outputs under the paper's switches, right under the corrected ones."""

import csv
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cohort_fixtures import CORRECTED, PAPER, Hospital, build, discharge_summary
from tables_fixtures import write_csv

from clinical_peft.data.labelling import label_table
from clinical_peft.data.labels import control_label
from clinical_peft.data.statistics import dataset_statistics
from clinical_peft.errors import ConfigError, DataError
from clinical_peft.sources.mimic_iii.outcomes import MimicIII
from clinical_peft.tasks.death_phrases import without_death_phrases
from clinical_peft.tokens.tokenizer import train_tokenizer

REAL_DATA = os.environ.get("CLINICAL_PEFT_REAL_DATA")


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


def test_length_of_stay_drops_deaths_and_rounds_if_asked(hospital, tmp_path):
    hospital.admissions[1][3] = "2150-01-04 00:57:36"  # 3.04 days
    folder = hospital.write()
    paper = label_table("los", MimicIII(folder), PAPER).set_index("hadm_id")["label"]
    corrected = label_table("los", MimicIII(folder), CORRECTED).set_index("hadm_id")["label"]
    assert len(paper) == 30
    assert 1000 not in paper.index
    assert (paper[1001], corrected[1001]) == (0, 1)
    rows, _, attrition = build("los", folder, tmp_path, CORRECTED)
    assert {row["hadm_id"] for row in rows} == set(paper.index)
    assert [step["step"] for step in attrition[-2:]] == ["discharged alive", "that do not end before they begin"]


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
    assert attrition[-1] == {"step": "without a stated outcome", "unit": "admissions", "rows": 29, "patients": 29}
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
    with pytest.raises(ConfigError, match="expected one of pmv"):
        build("sepsis", folder, tmp_path, CORRECTED)
    with pytest.raises(ConfigError, match="pmv_split"):
        build("los", folder, tmp_path, CORRECTED, pmv_split="random")
    with pytest.raises(ConfigError, match="los_rounded"):
        label_table("los", MimicIII(folder), {})


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
def test_a_split_without_any_known_code_is_an_error(hospital, tmp_path, split):
    rows, _, _ = build("diagnoses", hospital.write(), tmp_path / "all", CORRECTED)
    own = {row["hadm_id"] for row in rows if row["split"] == split}
    hospital.diagnoses = [row for row in hospital.diagnoses if row[1] not in own or row[3] != "4019"]
    with pytest.raises(DataError, match=rf"cohort diagnoses: .* none in the {split} split \({len(own)} admissions"):
        build("diagnoses", hospital.write(), tmp_path / "none", CORRECTED)
    assert not (tmp_path / "none" / "diagnoses.parquet").exists()
    rows, _, _ = build("diagnoses", hospital.write(), tmp_path / "paper", PAPER)
    assert all(row["label"] for row in rows)
