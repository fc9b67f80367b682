"""Pretraining corpora from the note tables of MIMIC-IV-Note and MIMIC-III."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pyarrow as pa

from clinical_peft.data.note_table import SeenTexts, clean_flattened, clean_structured, write_notes
from clinical_peft.data.table_files import find_table
from clinical_peft.data.tables import INTEGER, TEXT, stream_table
from clinical_peft.errors import ConfigError, DataError

CORPORA = ("mimic-iv", "mimic-iii", "combined")
_KINDS = {"discharge summary": "discharge"}  # other categories of MIMIC-III: their own name in lower case


@dataclass
class ExtractionCounts:
    """What became of the rows of the note tables."""

    rows_read: int = 0
    empty_dropped: int = 0
    marked_as_error_dropped: int = 0
    duplicates_dropped: int = 0
    written: int = 0


def extract_notes(
    corpus: str, output: Path, *, mimic_iv_note: Path | None, mimic_iii: Path | None, flattened: bool
) -> dict[str, int]:
    """Write one corpus of clinical notes as a table of notes.

    Args:
        corpus: ``mimic-iv`` (discharge summaries, then radiology reports), ``mimic-iii`` (all of NOTEEVENTS) or
            ``combined`` (MIMIC-III, then MIMIC-IV, the original's order).
        output: Parquet file to write.
        mimic_iv_note: Folder of MIMIC-IV-Note; needed unless the corpus is ``mimic-iii``.
        mimic_iii: Folder of MIMIC-III; needed unless the corpus is ``mimic-iv``.
        flattened: Clean as the original: bracket marks and newlines become spaces, and nothing but rows without any
            text is dropped. Otherwise keep lines, normalise marks, and drop empty notes, notes that MIMIC-III marks
            as errors, and exact duplicates (after cleaning).

    Returns:
        Counts: rows_read, empty_dropped, marked_as_error_dropped, duplicates_dropped, written.

    Raises:
        ConfigError: The corpus is unknown or its folder is not given.
        DataError: A table is missing or malformed, or no note is left.
    """
    readers = _readers(corpus, mimic_iv_note, mimic_iii)
    counts = ExtractionCounts()
    counts.written = write_notes(output, _clean(readers, counts, flattened))
    return dict(vars(counts))


Reader = Callable[[], Iterator[pa.RecordBatch]]


def _readers(corpus: str, mimic_iv_note: Path | None, mimic_iii: Path | None) -> list[Reader]:
    if corpus not in CORPORA:
        raise ConfigError(f"corpus: expected one of {', '.join(CORPORA)}, found {corpus}")
    readers: list[Reader] = []
    if corpus in ("mimic-iii", "combined"):
        readers.append(partial(_noteevents, _table(mimic_iii, "mimic_iii", "NOTEEVENTS")))
    if corpus in ("mimic-iv", "combined"):
        for name in ("discharge", "radiology"):
            readers.append(partial(_mimic_iv_notes, _table(mimic_iv_note, "mimic_iv_note", name), name))
    return readers


def _table(folder: Path | None, key: str, name: str) -> Path:
    if folder is None:
        raise ConfigError(f"data.{key}: expected a folder with the table {name}, found null")
    return find_table(folder, name)


def _noteevents(path: Path) -> Iterator[pa.RecordBatch]:
    """Batches with the columns of a table of notes, and ``is_error``."""
    columns = dict.fromkeys(("ROW_ID", "CHARTDATE", "CHARTTIME", "CATEGORY", "ISERROR", "TEXT"), TEXT)
    for batch in stream_table(path, columns | {"SUBJECT_ID": INTEGER, "HADM_ID": INTEGER}):
        rows = batch.to_pydict()
        categories = [(category or "unknown").strip().lower() for category in rows["CATEGORY"]]
        charttimes = [time or date for time, date in zip(rows["CHARTTIME"], rows["CHARTDATE"], strict=True)]
        yield pa.RecordBatch.from_pydict(
            {
                "note_id": [f"mimic-iii-{row_id}" for row_id in rows["ROW_ID"]],
                "subject_id": batch["SUBJECT_ID"],
                "hadm_id": batch["HADM_ID"],
                "kind": [_KINDS.get(category, category) for category in categories],
                "charttime": pa.array(charttimes, TEXT),
                "text": batch["TEXT"],
                "is_error": [flag == "1" for flag in rows["ISERROR"]],
            }
        )


def _mimic_iv_notes(path: Path, kind: str) -> Iterator[pa.RecordBatch]:
    columns = {"note_id": TEXT, "subject_id": INTEGER, "hadm_id": INTEGER, "charttime": TEXT, "text": TEXT}
    for batch in stream_table(path, columns):
        batch = batch.append_column("kind", pa.repeat(kind, batch.num_rows))
        yield batch.append_column("is_error", pa.repeat(False, batch.num_rows))


def _clean(readers: list[Reader], counts: ExtractionCounts, flattened: bool) -> Iterator[dict[str, object]]:
    seen = SeenTexts()
    for reader in readers:
        for batch in reader():
            counts.rows_read += batch.num_rows
            for row in batch.to_pylist():
                is_error = row.pop("is_error")
                text = row["text"]
                if text is None:
                    counts.empty_dropped += 1
                    continue
                if flattened:
                    yield row | {"text": clean_flattened(text)}
                    continue
                cleaned = clean_structured(text)
                if is_error:
                    counts.marked_as_error_dropped += 1
                elif not cleaned:
                    counts.empty_dropped += 1
                elif not seen.add(cleaned):
                    counts.duplicates_dropped += 1
                else:
                    yield row | {"text": cleaned}
    if counts.rows_read == counts.empty_dropped + counts.marked_as_error_dropped + counts.duplicates_dropped:
        raise DataError(f"no note is left of {counts.rows_read} rows read: the note tables hold no text")
