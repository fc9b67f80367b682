"""Labels of a hospital's admissions from a user's file."""

import json
import os
from pathlib import Path

import pandas as pd
import pytest

from clinical_peft.data.label_files import label_function
from clinical_peft.data.label_spaces import label_space
from clinical_peft.data.labelling import LabelRequest
from clinical_peft.errors import DataError
from clinical_peft.sources import OutcomeFiles, find_source
from clinical_peft.tasks import OwnTask

REAL_DATA = os.environ.get("CLINICAL_PEFT_REAL_DATA")


def outcomes(tmp_path, admissions=5):
    lines = ["HADM_ID,SUBJECT_ID,HOSPITAL_EXPIRE_FLAG", *(f"{100 + number},{number},0" for number in range(admissions))]
    (tmp_path / "ADMISSIONS.csv").write_text("\n".join(lines) + "\n")
    return find_source("mimic-iii").outcomes(OutcomeFiles(folder=tmp_path))


def task_of(path, kind="binary", **values):
    return OwnTask(
        name="own", title="Own", short="OWN", place=100, type=kind, label_file=str(path), on="mimic-iii", **values
    )


def labels_of(tmp_path, content, *, name="labels.csv", **values):
    path = tmp_path / name
    path.write_text(content)
    request = LabelRequest(outcomes=outcomes(tmp_path), switches={})
    return label_function(task_of(path, **values))(request)


def test_labels_meet_admissions_by_their_id(tmp_path):
    found = labels_of(tmp_path, "id,label\n104.0,1.0\n101,0\n999,1\n102,\n")
    assert found.frame.to_dict("list") == {"hadm_id": [101, 104], "subject_id": [1, 4], "label": ["0", "1"]}
    assert found.frame.dtypes.astype(str).tolist()[:2] == ["int64", "int64"]
    assert [(step["step"], step["rows"]) for step in found.steps.steps] == [
        ("in the file of labels", 4),
        ("with a label", 3),
        ("of an admission of the source", 2),
    ]


def test_labels_of_a_multilabel_task_are_lists(tmp_path):
    lines = [{"id": 103, "label": ["a", "b"]}, {"id": 100, "label": []}]
    content = "".join(json.dumps(line) + "\n" for line in lines)
    found = labels_of(tmp_path, content, name="labels.jsonl", kind="multilabel")
    assert found.frame["label"].tolist() == [[], ["a", "b"]]


def test_ids_that_meet_no_admission_are_an_error(tmp_path):
    with pytest.raises(DataError, match=r"labels\.csv: column id: expected ids of admissions of mimic-iii, found none"):
        labels_of(tmp_path, "id,label\n1,1\n2,0\n")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("id,label\nSmith,1\n", "row 2, column id: expected the id of an admission"),
        ("id,label\n,1\n", "row 2, column id: expected the id of an admission"),
        ("id,label\n100,1\n100.0,1\n", "row 3, column id: expected each id once"),
        ("id,label\n100,0.5\n", "row 2, column label: expected a class, found a fraction"),
        ("hadm_id,label\n100,1\n", "expected column id; found"),
        ("id,label\n", "expected rows, found none"),
    ],
)
def test_a_bad_file_of_labels_is_an_error_in_one_line(tmp_path, content, message):
    with pytest.raises(DataError, match=message) as caught:
        labels_of(tmp_path, content)
    assert "Smith" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_label_space_comes_from_training_labels(tmp_path):
    found = labels_of(tmp_path, "id,label\n100,b\n101,a\n102,b\n103,c\n104,a\n", kind="multiclass")
    splits = ["train", "train", "validation", "test", "test"]
    space = label_space(task_of("", kind="multiclass"), found.frame["label"].tolist(), splits)
    assert (space.classes, space.labels.to_pylist(), space.kept.tolist()) == (["a", "b"], [1, 0, 1, 0], [0, 1, 2, 4])


@pytest.mark.skipif(not REAL_DATA, reason="CLINICAL_PEFT_REAL_DATA is not set")
def test_readmission_within_30_days_of_the_mimic_iii_demo(tmp_path):
    folder = Path(str(REAL_DATA)) / "mimic-iii-demo"
    stays = pd.read_csv(folder / "ADMISSIONS.csv", parse_dates=["admittime", "dischtime"])
    stays = stays.sort_values(["subject_id", "admittime"])
    days = (stays.groupby("subject_id")["admittime"].shift(-1) - stays["dischtime"]).dt.total_seconds() / 86_400
    stays = stays.assign(label=(days <= 30).astype(int), id=stays["hadm_id"])
    stays[["id", "label"]].to_csv(tmp_path / "labels.csv", index=False)
    request = LabelRequest(outcomes=find_source("mimic-iii").outcomes(OutcomeFiles(folder=folder)), switches={})
    found = label_function(task_of(tmp_path / "labels.csv"))(request)
    assert len(found.frame) == 129
    assert dict(zip(found.frame["hadm_id"], found.frame["label"], strict=True)) == {
        row.hadm_id: str(row.label) for row in stays.itertuples()
    }
