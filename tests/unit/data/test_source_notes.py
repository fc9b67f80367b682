"""What the notes of held-out patients say beyond their admission notes: found under another name, within bounds."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from leakage_fixtures import REPETITION, note_rows, summary_of, words, write_corpus

from clinical_peft.data import source_notes
from clinical_peft.data.source_notes import LEAST_PASSAGE, MOST_SHARING, read_source_notes

PATIENTS = range(1, 9)


@pytest.fixture
def read(tmp_path):
    """Index the notes of patients 1 to 8 of a table, and tell which of some texts repeat them."""

    def run(rows, *texts):
        source = read_source_notes(write_corpus(tmp_path / "notes.parquet", rows), PATIENTS, REPETITION)
        return [source.repeated_by(REPETITION.codes(text)) for text in texts]

    return run


def summary(heading: str, course: str, following: str) -> dict[str, object]:
    text = f"Pertinent Results:\n{words(1, 400)}\n\n{heading}\n{course}\n\n{following}\n{words(2, 400)}"
    return note_rows([1])[0] | {"text": text}


@pytest.mark.parametrize("flattened", [False, True])
@pytest.mark.parametrize(
    ("heading", "following"),
    [
        ("Brief Hospital Course:", "Medications on Admission:"),
        ("HOSPITAL COURSE BY SYSTEM:", "DISCHARGE DIAGNOSES:"),
        ("Summary of hospital course:", "Condition on discharge:"),
        ("Hospital Course:", "Follow-up Instructions:"),
    ],
)
def test_the_hospital_course_counts_by_itself(read, heading, following, flattened):
    course, own = words(3, 100), words(4, 900)
    row = summary(heading, course, following)
    row["text"] = row["text"].replace("\n", " ") if flattened else row["text"]
    assert read([row], f"{own} {course}", f"{own} {words(1, 100)}") == [True, False]


def test_notes_of_other_patients_are_not_looked_for(read):
    rows = note_rows([*PATIENTS, 20])
    assert read(rows, *(row["text"] for row in rows)) == [row["subject_id"] in PATIENTS for row in rows]


def test_a_note_that_is_no_summary_counts_as_a_whole_only(read):
    nursing = note_rows([1])[1]["text"]
    assert read(note_rows([1]), nursing, f"{nursing} more", nursing.replace("word", "other")) == [True, False, False]


def test_a_short_note_is_no_copy(read):
    rows = [note_rows([1])[1] | {"text": words(1, LEAST_PASSAGE + 3)}, note_rows([2])[1] | {"text": words(2, 24)}]
    assert read(rows, rows[0]["text"], rows[1]["text"]) == [False, True]


@pytest.mark.parametrize(("patients", "found"), [(MOST_SHARING // 4, True), (MOST_SHARING + 1, False)])
def test_a_passage_of_many_summaries_identifies_nobody(tmp_path, patients, found):
    template = words(5, 60)
    rows = [note_rows([patient])[0] for patient in range(1, patients + 1)]
    for row in rows:
        row["text"] = f"{words(row['subject_id'], 30)}\n{template}"
    path = write_corpus(tmp_path / "notes.parquet", rows)
    source = read_source_notes(path, range(1, patients + 1), REPETITION)
    assert source.repeated_by(REPETITION.codes(template)) == found


def test_memory_is_bounded_by_a_sample_that_still_finds_copies(read, monkeypatch):
    rows = note_rows(PATIENTS)
    monkeypatch.setattr(source_notes, "MOST_SHINGLES", 1000)
    texts = [summary_of(patient) for patient in (*PATIENTS, *range(20, 40))]
    assert read(rows, *texts) == [True] * 8 + [False] * 20


def test_the_sample_is_bounded_whatever_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(source_notes, "MOST_SHINGLES", 1000)
    source = read_source_notes(write_corpus(tmp_path / "notes.parquet", note_rows(PATIENTS)), PATIENTS, REPETITION)
    assert source.halvings == 3  # 8 summaries of 540 shingles or so
    assert 300 < source.passages.sizes.sum() <= 1000


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 150), st.integers(40, 150))
def test_any_stretch_of_a_summary_is_found(tmp_path_factory, start, length):
    path = write_corpus(tmp_path_factory.mktemp("source") / "notes.parquet", note_rows([1]))
    course = summary_of(1).split("Course:\n")[1].split()[start : start + length]
    source = read_source_notes(path, PATIENTS, REPETITION)
    assert source.repeated_by(REPETITION.codes(" ".join(course)))
