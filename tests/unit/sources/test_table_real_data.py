"""MTS-Dialog and MTSamples as tables of a user's own; expected numbers were counted with the csv and json modules."""

import os
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from own_tables import imported, own_task_of, table_of

from clinical_peft.files import read_json
from clinical_peft.sources.table.checks import check_table_file
from clinical_peft.sources.table.cohort import build_table_cohort
from clinical_peft.sources.table.corpus import write_training_notes
from clinical_peft.sources.table.spec import SplitSpec

REAL_DATA = os.environ.get("CLINICAL_PEFT_REAL_DATA")
pytestmark = pytest.mark.skipif(not REAL_DATA, reason="CLINICAL_PEFT_REAL_DATA is not set")


def cohort(spec, task, folder):
    check_table_file(spec, [task])
    imported(spec, folder)
    outputs = {name: folder / name for name in ("output", "classes_output", "attrition_output")}
    build_table_cohort(spec, task, folder / "ours.parquet", **outputs)
    return pq.read_table(folder / "output").to_pylist(), read_json(folder / "classes_output")


def test_mts_dialog_has_three_files_and_20_classes(tmp_path):
    folder = Path(str(REAL_DATA)) / "mts-dialog"
    files = {split: folder / f"{split}.csv" for split in ("train", "validation", "test")}
    spec = table_of(files, id="ID", text=("dialogue",), patient=None, split=SplitSpec(kind="files"))
    rows, classes = cohort(spec, own_task_of("multiclass", label_columns=("section_header",)), tmp_path)
    assert len(classes) == 20
    assert [sum(row["split"] == split for row in rows) for split in files] == [1201, 100, 200]
    assert {row["hadm_id"] for row in rows} >= {"train/1200", "validation/99", "test/199"}
    test = [row for row in rows if row["split"] == "test"]
    assert sum(classes[row["label"]] == "GENHX" for row in test) == 53
    assert write_training_notes(tmp_path / "ours.parquet", tmp_path / "notes.parquet")["written"] == 1201


def test_mtsamples_has_near_duplicates_that_form_patients(tmp_path):
    path = Path(str(REAL_DATA)) / "mtsamples" / "notes.jsonl"
    spec = table_of(path, id="note_id", text=("text",), patient=None)
    task = own_task_of("multiclass", label_columns=("specialty",), min_class_size=10)
    rows, classes = cohort(spec, task, tmp_path)
    assert classes == ["Surgery", "Urology", "other"]
    assert len({row["subject_id"] for row in rows}) == 272
    counts = [sum(classes[row["label"]] == name for row in rows) for name in classes]
    assert counts == [147, 118, 14]
