"""A corpus from a user's own file of notes."""

from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from clinical_peft.data.json_lines import kind_of, read_json_lines
from clinical_peft.data.near_duplicates import SHINGLE_WORDS, THRESHOLD, near_duplicate_groups
from clinical_peft.data.note_cleaning import clean_structured
from clinical_peft.data.note_table import write_notes
from clinical_peft.data.seen_texts import SeenTexts
from clinical_peft.data.tables import stream_table
from clinical_peft.data.whole_numbers import whole_number
from clinical_peft.errors import DataError

KIND = "imported"
FIRST_ROWS = 100


def import_notes(
    source: Path,
    output: Path,
    *,
    id_column: str,
    text_column: str,
    subject_column: str | None = None,
    near_duplicate_threshold: float = THRESHOLD,
    shingle_words: int = SHINGLE_WORDS,
    inside: str | None = None,
) -> dict[str, int]:
    """Write a user's notes as a table of notes.

    Lines are kept, de-identification marks normalised, empty notes and exact duplicates dropped. Without patient
    ids, notes that overlap (`near_duplicate_groups`) share a subject_id, so that a split by subject keeps them
    together.

    Args:
        source: ``.jsonl``, ``.csv``, or either with ``.gz``.
        output: Parquet file to write.
        id_column: Key or column of the note's id, a text or a whole number; ids must be unique.
        text_column: Key or column of the text.
        subject_column: Key or column of the patient's id, a whole number in any spelling of
            `clinical_peft.data.whole_numbers`.
        near_duplicate_threshold: Share of the shorter note's shingles that makes two notes overlap; used without
            ``subject_column`` only, when every note is held in memory.
        shingle_words: Words of a shingle.
        inside: Path of the file where ``source`` is a folder that holds it; None where ``source`` is the file.

    Returns:
        Counts: rows_read, empty_dropped, duplicates_dropped, written, subjects.

    Raises:
        DataError: The table is malformed (`stream_table`, `read_json_lines`), a text is another value than a string,
            an id is missing, repeated or of another kind, or no note is left.
    """
    counts = Counter(rows_read=0, empty_dropped=0, duplicates_dropped=0)
    source = Path(source) / (inside or "")
    notes = _notes(source, id_column, text_column, subject_column, counts)
    subjects: set[int] = set()
    if subject_column is None:
        held = list(notes)
        groups = near_duplicate_groups([str(note["text"]) for note in held], near_duplicate_threshold, shingle_words)
        notes = iter([note | {"subject_id": group} for note, group in zip(held, groups, strict=True)])
    written = write_notes(output, _counting_subjects(notes, subjects, source))
    return dict(counts) | {"written": written, "subjects": len(subjects)}


def check_note_file(
    source: Path, *, id_column: str, text_column: str, subject_column: str | None = None, rows: int = FIRST_ROWS
) -> None:
    """Read the first rows of a user's file as `import_notes` does.

    Args:
        source: As for `import_notes`, like the other arguments.
        id_column: Key or column of the note's id.
        text_column: Key or column of the text.
        subject_column: Key or column of the patient's id, or None.
        rows: Notes to read at most.

    Raises:
        DataError: As for `import_notes`; or none of many first rows holds a text.
    """
    counts = Counter(rows_read=0, empty_dropped=0, duplicates_dropped=0)
    notes = _notes(Path(source), id_column, text_column, subject_column, counts)
    if next(islice(notes, rows, None), None) is None and counts["rows_read"] == counts["empty_dropped"]:
        raise DataError(f"{source}: expected notes with text in {text_column}, found none")


def survey_note_file(
    source: Path, *, id_column: str, text_column: str, subject_column: str | None = None
) -> dict[str, int]:
    """Read every note of a user's file as `import_notes` does, without writing anything.

    Args:
        source: As for `import_notes`, like the other arguments.
        id_column: Key or column of the note's id.
        text_column: Key or column of the text.
        subject_column: Key or column of the patient's id, or None.

    Returns:
        Counts: rows_read, empty_dropped, duplicates_dropped.

    Raises:
        DataError: As for `import_notes`.
    """
    counts = Counter(rows_read=0, empty_dropped=0, duplicates_dropped=0)
    for _ in _notes(Path(source), id_column, text_column, subject_column, counts):
        pass
    return dict(counts)


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
    for where, row in _rows(source, columns, text_column):
        counts["rows_read"] += 1
        place = f"{source}: {where}"
        note_id, text = _note_id(row[id_column], place, id_column), _text(row[text_column], place, text_column)
        if not note_id.strip() or note_id in ids:
            raise DataError(f"{place}: expected a note id of its own in {id_column}, found none or a repeated one")
        ids.add(note_id)
        note: dict[str, object] = {"note_id": note_id, "kind": KIND, "text": clean_structured(text)}
        if subject_column:
            note["subject_id"] = _subject(row[subject_column], place, subject_column)
        if not note["text"]:
            counts["empty_dropped"] += 1
        elif not seen.add(str(note["text"])):
            counts["duplicates_dropped"] += 1
        else:
            yield note


def _text(value: object, place: str, column: str) -> str:
    if not isinstance(value, str):
        raise DataError(
            f"{place}: expected a string in {column}, found {kind_of(value)}; write its text, or leave out the line"
        )
    return value


def _note_id(value: object, place: str, column: str) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    number = whole_number(value)
    if number is None:
        raise DataError(
            f"{place}: expected a string or a whole number of 64 bits in {column}, found {kind_of(value)}; write the "
            "id as a string"
        )
    return str(number)


def _subject(value: object, place: str, column: str) -> int:
    number = whole_number(value)
    if number is None:
        raise DataError(
            f"{place}: expected a whole number in {column} (64 bits, without an exponent), found {kind_of(value)}; "
            "number the patients"
        )
    return number


def _rows(source: Path, columns: list[str], text_column: str) -> Iterator[tuple[str, dict[str, object]]]:
    """Rows with a word on where each stands."""
    suffixes = [suffix.lower() for suffix in source.suffixes]
    if ".jsonl" in suffixes:
        for number, line in read_json_lines(source, columns):
            yield f"line {number}", line
    elif ".csv" in suffixes:
        number = 1  # the header's row
        for batch in stream_table(source, columns):
            for row in batch.to_pylist():
                number += 1
                yield (
                    f"row {number}",
                    row | {text_column: row[text_column] or ""},
                )  # a field without a value is a missing text
    else:
        raise DataError(f"{source}: expected a file of notes ending in .jsonl, .csv, .jsonl.gz or .csv.gz")
