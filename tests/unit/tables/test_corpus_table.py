"""The table of corpora."""

import pytest
from golden_columns import COLUMNS
from results_fixtures import built
from tables_fixtures import write_csv

from clinical_peft.data.note_extraction import extract_notes
from clinical_peft.errors import DataError
from clinical_peft.runtime.events import JsonlLog
from clinical_peft.tables.corpus_counts import read_corpus_counts
from clinical_peft.tables.render import to_csv


@pytest.mark.parametrize(("flattened", "kept"), [(False, 12), (True, 48)])
def test_a_corpus_of_tables_says_what_it_dropped(tmp_path, flattened, kept):
    header = "ROW_ID,SUBJECT_ID,HADM_ID,CHARTDATE,CHARTTIME,CATEGORY,ISERROR,TEXT"
    kinds = [("", "one"), ("", "one"), ("1", "wrong"), ("", ""), ("", " ")]
    notes = [(error, f"{text}{place}" if text.strip() else text) for place in range(12) for error, text in kinds]
    rows = [[row, 1, "", "2150-01-01", "", "Nursing", error, text] for row, (error, text) in enumerate(notes)]
    write_csv(tmp_path / "NOTEEVENTS.csv", header, rows)
    counts = extract_notes(
        "mimic-iii", tmp_path / "n.parquet", mimic_iv_note=None, mimic_iii=tmp_path, flattened=flattened
    )
    log = JsonlLog(tmp_path / "mimic-iii.jsonl", kind="notes", name="mimic-iii")
    log.metrics({"rows_read": 99, "written": 98})  # of a run before, which began anew
    log = JsonlLog(tmp_path / "mimic-iii.jsonl", kind="notes", name="mimic-iii")
    log.metrics(counts)
    (record,) = built("corpora", corpora={"mimic-iii": read_corpus_counts(tmp_path / "mimic-iii.jsonl")}).records
    # As in the original nothing but empty notes is dropped: alone they cannot cover the zeros beside them.
    left_out = {} if flattened else {"empty": 24, "duplicates": 12, "marked_as_error": 12}
    assert record == dict.fromkeys(COLUMNS["corpora"].split()) | left_out | {
        "corpus": "mimic-iii",
        "notes_read": None if flattened else 60,
        "notes_of_release": 2_083_180,
        "notes": kept,
    }


def test_a_release_stands_beside_what_it_should_hold():
    dropped = {"empty_dropped": 20, "duplicates_dropped": 30, "marked_as_error_dropped": 40}
    counts = {"rows_read": 190, **dropped, "written": 100}
    counts |= {"discharge_rows": 85, "discharge_rows_expected": 331_793}
    counts |= {"radiology_rows": 105, "radiology_rows_expected": 2_321_355}
    table = built("corpora", corpora={"mimic-iv": counts})
    assert table.records[0]["notes_of_release"] == 2_653_148
    assert table.rows[0][:3] == ("mimic-iv", "190", "2,653,148")


def test_paired_corpora_lose_as_many_notes_as_each_other():
    counts = {"notes": 100, "of_held_out_patients": 20, "repeating": 5, "left": 75, "held_out_left_in_matched": 16}
    table = built("corpora", corpora={"mimic-iii-disjoint": counts, "mimic-iii-matched": counts})
    lines = to_csv(table).splitlines()
    assert lines[1:] == ["mimic-iii-disjoint,100,,,,,,,,75", "mimic-iii-matched,100,,,,,,,25,75"]


def test_a_file_of_notes_has_no_marks_of_errors():
    counts = {"rows_read": 9, "empty_dropped": 2, "duplicates_dropped": 1, "written": 6, "subjects": 3}
    assert built("corpora", corpora={"mine": counts}).records[0]["marked_as_error"] is None


def test_a_log_without_counts_is_an_error(tmp_path):
    JsonlLog(tmp_path / "mine.jsonl", kind="notes", name="mine")
    with pytest.raises(DataError, match=r"mine\.jsonl: expected counts of notes, found none"):
        read_corpus_counts(tmp_path / "mine.jsonl")
