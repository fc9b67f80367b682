"""Pretraining corpora from the note tables of MIMIC-IV-Note and MIMIC-III."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
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
from clinical_peft.data.tables import FLAG, HEADER_ROWS, INTEGER, TEXT, marked_as_error, stream_table
from clinical_peft.errors import ConfigError, DataError

_MOST_SLICES = 16  # from about so many on, writing them takes longer than a copy
CORPORA = ("mimic-iv", "mimic-iii", "combined")


def extract_notes(
    corpus: str,
    output: Path,
    *,
    mimic_iv_note: Path | None,
    mimic_iii: Path | None,
    flattened: bool,
    whole_release: bool | None = None,
) -> dict[str, int]:
    """Write one corpus of clinical notes as a table of notes, at constant memory.

    Args:
        corpus: ``mimic-iv`` (discharge summaries, then radiology reports), ``mimic-iii`` (all of NOTEEVENTS) or
            ``combined`` (MIMIC-III, then MIMIC-IV, the original's order).
        output: Parquet file to write. The same tables give the same bytes, compressed or not.
        mimic_iv_note: Folder of MIMIC-IV-Note; needed unless the corpus is ``mimic-iii``.
        mimic_iii: Folder of MIMIC-III; needed unless the corpus is ``mimic-iv``.
        flattened: Clean as the original: bracket marks and newlines become spaces, and nothing but rows without any
            text is dropped. Otherwise keep lines, normalise marks, and drop empty notes, notes that MIMIC-III marks
            as errors, and exact duplicates (after cleaning).
        whole_release: Whether the tables must have the rows of the release; None: those that look like it
            (`expected_rows`).

    Returns:
        Counts: rows_read, ids_repeated (rows with the note id of an earlier row of their table), empty_dropped,
        marked_as_error_dropped, duplicates_dropped, written; per table (discharge, radiology, noteevents)
        ``{table}_rows`` and, unless it is synthetic, ``{table}_rows_expected`` of the release.

    Raises:
        ConfigError: The corpus is unknown or its folder is not given.
        DataError: A table is missing, malformed or without rows; a row lacks its id or its patient; a release's file
            has another number of rows; two notes to be kept have one id, unless ``flattened``; no note is left.
    """
    tables = _tables(corpus, mimic_iv_note, mimic_iii)
    dropped = dict.fromkeys(("empty_dropped", "marked_as_error_dropped", "duplicates_dropped"), 0)
    counts = Counter(rows_read=0, ids_repeated=0, **dropped, written=0)
    seen = SeenTexts()
    with note_batch_writer(output) as write:
        for table in tables:
            for batch in _checked(table, counts, whole_release):
                kept = _flattened(batch, counts) if flattened else _structured(batch, counts, seen, table.path)
                counts["written"] += kept.num_rows
                if kept.num_rows:
                    write(kept)
        if not counts["written"]:
            raise DataError(f"no note is left of {counts['rows_read']} rows read: the note tables hold no text")
    return dict(counts)


@dataclass(frozen=True)
class _NoteTable:
    """A table of notes: its name, its file, and how it becomes batches of `NOTE_SCHEMA` and ``is_error``."""

    name: str
    path: Path
    read: Callable[[Path], Iterator[pa.RecordBatch]]


def _tables(corpus: str, mimic_iv_note: Path | None, mimic_iii: Path | None) -> list[_NoteTable]:
    if corpus not in CORPORA:
        raise ConfigError(f"corpus: expected one of {', '.join(CORPORA)}, found {corpus}")
    tables = []
    if corpus in ("mimic-iii", "combined"):
        tables.append(_NoteTable("noteevents", _find(mimic_iii, "mimic_iii", "NOTEEVENTS"), _noteevents))
    if corpus in ("mimic-iv", "combined"):
        for name in ("discharge", "radiology"):
            path = _find(mimic_iv_note, "mimic_iv_note", name)
            tables.append(_NoteTable(name, path, partial(_mimic_iv_notes, kind=name)))
    return tables


def _find(folder: Path | None, key: str, name: str) -> Path:
    if folder is None:
        raise ConfigError(f"data.{key}: expected a folder with the table {name}, found null")
    return find_table(folder, name)


def _noteevents(path: Path) -> Iterator[pa.RecordBatch]:
    columns = dict.fromkeys(("CHARTDATE", "CHARTTIME", "CATEGORY", "TEXT"), TEXT)
    columns |= dict.fromkeys(("ROW_ID", "SUBJECT_ID", "HADM_ID"), INTEGER) | {"ISERROR": FLAG}
    for batch in stream_table(path, columns):
        category = pc.utf8_lower(pc.utf8_trim_whitespace(pc.fill_null(batch["CATEGORY"], "unknown")))
        yield pa.RecordBatch.from_pydict(
            {
                "note_id": pc.binary_join_element_wise("mimic-iii", pc.cast(batch["ROW_ID"], TEXT), "-"),
                "subject_id": batch["SUBJECT_ID"],
                "hadm_id": batch["HADM_ID"],
                "kind": pc.if_else(pc.equal(category, "discharge summary"), "discharge", category),
                "charttime": pc.coalesce(batch["CHARTTIME"], batch["CHARTDATE"]),
                "text": batch["TEXT"],
                "is_error": marked_as_error(batch["ISERROR"]),
            }
        )


def _mimic_iv_notes(path: Path, kind: str) -> Iterator[pa.RecordBatch]:
    columns = {"note_id": TEXT, "subject_id": INTEGER, "hadm_id": INTEGER, "charttime": TEXT, "text": TEXT}
    for batch in stream_table(path, columns):
        batch = batch.append_column("kind", pa.repeat(kind, batch.num_rows))
        yield batch.append_column("is_error", pa.repeat(False, batch.num_rows))


def _checked(table: _NoteTable, counts: Counter[str], whole_release: bool | None) -> Iterator[pa.RecordBatch]:
    """Yield a table's batches, counted, with ``row`` and ``repeats_id``; a table with something amiss is an error."""
    rows = 0
    ids = SeenTexts()
    for batch in table.read(table.path):
        for column in ("note_id", "subject_id"):
            if batch[column].null_count:
                number = HEADER_ROWS + rows + 1 + pc.index(pc.is_null(batch[column]), True).as_py()
                raise DataError(
                    f"{table.path}: row {number}: expected a {column} in every row, found none; "
                    "without it notes cannot be told apart or split by patient"
                )
        repeats_id = ~ids.add_all(_views(batch["note_id"]))
        counts["ids_repeated"] += int(repeats_id.sum())
        numbers = np.arange(batch.num_rows) + HEADER_ROWS + rows + 1
        rows += batch.num_rows
        yield batch.append_column("row", pa.array(numbers)).append_column("repeats_id", pa.array(repeats_id))
    if not rows:
        raise DataError(f"{table.path}: expected notes, found a header alone; fetch the whole table")
    counts["rows_read"] += rows
    counts[f"{table.name}_rows"] = rows
    expected = expected_rows(table.path, table.name, rows, whole_release=whole_release)
    if expected is not None:
        counts[f"{table.name}_rows_expected"] = expected


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
