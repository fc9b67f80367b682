"""The paired corpora of contamination mode `disjoint`."""

import pyarrow.parquet as pq
import pytest
from leakage_fixtures import REPETITION, cohort_rows, note_rows, summary_of, write_cohort, write_corpus

from clinical_peft.data.disjoint import write_paired_corpora
from clinical_peft.data.leakage import check_leakage
from clinical_peft.errors import DataError
from clinical_peft.tasks import TASKS

ROWS = cohort_rows(40)
HELD_OUT = {row["subject_id"] for row in ROWS if row["split"] != "train"}
OUTSIDE = range(501, 511)  # patients in no cohort


@pytest.fixture
def pair(tmp_path):
    """Write the two arms of a corpus and return the counts and the rows of each."""
    cohorts = [
        write_cohort(tmp_path / "los.parquet", ROWS[:20]),
        write_cohort(tmp_path / "mortality.parquet", ROWS[15:]),
    ]

    def run(rows, seed=1):
        corpus = write_corpus(tmp_path / "all.parquet", rows)
        arms = [tmp_path / "disjoint.parquet", tmp_path / "matched.parquet"]
        counts = write_paired_corpora(
            corpus,
            cohorts,
            disjoint=arms[0],
            matched=arms[1],
            repetition=REPETITION,
            flattened=False,
            seed=seed,
        )
        return counts, *(pq.read_table(arm).to_pylist() for arm in arms)

    run.cohorts = cohorts
    run.folder = tmp_path
    return run


def corpus_rows():
    rows = note_rows([*range(1, 41), *OUTSIDE])
    rows[1]["text"] = summary_of(min(HELD_OUT))  # filed under a training patient, as are the next two
    rows[2]["text"] = summary_of(max(HELD_OUT)).split("Course:")[1]
    rows[5]["text"] = note_rows([max(HELD_OUT)])[2]["text"]
    return rows


def test_corpora_are_equally_large_and_one_is_filtered(pair):
    rows = corpus_rows()
    counts, disjoint, matched = pair(rows)
    assert counts == {
        "notes": len(rows),
        "of_held_out_patients": 3 * len(HELD_OUT),
        "repeating": 1,
        "repeating_source": 2,
        "left": len(rows) - 3 * len(HELD_OUT) - 3,
        "held_out_left_in_matched": sum(row["subject_id"] in HELD_OUT for row in matched),
    }
    assert len(disjoint) == len(matched) == counts["left"]
    kept = {row["note_id"] for row in disjoint}
    repeating = {rows[place]["note_id"] for place in (1, 2, 5)}
    assert kept == {row["note_id"] for row in rows if row["subject_id"] not in HELD_OUT} - repeating
    assert [row["text"] for row in disjoint] == [row["text"] for row in rows if row["note_id"] in kept]
    # About as large a share of held-out patients as before, and every note of the patients outside the cohorts.
    assert counts["held_out_left_in_matched"] > counts["of_held_out_patients"] / 4
    assert sum(row["subject_id"] in OUTSIDE for row in matched) == 3 * len(OUTSIDE)


def test_the_disjoint_corpus_alone_passes_the_leakage_check(pair):
    rows = corpus_rows()
    pair(rows)

    def check(name):
        return check_leakage(
            pair.cohorts,
            {name: pair.folder / f"{name}.parquet"},
            pair.folder / "leakage.json",
            tasks=TASKS,
            forbidden=[name],
            sources={name: pair.folder / "all.parquet"},
            with_patients=[name],
            crossing_allowed=(),
            repetition=REPETITION,
            flattened=False,
        )

    assert check("disjoint")["corpora"]["disjoint"]["notes_that_repeat"] == {"exact": 0, "near": 0}
    write_corpus(
        pair.folder / "missed.parquet", [*pq.read_table(pair.folder / "disjoint.parquet").to_pylist(), rows[2]]
    )
    with pytest.raises(DataError, match="0 exact and 0 near duplicates of their admission notes, 1 notes that repeat"):
        check("missed")
    with pytest.raises(DataError, match="corpus matched"):
        check("matched")


def test_the_matched_corpus_drops_whole_patients_but_one(pair):
    _, _, matched = pair(corpus_rows())
    left = [sum(row["subject_id"] == subject_id for row in matched) for subject_id in range(1, 41)]
    assert sum(count in (1, 2) for count in left) <= 1
    assert 0 in left
    assert 3 in left


def test_the_draw_depends_on_the_seed_alone(pair):
    first, second, other = (pair(corpus_rows(), seed=seed)[2] for seed in (1, 1, 2))
    assert first == second
    assert first != other


def test_nothing_left_is_an_error(pair):
    with pytest.raises(DataError, match="expected notes of other patients than those held out, found none"):
        pair(note_rows(sorted(HELD_OUT)))
    assert not (pair.folder / "disjoint.parquet").exists()


def test_too_few_notes_of_the_cohorts_for_a_match_is_an_error(pair):
    rows = note_rows(OUTSIDE)
    for row in rows[:5]:
        row["text"] = summary_of(min(HELD_OUT))
    with pytest.raises(DataError, match="expected 5 notes or more of the cohorts' patients"):
        pair(rows)


def test_a_note_of_no_patient_is_an_error(pair):
    rows = corpus_rows()
    rows[4]["subject_id"] = None
    with pytest.raises(DataError, match=r"all.parquet: expected a subject_id in every row, found 1 rows without one"):
        pair(rows)
    assert not (pair.folder / "disjoint.parquet").exists()
