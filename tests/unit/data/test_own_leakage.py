"""The leakage check and the sizes of splits with a study's own table beside MIMIC."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from leakage_fixtures import REPETITION, cohort_rows, note_rows, words, write_corpus
from own_cohorts import TABLE, own_task

from clinical_peft.data.hidden_splits import WHOLE, hidden_splits
from clinical_peft.data.leakage import check_leakage
from clinical_peft.data.note_table import note_schema, parquet_writer
from clinical_peft.data.patients import with_source
from clinical_peft.errors import DataError
from clinical_peft.tasks import TASKS, find_task
from clinical_peft.tasks.task import Statement

OWN = own_task("readmitted", "binary")
BOTH = {"mortality": find_task("mortality"), "readmitted": OWN}


def write_cohort(path, rows, source=None):
    table = pa.Table.from_pylist(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table.replace_schema_metadata(with_source(table.schema, source).metadata), path)
    return path


def own_rows(size=20, *, text=words):
    """Rows of an own table: the numbers of MIMIC's patients, as strings, in other splits."""
    return [
        {
            "hadm_id": f"{1000 + number}",
            "subject_id": f"{number:04d}",
            "split": ("test", "train", "validation", "train", "train")[number % 5],
            "text": text(number + 5_000),
            "label": number % 2,
        }
        for number in range(1, size + 1)
    ]


def own_corpus(path, rows):
    schema = with_source(note_schema(pa.string()), TABLE)
    notes = [
        {"note_id": row["hadm_id"], "subject_id": row["subject_id"], "hadm_id": row["hadm_id"], "kind": "table"}
        | {"text": row["text"]}
        for row in rows
    ]
    with parquet_writer(path, schema) as writer:
        writer.write_table(pa.Table.from_pylist(notes, schema=schema))
    return path


def check(folder, cohorts, corpora, tasks=BOTH, **settings):
    return check_leakage(
        cohorts,
        corpora,
        folder / "leakage.json",
        tasks=tasks,
        forbidden=(),
        sources={},
        with_patients=list(corpora),
        crossing_allowed=(),
        repetition=REPETITION,
        flattened=False,
        **settings,
    )


def test_equal_numbers_of_two_hospitals_are_no_leak(tmp_path):
    rows = own_rows()
    integers = [{**row, "hadm_id": int(row["hadm_id"]), "subject_id": int(row["subject_id"])} for row in rows]
    cohorts = [write_cohort(tmp_path / "mortality.parquet", cohort_rows())]
    cohorts.append(write_cohort(tmp_path / "readmitted.parquet", integers, TABLE))
    everyone = [row["subject_id"] for row in integers if row["split"] != "train"]
    corpus = write_corpus(tmp_path / "mimic.parquet", note_rows([*everyone, 777]))
    found = check(tmp_path, cohorts, {"mimic-iv": corpus})
    assert {task: part["patients_split_otherwise"] for task, part in found["tasks"].items()} == {
        "mortality": 0,
        "readmitted": 0,
    }
    held_out = {row["subject_id"] for row in cohort_rows() if row["split"] != "train"}
    assert found["corpora"]["mimic-iv"]["held_out_patients"] == len(held_out & set(everyone))
    with pytest.raises(DataError, match="cohort mortality: expected every patient in the split of the study's other"):
        check(tmp_path, [cohorts[0], write_cohort(tmp_path / "readmitted.parquet", integers)], {})


def test_a_corpus_and_a_cohort_of_one_table_share_patients(tmp_path):
    rows = own_rows()
    cohort = write_cohort(tmp_path / "readmitted.parquet", rows, TABLE)
    training = [row for row in rows if row["split"] == "train"]
    corpus = own_corpus(tmp_path / "ours.parquet", training)
    found = check(tmp_path, [cohort], {TABLE: corpus}, {"readmitted": OWN})
    assert found["corpora"][TABLE]["notes_of_held_out_patients"] == 0
    assert found["corpora"][TABLE]["notes"] == len(training)
    held_out = [row for row in rows if row["split"] == "test"][:2]
    own_corpus(corpus, [*training, *held_out])
    with pytest.raises(DataError, match="corpus ours: expected only notes of training patients, found 2 of 2 patient"):
        check(tmp_path, [cohort], {TABLE: corpus}, {"readmitted": OWN})


def test_a_pattern_of_ones_own_finds_stated_outcomes(tmp_path):
    stating = replace(OWN, stated_outcomes={"return": Statement(r"came back within \d+ days", ())})
    rows = own_rows()
    rows[0]["text"] += " She came back within 12 days."
    cohort = write_cohort(tmp_path / "readmitted.parquet", rows, TABLE)
    found = check(tmp_path, [cohort], {}, {"readmitted": stating})
    counts = {split: part["admissions"] for split, part in found["tasks"]["readmitted"]["stated_outcomes"].items()}
    assert counts == {"train": 1, "validation": 0, "test": 0}
    with pytest.raises(DataError, match="expected no admission note that states the outcome, found 1 in train"):
        check(tmp_path, [cohort], {}, {"readmitted": stating}, fail_on_stated_outcomes=True)


def test_cohorts_of_two_hospitals_hide_no_difference(tmp_path):
    """Of equal numbers one cohort would be the other's survivors; of two hospitals they are other admissions."""
    admissions = np.arange(420)
    dead = admissions % 42 == 0
    split = np.array(["train", "validation", "test"])[np.array([0, 0, 0, 1, 2, 2])[admissions % 6]]

    def write(name, rows, labels, source=None):
        columns = {"hadm_id": rows, "subject_id": rows, "split": split[rows], "label": labels}
        path = tmp_path / f"{name}.parquet"
        table = pa.table(columns)
        pq.write_table(table.replace_schema_metadata(with_source(table.schema, source).metadata), path)
        return path

    alive = admissions[~dead]
    whole = write("mortality", admissions, dead.astype(int))
    hidden = hidden_splits([whole, write("readmitted", alive, alive % 2)], BOTH)
    assert hidden == {"mortality": frozenset(), "readmitted": {"train", "validation", "test", WHOLE}}
    apart = hidden_splits([whole, write("readmitted", alive, alive % 2, TABLE)], BOTH)
    assert apart == dict.fromkeys(("mortality", "readmitted"), frozenset())
    with pytest.raises(DataError, match="expected the cohort of one of the tasks los, found another"):
        hidden_splits([whole], {"los": TASKS["los"]})
