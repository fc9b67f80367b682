"""The leakage check: it fails on every planted leak, passes on clean data, and counts what a mode allows."""

import json
import random
from collections.abc import Mapping

import pytest
from leakage_fixtures import REPETITION, cohort_rows, note_of, note_rows, summary_of, write_cohort, write_corpus

from clinical_peft.data.hash_split import HELD_OUT_SPLITS
from clinical_peft.data.held_out import read_held_out
from clinical_peft.data.leakage import check_leakage
from clinical_peft.data.note_cleaning import clean_flattened
from clinical_peft.data.shingle_index import RepeatedNotes
from clinical_peft.errors import DataError
from clinical_peft.tasks import TASKS

TRAIN = [row["subject_id"] for row in cohort_rows() if row["split"] == "train"]
HELD_OUT = [row["subject_id"] for row in cohort_rows() if row["split"] in HELD_OUT_SPLITS]


@pytest.fixture
def study(tmp_path):
    """Rows of a cohort and of a corpus without leaks, and a way to check them."""

    class Planted:
        task = "mortality"
        forbidden: tuple[str, ...] = ("mimic-iii-disjoint",)
        fail_on_stated_outcomes = False
        other_cohorts: Mapping[str, list[dict[str, object]]] = {}
        crossing_allowed: tuple[str, ...] = ()
        flattened = False

        def __init__(self):
            self.cohort = cohort_rows()
            self.corpus = note_rows([*TRAIN, 777])
            self.source = note_rows([*TRAIN, *HELD_OUT, 777])

        def check(self):
            cohorts = {self.task: self.cohort, **self.other_cohorts}
            corpus = write_corpus(tmp_path / "notes" / "corpus.parquet", self.corpus)
            source = write_corpus(tmp_path / "notes" / "source.parquet", self.source)
            return check_leakage(
                [write_cohort(tmp_path / "cohorts" / f"{task}.parquet", rows) for task, rows in cohorts.items()],
                {"mimic-iii-disjoint": corpus},
                tmp_path / "leakage.json",
                tasks=TASKS,
                forbidden=self.forbidden,
                sources={"mimic-iii-disjoint": source},
                with_patients=["mimic-iii-disjoint"],
                crossing_allowed=self.crossing_allowed,
                repetition=REPETITION,
                flattened=self.flattened,
                fail_on_stated_outcomes=self.fail_on_stated_outcomes,
            )

        def fails(self, message):
            with pytest.raises(DataError, match=message) as caught:
                self.check()
            assert not (tmp_path / "leakage.json").exists()
            assert "word" not in str(caught.value)  # every note is made of words so named
            return str(caught.value)

    return Planted()


def changed(text: str, count: int) -> str:
    """The text with a few words changed, spread over it."""
    parts = text.split(" ")
    for place in random.Random(1).sample(range(len(parts)), count):
        parts[place] = "altered"
    return " ".join(parts)


def test_clean_data_passes(study, tmp_path):
    report = study.check()
    assert json.loads((tmp_path / "leakage.json").read_text()) == report
    corpus = report["corpora"]["mimic-iii-disjoint"]
    assert corpus["notes"] == len(study.corpus)
    assert corpus["notes_of_held_out_patients"] == corpus["held_out_patients"] == 0
    assert corpus["notes_that_repeat"] == {"exact": 0, "near": 0}
    assert corpus["notes_that_repeat_source"] == corpus["notes_without_patient"] == 0
    task = report["tasks"]["mortality"]
    assert task["patients_in_several_splits"] == task["patients_split_otherwise"] == 0
    assert task["repeated_in_training"]["test"] == {"admissions": 4, "exact": 0, "near": 0}
    assert report["held_out_patients"] == len(HELD_OUT)


@pytest.mark.parametrize("split", HELD_OUT_SPLITS)
def test_a_patient_who_crosses_splits_fails(study, split):
    subject_id = next(row["subject_id"] for row in study.cohort if row["split"] == split)
    study.cohort.append({**study.cohort[0], "hadm_id": 1, "subject_id": subject_id, "split": "train"})
    study.fails(r"cohort mortality: expected every patient in one split, found 1 patients in several")


def test_a_task_that_is_split_by_admission_is_counted_instead(study):
    study.task, study.crossing_allowed = "pmv", ("pmv",)
    study.cohort.append({**study.cohort[0], "hadm_id": 1, "split": "test"})
    study.corpus = note_rows([777])
    report = study.check()
    assert report["tasks"]["pmv"]["patients_in_several_splits"] == 1
    assert report["crossing_allowed"] == ["pmv"]


@pytest.mark.parametrize("subject_id", HELD_OUT[:2])
def test_a_held_out_patient_in_the_corpus_fails(study, subject_id):
    study.corpus += note_rows([subject_id])[1:]  # not the summary
    study.fails(r"2 notes of 1 such patients, 0 notes of no patient, 0 exact and 0 near duplicates")


@pytest.mark.parametrize("subject_id", HELD_OUT[:2])
@pytest.mark.parametrize(
    ("text_of", "kind"),
    [
        (note_of, "1 exact and 0 near"),
        (summary_of, "1 exact and 0 near"),
        (lambda subject_id: changed(note_of(subject_id), 6), "0 exact and 1 near"),
        (lambda subject_id: changed(summary_of(subject_id), 20), "0 exact and 1 near"),
        (lambda subject_id: summary_of(subject_id).upper().replace(" ", "\n"), "1 exact and 0 near"),
    ],
    ids=["admission note", "summary", "admission note, words changed", "summary, words changed", "laid out anew"],
)
def test_a_held_out_note_under_another_patient_fails(study, subject_id, text_of, kind):
    study.corpus[5]["text"] = text_of(subject_id)
    study.fails(rf"0 notes of 0 such patients, .* {kind} duplicates of their admission notes, 0 .* delete the corpus")


def course_of(subject_id):
    return summary_of(subject_id).split("Brief Hospital Course:\n")[1]


@pytest.mark.parametrize("subject_id", HELD_OUT[:2])
@pytest.mark.parametrize(
    "text_of",
    [
        lambda subject_id: f"Addendum.\n\nBrief Hospital Course:\n{course_of(subject_id)}",
        lambda subject_id: f"{summary_of(777)}\n{course_of(subject_id)}",
        lambda subject_id: changed(course_of(subject_id), 10),
        lambda subject_id: course_of(subject_id)[:300],
        lambda subject_id: note_rows([subject_id])[1]["text"],
        lambda subject_id: note_rows([subject_id])[1]["text"].upper().replace(" ", "\n"),
    ],
    ids=[
        "hospital course",
        "within another's summary",
        "words changed",
        "a part of it",
        "nursing note",
        "laid out anew",
    ],
)
def test_held_out_text_under_another_patient_fails(study, subject_id, text_of):
    study.corpus[5]["text"] = text_of(subject_id)
    study.fails(r"0 notes of 0 such patients, .* 0 exact and 0 near duplicates of their admission notes, 1 notes that")


def test_a_note_of_no_patient_fails(study):
    study.corpus[5]["subject_id"] = None
    study.fails(r"0 notes of 0 such patients, 1 notes of no patient, 0 exact")


@pytest.mark.parametrize("split", HELD_OUT_SPLITS)
def test_a_patient_trained_and_held_out_across_tasks_fails(study, split):
    study.other_cohorts = {"los": [dict(row) for row in study.cohort]}
    next(row for row in study.other_cohorts["los"] if row["split"] == split)["split"] = "train"
    message = study.fails(r"cohort mortality: expected every patient in the split of the study's other tasks, found 1 ")
    assert "cohort los: expected every patient in the split of the study's other tasks, found 1 " in message


def test_a_task_split_by_admission_counts_against_others(study):
    study.task, study.crossing_allowed = "pmv", ("pmv",)
    study.other_cohorts = {"los": [dict(row) for row in study.cohort]}
    study.cohort[0]["split"] = "test"
    study.corpus = note_rows([777])
    tasks = study.check()["tasks"]
    assert tasks["pmv"]["patients_split_otherwise"] == 1
    assert tasks["los"]["patients_split_otherwise"] == 0


def test_a_stated_outcome_fails_where_the_study_asks_for_it(study):
    study.fail_on_stated_outcomes = True
    (study.cohort[1]["text"], study.cohort[4]["text"]) = ["PHYSICAL EXAM: Time of death 5:10."] * 2
    study.cohort[1]["split"], study.cohort[4]["split"] = "train", "test"
    study.fails(
        "admission note that states the outcome, found 1 in train, 0 in validation, 1 in test; set leakage.drop"
    )


def test_a_mode_without_a_filter_counts_the_same_leaks(study):
    study.forbidden = ()
    validating, testing = HELD_OUT[0], HELD_OUT[1]
    study.corpus += note_rows([validating])
    study.corpus[5]["text"] = changed(note_of(testing), 6)
    corpus = study.check()["corpora"]["mimic-iii-disjoint"]
    assert not corpus["forbidden"]
    assert corpus["notes_that_repeat_source"] is None
    assert (corpus["notes_of_held_out_patients"], corpus["held_out_patients"]) == (3, 1)
    assert corpus["notes_that_repeat"] == {"exact": 1, "near": 1}
    assert corpus["repeated"]["mortality"] == {
        "validation": {"admissions": 4, "exact": 1, "near": 0},
        "test": {"admissions": 4, "exact": 0, "near": 1},
    }


def test_a_flattened_note_is_found_by_its_marks_insides(study):
    study.flattened = True
    text = "PRESENT ILLNESS: " + " ".join(f"[**Hospital{number} 18**] seen" for number in range(30))
    next(row for row in study.cohort if row["split"] == "test")["text"] = text
    study.corpus[5]["text"] = clean_flattened(f"Service: X\n\n{text}\n\nDischarge Condition:\nGood")
    study.fails("1 exact and 0 near")


def test_training_notes_that_repeat_test_notes_are_counted(study):
    test_row = next(row for row in study.cohort if row["split"] == "test")
    study.cohort[0]["text"] = test_row["text"]
    task = study.check()["tasks"]["mortality"]
    assert study.cohort[0]["split"] == "train"
    assert task["repeated_in_training"]["test"] == {"admissions": 4, "exact": 1, "near": 0}
    assert task["admissions"] == task["patients"] == {"train": 12, "validation": 4, "test": 4}


def test_stated_outcomes_are_counted_by_split_and_section(study):
    study.cohort[0]["text"] = "PRESENT ILLNESS: The patient died.\n\nFAMILY HISTORY: Father, a patient died young."
    study.cohort[1]["text"] = "FAMILY HISTORY: Mother made CMO at 80."
    found = study.check()["tasks"]["mortality"]["stated_outcomes"]
    assert found["train"] == {
        "admissions": 2,
        "outside_family_history": 1,
        "sections": {"PRESENT ILLNESS": {"death": 1}, "FAMILY HISTORY": {"death": 1, "end_of_life_care": 1}},
    }
    assert found["test"] == {"admissions": 0, "outside_family_history": 0, "sections": {}}


def test_a_death_in_the_family_is_no_stated_outcome(study):
    study.fail_on_stated_outcomes = True
    study.cohort[0]["text"] = "FAMILY HISTORY: Father, a patient died young."
    assert study.check()["tasks"]["mortality"]["stated_outcomes"]["train"]["admissions"] == 1


@pytest.mark.parametrize(
    ("rows", "message"),
    [(None, "expected a Parquet file, found none"), ([{"subject_id": 1}], "expected column split, text; found")],
)
def test_a_missing_or_foreign_file_is_named(tmp_path, rows, message):
    cohort = tmp_path / "los.parquet"
    if rows:
        write_cohort(cohort, rows)
    with pytest.raises(DataError, match=rf"los.parquet: {message}"):
        read_held_out([cohort], REPETITION, flattened=False)


def test_a_training_note_of_two_tasks_is_compared_once(tmp_path, monkeypatch):
    cohorts = [write_cohort(tmp_path / f"{task}.parquet", cohort_rows()) for task in ("mortality", "los")]
    compared = []
    find = RepeatedNotes.repeated
    monkeypatch.setattr(RepeatedNotes, "repeated", lambda self, codes: compared.append(len(codes)) or find(self, codes))
    settings = {"tasks": TASKS, "forbidden": (), "sources": {}, "with_patients": (), "crossing_allowed": ()}
    report = check_leakage(cohorts, {}, tmp_path / "leakage.json", **settings, repetition=REPETITION, flattened=False)
    assert len(compared) == report["tasks"]["los"]["admissions"]["train"] == 12
