"""A corpus from a user's own file of notes."""

import gzip
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from clinical_peft.data.near_duplicates import SHINGLE_WORDS, THRESHOLD, near_duplicate_groups
from clinical_peft.data.note_cleaning import clean_structured
from clinical_peft.data.note_table import write_notes
from clinical_peft.data.seen_texts import SeenTexts
from clinical_peft.data.tables import look_like_names, stream_table
from clinical_peft.errors import DataError

KIND = "imported"


def import_notes(
    source: Path,
    output: Path,
    *,
    id_column: str,
    text_column: str,
    subject_column: str | None = None,
    near_duplicate_threshold: float = THRESHOLD,
    shingle_words: int = SHINGLE_WORDS,
) -> dict[str, int]:
    """Write a user's notes as a table of notes.

    Lines are kept, de-identification marks normalised, empty notes and exact duplicates dropped. Without patient
    ids, notes that overlap (`near_duplicate_groups`) share a subject_id, so that a split by subject keeps them
    together.

    Args:
        source: ``.jsonl``, ``.csv``, or either with ``.gz``.
        output: Parquet file to write.
        id_column: Key or column of the note's id; ids must be unique.
        text_column: Key or column of the text.
        subject_column: Key or column of the patient's id, a whole number.
        near_duplicate_threshold: Share of the shorter note's shingles that makes two notes overlap; used without
            ``subject_column`` only, when every note is held in memory.
        shingle_words: Words of a shingle.

    Returns:
        Counts: rows_read, empty_dropped, duplicates_dropped, written, subjects.

    Raises:
        DataError: A line is not JSON or lacks a key, an id is missing or repeated, a patient's id is not a whole
            number, or no note is left.
    """
    counts = Counter(rows_read=0, empty_dropped=0, duplicates_dropped=0)
    notes = _notes(Path(source), id_column, text_column, subject_column, counts)
    subjects: set[int] = set()
    if subject_column is None:
        held = list(notes)
        groups = near_duplicate_groups([str(note["text"]) for note in held], near_duplicate_threshold, shingle_words)
        notes = iter([note | {"subject_id": group} for note, group in zip(held, groups, strict=True)])
    written = write_notes(output, _counting_subjects(notes, subjects, source))
    return dict(counts) | {"written": written, "subjects": len(subjects)}


def _counting_subjects(
    notes: Iterator[dict[str, object]], subjects: set[int], source: Path
) -> Iterator[dict[str, object]]:
    for note in notes:
        subjects.add(int(str(note["subject_id"])))
        yield note
    if not subjects:
        raise DataError(f"{source}: expected notes with text, found none")


def _notes(
    source: Path, id_column: str, text_column: str, subject_column: str | None, counts: Counter[str]
) -> Iterator[dict[str, object]]:
    columns = [id_column, text_column] + ([subject_column] if subject_column else [])
    ids: set[str] = set()
    seen = SeenTexts()
    for where, row in _rows(source, columns):
        counts["rows_read"] += 1
        note_id, text = row[id_column], clean_structured(str(row[text_column] or ""))
        if note_id in (None, "") or str(note_id) in ids:
            raise DataError(
                f"{source}: {where}: expected a note id of its own in {id_column}, found none or a repeated one"
            )
        ids.add(str(note_id))
        if not text:
            counts["empty_dropped"] += 1
        elif not seen.add(text):
            counts["duplicates_dropped"] += 1
        else:
            note: dict[str, object] = {"note_id": str(note_id), "kind": KIND, "text": text}
            if subject_column:
                note["subject_id"] = _whole_number(row[subject_column], source, where, subject_column)
            yield note


def _whole_number(value: object, source: Path, where: str, column: str) -> int:
    try:
        return int(str(value))
    except ValueError:
        raise DataError(f"{source}: {where}: expected a whole number in {column}") from None


def _rows(source: Path, columns: list[str]) -> Iterator[tuple[str, dict[str, object]]]:
    """Rows with a word on where each stands."""
    suffixes = [suffix.lower() for suffix in source.suffixes]
    if ".jsonl" in suffixes:
        yield from _json_lines(source, columns)
    elif ".csv" in suffixes:
        number = 1  # the header's row
        for batch in stream_table(source, columns):
            for row in batch.to_pylist():
                number += 1
                yield f"row {number}", row
    else:
        raise DataError(f"{source}: expected a file of notes ending in .jsonl, .csv, .jsonl.gz or .csv.gz")


def _json_lines(source: Path, columns: list[str]) -> Iterator[tuple[str, dict[str, object]]]:
    opener = gzip.open if source.suffix.lower() == ".gz" else open
    number = 0
    try:
        with opener(source, "rb") as handle:  # bytes, so that only "\n" ends a line
            for number, line in enumerate(handle, start=1):
                if line.strip():
                    yield f"line {number}", _json_row(line, columns, source, number)
    except FileNotFoundError:
        raise DataError(f"{source}: expected a file of notes, found none") from None
    except (OSError, EOFError) as error:
        raise DataError(f"{source}: cannot be read after line {number} ({type(error).__name__})") from None


def _json_row(line: bytes, columns: list[str], source: Path, number: int) -> dict[str, object]:
    try:
        row = json.loads(line)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{source}: line {number}: expected a JSON object ({type(error).__name__})") from None
    if not isinstance(row, dict):
        raise DataError(f"{source}: line {number}: expected a JSON object, found {type(row).__name__}")
    missing = [column for column in columns if column not in row]
    if missing:
        # Keys may be note ids, in a file of one note per id.
        found = ", ".join(row) if look_like_names(row) else f"{len(row)} keys that do not look like names"
        raise DataError(f"{source}: line {number}: expected key {', '.join(missing)}; found {found}")
    return row
