"""Labels without notes, and cohorts whose labels stand in a user's file."""

import json

import pyarrow.parquet as pq
import pytest
from cohort_fixtures import CORRECTED, build

from clinical_peft.data.labelling import LabelRequest, write_labels
from clinical_peft.errors import DataError
from clinical_peft.sources.mimic_iii.outcomes import MimicIII
from clinical_peft.tasks import OwnTask, find_task


def own_task(folder, rows, kind="binary", **values) -> OwnTask:
    path = folder / "labels.csv"
    path.write_text("id,label\n" + "".join(f"{id_},{label}\n" for id_, label in rows))
    return OwnTask(
        name="own",
        title="Own",
        short="OWN",
        place=100,
        type=kind,
        label_file=str(path),
        on="mimic-iii",
        labelled_step="with a label",
        **values,
    )


def written(task, mimic_iii, folder):
    paths = [folder / f"labels.{suffix}" for suffix in ("parquet", "classes.json", "attrition.json")]
    request = LabelRequest(outcomes=MimicIII(mimic_iii), switches=CORRECTED, salt="salt")
    write_labels(task, request, output=paths[0], classes_output=paths[1], attrition_output=paths[2])
    return pq.read_table(paths[0]), *(json.loads(path.read_text()) for path in paths[1:])


def steps(attrition) -> list[tuple[str, int]]:
    return [(step["step"], step["rows"]) for step in attrition]


def test_labels_need_no_notes(hospital, tmp_path):
    hospital.notes = []
    table, classes, attrition = written(find_task("mortality"), hospital.write(), tmp_path)
    assert table.schema.names == ["hadm_id", "subject_id", "label"]
    assert table.column("label").to_pylist() == [int(number % 4 == 0) for number in range(40)]
    assert classes == ["survived", "died"]
    assert steps(attrition) == [("in the table of admissions", 40), ("with a survival flag", 40)]


def test_steps_of_codes_lead_to_their_admissions(hospital, tmp_path):
    table, classes, attrition = written(find_task("diagnoses"), hospital.write(), tmp_path)
    assert table.column("label").to_pylist()[0] == ["401", "V100"]
    assert classes[:2] == ["401", "V100"]
    assert steps(attrition)[0] == ("rows of DIAGNOSES_ICD", 80)
    assert steps(attrition)[-1] == ("with a diagnosis code", 40)


def test_admissions_without_a_label_are_counted(hospital, tmp_path):
    _, _, attrition = written(find_task("los"), hospital.write(), tmp_path)
    assert steps(attrition)[:2] == [("in the table of admissions", 40), ("discharged alive", 30)]


def test_labels_of_a_file_are_numbered_by_class(hospital, tmp_path):
    task = own_task(tmp_path, [(1003, "no"), (1001, "yes"), (9, "no"), (1002, "")])
    table, classes, attrition = written(task, hospital.write(), tmp_path)
    assert table.to_pydict() == {"hadm_id": [1001, 1003], "subject_id": [101, 103], "label": [1, 0]}
    assert classes == ["no", "yes"]
    assert steps(attrition) == [
        ("in the file of labels", 4),
        ("with a label", 3),
        ("of an admission of the source", 2),
    ]


def test_declared_classes_number_the_labels_of_a_file(hospital, tmp_path):
    task = own_task(tmp_path, [(1003, "no"), (1001, "yes")], classes=("yes", "no"))
    table, classes, _ = written(task, hospital.write(), tmp_path)
    assert (table.column("label").to_pylist(), classes) == ([0, 1], ["yes", "no"])


def test_a_file_of_labels_makes_a_cohort(hospital, tmp_path):
    task = own_task(tmp_path, [(1000 + number, number % 2) for number in range(30)])
    rows, classes, attrition = build(task, hospital.write(), tmp_path, CORRECTED)
    assert classes == ["0", "1"]
    assert [row["label"] for row in rows] == [number % 2 for number in range(30)]
    assert ("with a label", 30) in steps(attrition)
    assert all(row["text"] for row in rows)


def test_a_file_of_several_labels_makes_a_cohort(hospital, tmp_path):
    labels = [(1000 + number, "a;b" if number % 2 else "b") for number in range(40)]
    task = own_task(tmp_path, labels, kind="multilabel", delimiter=";")
    rows, classes, _ = build(task, hospital.write(), tmp_path, CORRECTED)
    assert classes == ["a", "b"]
    assert [row["label"] for row in rows[:2]] == [["b"], ["a", "b"]]


def test_labels_that_meet_no_note_are_an_error(hospital, tmp_path):
    hospital.notes = hospital.notes[:30]
    task = own_task(tmp_path, [(1000 + number, number % 2) for number in range(30, 40)])
    with pytest.raises(DataError, match=r"^no row is left by the step 'with a label' \(30 rows before it\)"):
        build(task, hospital.write(), tmp_path, CORRECTED)
