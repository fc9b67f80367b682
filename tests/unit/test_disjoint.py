"""The paired corpora of contamination mode `disjoint`."""

import pyarrow.parquet as pq
import pytest
from leakage_fixtures import REPETITION, cohort_rows, note_rows, summary_of, write_cohort, write_corpus

from clinical_peft.data.disjoint import write_paired_corpora
from clinical_peft.data.leakage import check_leakage
from clinical_peft.errors import DataError

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
    rows[1]["text"] = summary_of(min(HELD_OUT))  # filed under a training patient
    return rows


def test_the_arms_are_equally_large_and_only_one_is_filtered(pair):
    rows = corpus_rows()
    counts, disjoint, matched = pair(rows)
    assert counts == {
        "notes": len(rows),
        "of_held_out_patients": 3 * len(HELD_OUT),
        "repeating": 1,
        "left": len(rows) - 3 * len(HELD_OUT) - 1,
        "held_out_left_in_matched": sum(row["subject_id"] in HELD_OUT for row in matched),
    }
    assert len(disjoint) == len(matched) == counts["left"]
    kept = {row["note_id"] for row in disjoint}
    assert kept == {row["note_id"] for row in rows if row["subject_id"] not in HELD_OUT} - {rows[1]["note_id"]}
    assert [row["text"] for row in disjoint] == [row["text"] for row in rows if row["note_id"] in kept]
    # About as large a share of held-out patients as before, and every note of the patients outside the cohorts.
    assert counts["held_out_left_in_matched"] > counts["of_held_out_patients"] / 4
    assert sum(row["subject_id"] in OUTSIDE for row in matched) == 3 * len(OUTSIDE)


def test_the_disjoint_arm_passes_the_leakage_check_and_the_matched_one_does_not(pair):
    pair(corpus_rows())

    def check(name):
        return check_leakage(
            pair.cohorts,
            {name: pair.folder / f"{name}.parquet"},
            pair.folder / "leakage.json",
            forbidden=[name],
            with_patients=[name],
            crossing_allowed=(),
            repetition=REPETITION,
            flattened=False,
        )

    assert check("disjoint")["corpora"]["disjoint"]["notes_that_repeat"] == {"exact": 0, "near": 0}
    with pytest.raises(DataError, match="corpus matched"):
        check("matched")


def test_patients_are_dropped_whole_from_the_matched_arm_but_for_one(pair):
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
