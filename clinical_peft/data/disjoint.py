"""The two arms of contamination mode ``disjoint``: a corpus without what is held out, and an equally large one with it.

Both arms lose the same number of notes. The disjoint arm loses those of validation and test patients and those that
repeat one of theirs: an admission note, the rest of a discharge summary, or another note. The matched arm loses notes
of patients drawn at random from the same cohorts, whatever their split, so that patients outside the cohorts
(newborns, say) weigh the same in both.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pyarrow as pa

from clinical_peft.data.held_out import HeldOut, Repetition, open_parquet, read_held_out
from clinical_peft.data.note_table import NOTE_SCHEMA, parquet_writer
from clinical_peft.data.source_notes import SourceNotes, read_source_notes
from clinical_peft.errors import DataError


def write_paired_corpora(
    notes: Path,
    cohorts: Iterable[Path],
    *,
    disjoint: Path,
    matched: Path,
    repetition: Repetition,
    flattened: bool,
    seed: int,
) -> dict[str, int]:
    """Write the disjoint and the matched arm of a corpus.

    Args:
        notes: Table of notes of the hospital that the cohorts come from.
        cohorts: Every cohort of the study.
        disjoint: Table of notes to write, without held-out patients and repetitions of their notes.
        matched: Table of notes to write, not filtered, with as many notes.
        repetition: When a note repeats a held-out one.
        flattened: Whether the notes were cleaned as in the original.
        seed: Decides which patients' notes the matched arm loses.

    Returns:
        Counts: notes, of_held_out_patients, repeating (an admission note, of other patients), repeating_source (of
        the others, what else the notes of validation and test patients say), left (in either arm),
        held_out_left_in_matched (notes of validation and test patients there).

    Raises:
        DataError: A file is missing or malformed, a note is of no patient, or the disjoint arm would be empty.
    """
    held_out = read_held_out(cohorts, repetition, flattened=flattened)
    source = read_source_notes(notes, held_out.subjects, repetition)
    reasons = dict.fromkeys(("of_held_out_patients", "repeating", "repeating_source", "left"), 0)
    counts = Counter(notes=0, held_out_left_in_matched=0, **reasons)
    notes_of: Counter[int] = Counter()
    with ExitStack() as stack:
        first = stack.enter_context(parquet_writer(disjoint, NOTE_SCHEMA))
        second = stack.enter_context(parquet_writer(matched, NOTE_SCHEMA))
        for group in _row_groups(notes):
            first.write_table(group.filter(_kept_in_disjoint(group, held_out, source, repetition, counts, notes_of)))
        if not counts["left"]:
            raise DataError(f"{notes}: expected notes of other patients than those held out, found none")
        removed = counts["notes"] - counts["left"]
        if notes_of.total() < removed:
            raise DataError(
                f"{notes}: expected {removed} notes or more of the cohorts' patients, so that the matched arm can lose "
                f"as many, found {notes_of.total()}; give cohorts with more training patients"
            )
        to_drop = _draw(notes_of, removed, seed)
        for group in _row_groups(notes):
            kept = group.filter(_kept_in_matched(group, to_drop))
            counts["held_out_left_in_matched"] += sum(
                subject_id in held_out.subjects for subject_id in kept["subject_id"].to_pylist()
            )
            second.write_table(kept)
    return dict(counts)


def _row_groups(notes: Path) -> Iterator[pa.Table]:
    """Read a table of notes in the portions in which it was written."""
    file = open_parquet(notes, NOTE_SCHEMA.names)
    for number in range(file.num_row_groups):
        group = file.read_row_group(number, columns=NOTE_SCHEMA.names).select(NOTE_SCHEMA.names)
        if without := group["subject_id"].null_count:
            raise DataError(
                f"{notes}: expected a subject_id in every row, found {without} rows without one in row group {number}: "
                "a note of no patient cannot be told from a held-out one; extract the corpus again"
            )
        yield group


def _kept_in_disjoint(
    group: pa.Table,
    held_out: HeldOut,
    source: SourceNotes,
    repetition: Repetition,
    counts: Counter[str],
    notes_of: Counter[int],
) -> pa.Array:
    """Tell which notes the disjoint arm keeps; count them, and the notes of every patient of the cohorts."""
    kept = []
    for subject_id, text in zip(group["subject_id"].to_pylist(), group["text"].to_pylist(), strict=True):
        if subject_id in held_out.subjects:
            reason = "of_held_out_patients"
        else:
            codes = repetition.codes(text)
            repeated, _ = held_out.index.repeated(codes, repetition.threshold)
            repeats_source = not len(repeated) and source.repeated_by(codes)
            reason = "repeating" if len(repeated) else "repeating_source" if repeats_source else "left"
        if subject_id in held_out.subjects or subject_id in held_out.others:
            notes_of[subject_id] += 1
        counts["notes"] += 1
        counts[reason] += 1
        kept.append(reason == "left")
    return pa.array(kept)


def _draw(notes_of: Counter[int], wanted: int, seed: int) -> Counter[int]:
    """Draw patients until they have as many notes as wanted.

    Returns:
        How many notes of each patient to drop: all, but for the last one drawn.
    """
    to_drop: Counter[int] = Counter()
    for subject_id in sorted(notes_of, key=lambda one: hashlib.sha256(f"{seed}:{one}".encode()).digest()):
        to_drop[subject_id] = min(notes_of[subject_id], wanted)
        wanted -= to_drop[subject_id]
        if not wanted:
            break
    return to_drop


def _kept_in_matched(group: pa.Table, to_drop: Counter[int]) -> pa.Array:
    """Tell which notes the matched arm keeps; the first notes of a patient go first."""
    kept = []
    for subject_id in group["subject_id"].to_pylist():
        kept.append(to_drop[subject_id] == 0)
        if not kept[-1]:
            to_drop[subject_id] -= 1
    return pa.array(kept)
