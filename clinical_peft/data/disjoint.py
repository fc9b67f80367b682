"""The two corpora of contamination mode ``disjoint``: one without what is held out, and an equally large one with it.

Both lose the same number of notes. The disjoint corpus loses those of validation and test patients and those that
repeat theirs: an admission note, the rest of a discharge summary, or another note. The matched corpus loses notes
of patients drawn at random from the same cohorts, whatever their split, so that patients outside the cohorts
(newborns, say) weigh the same in both.
"""

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path

import pyarrow as pa

from clinical_peft.data.held_out import (
    HeldOut,
    Repetition,
    count_parts,
    groups_of_part,
    open_parquet,
    read_held_out,
    read_rows,
)
from clinical_peft.data.note_table import NOTE_SCHEMA, parquet_writer
from clinical_peft.data.source_notes import SourceNotes, read_source_notes
from clinical_peft.errors import DataError
from clinical_peft.files import sha256_file
from clinical_peft.runtime.kept_parts import KeptParts, removed_when_done

FORMAT = 1  # of what is kept of a part; raised when the same inputs give another
_REASONS = {"of_held_out_patients": "h", "repeating": "r", "repeating_source": "s", "left": "."}
"""Why the disjoint corpus loses a note, or that it is kept, as a letter each."""


def write_paired_corpora(
    notes: Path,
    cohorts: Iterable[Path],
    *,
    disjoint: Path,
    matched: Path,
    repetition: Repetition,
    flattened: bool,
    seed: int,
    work: Path | None = None,
    processes: int = 1,
) -> dict[str, int]:
    """Write the disjoint and the matched version of a corpus.

    The corpus is compared in parts. Time grows with its notes, not with these times the held-out ones, and memory with
    the notes of held-out patients alone.

    Args:
        notes: Table of notes of the hospital that the cohorts come from.
        cohorts: Every cohort of the study.
        disjoint: Table of notes to write, without held-out patients and repetitions of their notes.
        matched: Table of notes to write, not filtered, with as many notes.
        repetition: When a note repeats a held-out one.
        flattened: Whether the notes were cleaned as in the original.
        seed: Decides which patients' notes the matched corpus loses.
        work: Folder in which what the parts gave outlives a job that is killed; it is removed at the end. None to
            keep nothing.
        processes: Processes that share the parts; the corpora do not depend on them.

    Returns:
        Counts: notes, of_held_out_patients, repeating (an admission note, of other patients), repeating_source (of
        the others, what else the notes of validation and test patients say), left (in either corpus),
        held_out_left_in_matched (notes of validation and test patients there).

    Raises:
        DataError: A file is missing or malformed, a note is of no patient, or the disjoint corpus would be empty.
    """
    cohorts = [Path(path) for path in cohorts]
    identity = {
        "format": FORMAT,
        "files": {str(path): sha256_file(path) for path in [Path(notes), *cohorts] if path.is_file()},
        "repetition": asdict(repetition),
        "flattened": flattened,
    }
    held_out = read_held_out(cohorts, repetition, flattened=flattened)
    source = read_source_notes(notes, held_out.subjects, repetition)
    compare = partial(_reasons_of_part, notes, held_out, source, repetition)
    found = KeptParts(work, identity, processes).results(f"notes of {Path(notes).stem}", compare, count_parts(notes))
    reasons = [group for part in found for group in part]
    counts = Counter({reason: sum(group.count(mark) for group in reasons) for reason, mark in _REASONS.items()})
    counts |= Counter(notes=sum(map(len, reasons)))
    notes_of = _notes_of_patients(notes, held_out.subjects | held_out.others)
    with removed_when_done(work), ExitStack() as stack:
        first = stack.enter_context(parquet_writer(disjoint, NOTE_SCHEMA))
        second = stack.enter_context(parquet_writer(matched, NOTE_SCHEMA))
        for group, marks in zip(_row_groups(notes), reasons, strict=True):
            first.write_table(group.filter(pa.array([mark == _REASONS["left"] for mark in marks])))
        if not counts["left"]:
            raise DataError(f"{notes}: expected notes of other patients than those held out, found none")
        removed = counts["notes"] - counts["left"]
        if notes_of.total() < removed:
            raise DataError(
                f"{notes}: expected {removed} notes or more of the cohorts' patients, so that the matched one can lose "
                f"as many, found {notes_of.total()}; give cohorts with more training patients"
            )
        to_drop = _draw(notes_of, removed, seed)
        for group in _row_groups(notes):
            kept = group.filter(_kept_in_matched(group, to_drop))
            counts["held_out_left_in_matched"] += sum(
                subject_id in held_out.subjects for subject_id in kept["subject_id"].to_pylist()
            )
            second.write_table(kept)
    return {name: counts[name] for name in ("notes", "held_out_left_in_matched", *_REASONS)}


def _row_groups(notes: Path, part: int | None = None) -> Iterator[pa.Table]:
    """Read a table of notes, or a part of one, in the portions in which it was written."""
    file = open_parquet(notes, NOTE_SCHEMA.names)
    for number in range(file.num_row_groups) if part is None else groups_of_part(file, part):
        group = file.read_row_group(number, columns=NOTE_SCHEMA.names).select(NOTE_SCHEMA.names)
        if without := group["subject_id"].null_count:
            raise DataError(
                f"{notes}: expected a subject_id in every row, found {without} rows without one in row group {number}: "
                "a note without a patient may be a held-out one; extract the corpus again"
            )
        yield group


def _reasons_of_part(
    notes: Path, held_out: HeldOut, source: SourceNotes, repetition: Repetition, part: int
) -> list[str]:
    """For each portion of a part, say why the disjoint corpus drops its notes: one letter of `_REASONS` per note."""
    return [
        "".join(
            _REASONS[_reason(subject_id, text, held_out, source, repetition)]
            for subject_id, text in zip(group["subject_id"].to_pylist(), group["text"].to_pylist(), strict=True)
        )
        for group in _row_groups(notes, part)
    ]


def _reason(subject_id: int, text: str, held_out: HeldOut, source: SourceNotes, repetition: Repetition) -> str:
    if subject_id in held_out.subjects:
        return "of_held_out_patients"
    codes = repetition.codes(text)
    if len(held_out.index.repeated(codes)[0]):
        return "repeating"
    return "repeating_source" if source.repeated_by(codes) else "left"


def _notes_of_patients(notes: Path, patients: Collection[int]) -> Counter[int]:
    """Count the notes of each of some patients, in the order of their first notes."""
    rows = read_rows(notes, ["subject_id"])
    return Counter(subject_id for (subject_id,) in rows if subject_id in patients)


def _draw(notes_of: Counter[int], wanted: int, seed: int) -> Counter[int]:
    """Draw patients until they have the requested number of notes.

    Returns:
        How many notes of each patient to drop: all of them, except for the last patient drawn.
    """
    to_drop: Counter[int] = Counter()
    for subject_id in sorted(notes_of, key=lambda one: hashlib.sha256(f"{seed}:{one}".encode()).digest()):
        to_drop[subject_id] = min(notes_of[subject_id], wanted)
        wanted -= to_drop[subject_id]
        if not wanted:
            break
    return to_drop


def _kept_in_matched(group: pa.Table, to_drop: Counter[int]) -> pa.Array:
    """Return which notes the matched corpus keeps; the first notes of a patient go first."""
    kept = []
    for subject_id in group["subject_id"].to_pylist():
        kept.append(to_drop[subject_id] == 0)
        if not kept[-1]:
            to_drop[subject_id] -= 1
    return pa.array(kept)
