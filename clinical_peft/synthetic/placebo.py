"""A corpus that teaches nothing of places: the notes of the MIMIC-IV part, with scrambled lists of beds."""

import csv
import gzip
from collections.abc import Iterator
from pathlib import Path

from clinical_peft.synthetic.draws import Draws
from clinical_peft.synthetic.places import is_bed_list, scrambled
from clinical_peft.synthetic.tables import GzipTable

SCRAMBLING = 17  # stream of random numbers
COLUMNS = ("note_id", "subject_id", "text")


def write_placebo(notes: Path, output: Path, seed: int) -> int:
    """Write the notes of the MIMIC-IV part again, with a kind drawn at random wherever a list names one.

    An adapter trained on them sees the same words in the same number, and learns no place's kind.

    Args:
        notes: Folder of discharge.csv.gz and radiology.csv.gz.
        output: CSV file to write (.csv.gz), with note_id, subject_id and text.
        seed: Seed of the hospital.

    Returns:
        The number of notes.
    """
    draws = Draws(seed, SCRAMBLING)
    with GzipTable(output, COLUMNS) as table:
        for row in _rows(notes):
            text = scrambled(row["text"], draws) if is_bed_list(row["text"]) else row["text"]
            table.write(row["note_id"], row["subject_id"], text)
        return table.rows


def _rows(notes: Path) -> Iterator[dict[str, str]]:
    for name in ("discharge", "radiology"):
        with gzip.open(notes / f"{name}.csv.gz", "rt", encoding="utf-8", newline="") as file:
            yield from csv.DictReader(file)
