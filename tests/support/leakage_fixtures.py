"""Small cohorts and corpora with notes of random words, into which leaks are planted."""

import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from clinical_peft.data.held_out import Repetition
from clinical_peft.data.note_table import NOTE_SCHEMA, write_notes
from clinical_peft.data.sections import SECTION_HEADERS, admission_note

REPETITION = Repetition(threshold=0.5, shingle_words=5)
VOCABULARY = [f"word{number}" for number in range(5000)]
SPLIT_OF = ["train", "train", "train", "validation", "test"]


def words(seed: int, count: int = 40) -> str:
    return " ".join(random.Random(seed).choices(VOCABULARY, k=count))


def note_of(subject_id: int) -> str:
    """The admission note of a patient."""
    return admission_note({title: words(100 * subject_id + place) for place, title in enumerate(SECTION_HEADERS)})


def summary_of(subject_id: int) -> str:
    """A discharge summary that holds the patient's admission note and the course that followed."""
    return f"Service: MEDICINE\n\n{note_of(subject_id)}\n\nBrief Hospital Course:\n{words(-subject_id, 200)}"


def cohort_rows(size: int = 20) -> list[dict[str, object]]:
    """One admission per patient 1, 2, ...; every fourth and fifth patient validates and tests."""
    return [
        {
            "hadm_id": 1000 + subject_id,
            "subject_id": subject_id,
            "split": SPLIT_OF[subject_id % 5],
            "text": note_of(subject_id),
            "label": subject_id % 2,
        }
        for subject_id in range(1, size + 1)
    ]


def write_cohort(path: Path, rows: list[dict[str, object]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def note_rows(subjects, *, notes_each: int = 3) -> list[dict[str, object]]:
    """A summary of each patient and further notes."""
    return [
        {
            "note_id": f"{subject_id}-{number}",
            "subject_id": subject_id,
            "hadm_id": 1000 + subject_id,
            "kind": "discharge" if number == 0 else "nursing",
            "text": summary_of(subject_id) if number == 0 else words(7 * subject_id + 100_000 * number),
        }
        for subject_id in subjects
        for number in range(notes_each)
    ]


def write_corpus(path: Path, rows: list[dict[str, object]]) -> Path:
    write_notes(path, rows)
    assert pq.read_schema(path).equals(NOTE_SCHEMA)
    return path
