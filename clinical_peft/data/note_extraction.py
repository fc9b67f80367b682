"""Pretraining corpora from the tables of notes of a source, or of several."""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from clinical_peft.data.note_cleaning import flatten_texts, structure_texts, text_view
from clinical_peft.data.note_table import NOTE_SCHEMA, note_batch_writer
from clinical_peft.data.releases import expected_rows
from clinical_peft.data.seen_texts import SeenTexts
from clinical_peft.data.table_files import find_table
from clinical_peft.data.tables import HEADER_ROWS, stripped
from clinical_peft.errors import ConfigError, DataError
from clinical_peft.sources import NoteTable, sources_of_corpus

_MOST_SLICES = 16  # from about so many on, writing them takes longer than a copy


def extract_notes(
    corpus: str,
    output: Path,
    *,
    flattened: bool,
    whole_release: bool | None = None,
    **folders: Path | None,
) -> dict[str, int]:
    """Write one corpus of clinical notes as a table of notes, at constant memory.

    Args:
        corpus: Name of a source, for all of its tables of notes, or ``combined`` (MIMIC-III, then MIMIC-IV, the
            original's order).
        output: Parquet file to write. The same tables give the same bytes, compressed or not.
        flattened: Clean as the original: bracket marks and newlines become spaces, and nothing but rows without any
            text is dropped. Otherwise keep lines, normalise marks, and drop empty notes, notes that MIMIC-III marks
            as errors, and exact duplicates (after cleaning).
        whole_release: Whether the tables must have the rows of the release; None: those that look like it
            (`expected_rows`).
        **folders: Folders of tables of notes by key of a study's section `data`; those of other corpora may be None.

    Returns:
        Counts: rows_read, ids_repeated (rows with the note id of an earlier row of their table), empty_dropped,
        marked_as_error_dropped, duplicates_dropped, written; per table (its name in lower case)
        ``{table}_rows`` and, unless it is synthetic, ``{table}_rows_expected`` of the release.

    Raises:
        ConfigError: The corpus is unknown or its folder is not given.
        DataError: A table is missing, malformed or without rows; a row lacks its id or its patient; a release's file
            has another number of rows; two notes to be kept have one id, unless ``flattened``; no note is left.
    """
    tables = _note_tables(corpus, folders)
    dropped = dict.fromkeys(("empty_dropped", "marked_as_error_dropped", "duplicates_dropped"), 0)
    counts = Counter(rows_read=0, ids_repeated=0, **dropped, written=0)
    seen = SeenTexts()
    with note_batch_writer(output) as write:
        for table, path in tables:
            for batch in _checked(table, path, counts, whole_release):
                kept = _flattened(batch, counts) if flattened else _structured(batch, counts, seen, path)
                counts["written"] += kept.num_rows
                if kept.num_rows:
                    write(kept)
        if not counts["written"]:
            raise DataError(f"no note is left of {counts['rows_read']} rows read: the note tables hold no text")
    return dict(counts)


def _note_tables(corpus: str, folders: Mapping[str, Path | None]) -> list[tuple[NoteTable, Path]]:
    """The tables of a corpus with their files, all of which are found before any is read."""
    found: list[tuple[NoteTable, Path]] = []
    for table in (table for source in sources_of_corpus(corpus) for table in source.note_tables):
        folder = folders.get(table.key)
        if folder is None:
            raise ConfigError(f"data.{table.key}: expected a folder with the table {table.name}, found null")
        found.append((table, find_table(folder, table.name)))
    return found


def _checked(
    table: NoteTable, path: Path, counts: Counter[str], whole_release: bool | None
) -> Iterator[pa.RecordBatch]:
    """Yield a table's batches, counted, with ``row`` and ``repeats_id``; a table with something amiss is an error."""
    rows = 0
    ids = SeenTexts()
    for batch in table.read(path):
        for column in ("note_id", "subject_id"):
            missing = pc.is_null(batch[column])
            if column == "note_id":
                missing = pc.or_(missing, pc.fill_null(pc.equal(stripped(batch[column]), ""), False))
            if pc.any(missing).as_py():
                number = HEADER_ROWS + rows + 1 + pc.index(missing, True).as_py()
                raise DataError(
                    f"{path}: row {number}: expected a {column} in every row, found none; "
                    "without it notes cannot be identified or split by patient"
                )
        repeats_id = ~ids.add_all(_views(batch["note_id"]))
        counts["ids_repeated"] += int(repeats_id.sum())
        numbers = np.arange(batch.num_rows) + HEADER_ROWS + rows + 1
        rows += batch.num_rows
        yield batch.append_column("row", pa.array(numbers)).append_column("repeats_id", pa.array(repeats_id))
    if not rows:
        raise DataError(f"{path}: expected notes, found only a header; fetch the whole table")
    counts["rows_read"] += rows
    name = table.name.lower()
    counts[f"{name}_rows"] = rows
    expected = expected_rows(path, name, rows, whole_release=whole_release)
    if expected is not None:
        counts[f"{name}_rows_expected"] = expected


def _flattened(batch: pa.RecordBatch, counts: Counter[str]) -> pa.Table:
    """Clean a batch and drop rows without text."""
    empty = np.asarray(pc.is_null(batch["text"]))
    counts["empty_dropped"] += int(empty.sum())
    return _kept(batch, flatten_texts(batch["text"]), ~empty)


def _structured(batch: pa.RecordBatch, counts: Counter[str], seen: SeenTexts, path: Path) -> pa.Table:
    """Clean a batch and drop rows without text, those marked as errors, and those whose text was seen before."""
    text = structure_texts(batch["text"])
    has_no_text = np.asarray(pc.is_null(batch["text"]))
    is_error = np.asarray(batch["is_error"]) & ~has_no_text
    is_empty = has_no_text | (np.asarray(pc.equal(text, "")) & ~is_error)
    kept = ~is_error & ~is_empty
    is_new = seen.add_all(_views(text, kept))
    counts["empty_dropped"] += int(is_empty.sum())
    counts["marked_as_error_dropped"] += int(is_error.sum())
    counts["duplicates_dropped"] += int((~is_new).sum())
    kept[kept] = is_new
    clashes = np.flatnonzero(kept & np.asarray(batch["repeats_id"]))
    if clashes.size:
        raise DataError(
            f"{path}: row {batch['row'][int(clashes[0])]}: expected a note id of its own, found that of an earlier row "
            "with another text; the release has none twice: fetch the file again, or number its notes"
        )
    return _kept(batch, text, kept)


def _views(texts: pa.StringArray, mask: NDArray[np.bool_] | None = None) -> Iterator[memoryview]:
    """Yield the bytes of all texts, or of those of a mask."""
    offsets, view = text_view(texts)
    rows = np.arange(len(texts)) if mask is None else np.flatnonzero(mask)
    return (view[start:end] for start, end in zip(offsets[rows].tolist(), offsets[rows + 1].tolist(), strict=True))


def _kept(batch: pa.RecordBatch, text: pa.StringArray, mask: NDArray[np.bool_]) -> pa.Table:
    """Return the rows of a mask as a table of `NOTE_SCHEMA` with another text.

    A few runs of rows are slices, because a filter would copy every text.
    """
    columns = [text if name == "text" else batch[name] for name in NOTE_SCHEMA.names]
    whole = pa.RecordBatch.from_arrays(columns, schema=NOTE_SCHEMA)
    runs = np.flatnonzero(np.diff(mask, prepend=False, append=False)).reshape(-1, 2).tolist()
    few = len(runs) <= _MOST_SLICES
    kept = [whole.slice(start, end - start) for start, end in runs] if few else [whole.filter(pa.array(mask))]
    return pa.Table.from_batches(kept, NOTE_SCHEMA)
