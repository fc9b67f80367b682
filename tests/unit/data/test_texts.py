"""Texts are read again where they are needed: in any order, without being held together."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from peak_memory import needs_proc, peak_bytes

from clinical_peft.data import texts
from clinical_peft.data.texts import ROW, Texts


def write_notes(path, count, size=1):
    """Notes by number, most admissions behind others that come later."""
    admissions = np.random.default_rng(0).permutation(count)
    table = {"hadm_id": admissions, "subject_id": admissions, "text": [f"note {row} " * size for row in range(count)]}
    pq.write_table(pa.table(table), path, row_group_size=700)
    return path


@pytest.mark.parametrize("held", [10, 40, 5000])
def test_texts_stand_beside_their_notes_in_any_order(tmp_path, monkeypatch, held):
    monkeypatch.setattr(texts, "HELD_ROWS", held)
    notes = Texts(write_notes(tmp_path / "notes.parquet", 2500))
    frame = notes.others().sort_values("hadm_id", ignore_index=True)[::2]
    parts = list(notes.add_to(frame, rows=10))
    assert {len(part) for part in parts} == {10}
    whole = pd.concat(parts)
    assert whole["hadm_id"].tolist() == frame["hadm_id"].tolist()
    assert whole["text"].tolist() == [f"note {row} " for row in frame[ROW]]


def test_texts_are_edited_or_dropped_as_they_are_read(tmp_path):
    notes = Texts(write_notes(tmp_path / "notes.parquet", 30), edit=lambda text: None if "1" in text else text.strip())
    frame = notes.others().iloc[8:13]
    assert list(notes.read(frame)) == ["note 8", "note 9", None, None, None]


def test_no_notes_have_no_texts(tmp_path):
    notes = Texts(write_notes(tmp_path / "notes.parquet", 3))
    assert list(notes.read(notes.others()[:0])) == []
    assert list(notes.add_to(notes.others()[:0], rows=10)) == []


_ADD_TEXTS = """
import sys
from pathlib import Path
from clinical_peft.data import texts
texts.HELD_ROWS = 1000
notes = texts.Texts(Path(sys.argv[1]))
frame = notes.others().sort_values("hadm_id", ignore_index=True)
assert sum(len(part) for part in notes.add_to(frame, rows=100)) == len(frame)
"""


@needs_proc
def test_memory_does_not_grow_with_the_texts(tmp_path):
    peaks = [
        peak_bytes(_ADD_TEXTS, write_notes(tmp_path / f"{count}.parquet", count, size=500)) for count in (2000, 12000)
    ]
    assert peaks[1] - peaks[0] < 20 << 20  # the texts alone are 55 MB more
