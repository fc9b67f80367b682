"""One part of a corpus: a range of notes as the rows of one Arrow file."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from clinical_peft.data.hash_split import SPLITS, hash_split
from clinical_peft.errors import DataError
from clinical_peft.files import atomic_path, read_json, sha256_file, write_json
from clinical_peft.tokens.encoding import Encoder
from clinical_peft.tokens.rows import EncodedNotes, Ids, Offsets, count_rows, packed_rows, padded_rows

NOTES_PER_BATCH = 1024
BYTES_PER_BATCH = 2 << 20  # of text that is encoded at a time, unless a note has more: an encoder takes many times it
ROWS_PER_BATCH = 4096
COLUMNS = ["note_id", "subject_id", "text"]


@dataclass(frozen=True, kw_only=True)
class PartSettings:
    """What every part of a corpus is made with.

    Attributes:
        notes: Parquet file of the corpus.
        folder: Where finished parts are kept.
        borders: Where the parts begin, and the number of all notes; notes of one part alone may share rows.
        context: Longest document, and length of a row, in tokens.
        split_salt: Salt of the hash split.
        pad: Id that a row is padded with after its note was cut to the context; None to pack instead.
        frame: Ids before and after every note.
        dtype: Type of the ids.
    """

    notes: Path
    folder: Path
    borders: tuple[int, ...]
    context: int
    split_salt: str
    pad: int | None
    frame: tuple[list[int], list[int]]
    dtype: type[np.integer]

    def file(self, number: int) -> Path:
        """Return the path of a part's rows."""
        return self.folder / f"part-{number:05d}.arrow"


def part_borders(notes: Path, notes_per_part: int, bytes_per_part: int) -> tuple[int, ...]:
    """Return the bounds of parts with at most the given numbers of notes and of bytes of text.

    Args:
        notes: Parquet file of the corpus.
        notes_per_part: Most notes of a part.
        bytes_per_part: Most bytes of text of a part of more than one note.
    """
    borders, held, total, size = [0], 0, 0, 0
    for batch in pq.ParquetFile(notes).iter_batches(NOTES_PER_BATCH, columns=["text"], use_threads=False):
        for length in pc.fill_null(pc.binary_length(batch["text"]), 0).to_pylist():
            if held == notes_per_part or (held and size + length > bytes_per_part):
                borders.append(total)
                held = size = 0
            held, total, size = held + 1, total + 1, size + length
    return (*borders, total) if total else (0,)


def finished_part(settings: PartSettings, number: int) -> dict[str, Any] | None:
    """Return what `write_part` returned for a part that is complete, else None."""
    file = settings.file(number)
    record = file.with_suffix(".json")
    if not record.exists() or not file.exists():
        return None
    written: dict[str, Any] = read_json(record)
    return written if written["bytes"] == file.stat().st_size else None


def write_part(settings: PartSettings, number: int, encode: Encoder) -> dict[str, Any]:
    """Encode a part's notes and write their rows.

    Args:
        settings: What the part is made with.
        number: Which part.
        encode: Gives the ids of texts.

    Returns:
        Counts per split, the digests of the rows and of the file, and the file's size.

    Raises:
        DataError: A note has no text.
    """
    notes = _read_notes(settings, number, encode)
    rows = (
        packed_rows(notes, settings.context)
        if settings.pad is None
        else padded_rows(notes, settings.context, settings.pad)
    )
    file = settings.file(number)
    with atomic_path(file) as temporary, pa.ipc.new_stream(temporary, rows.schema) as stream:
        for start in range(0, rows.num_rows, ROWS_PER_BATCH):
            stream.write_batch(rows.slice(start, ROWS_PER_BATCH))
    record = {
        "splits": count_rows(notes, rows, settings.context),
        "sha256": rows_digest(pa.Table.from_batches([rows])),
        "file_sha256": sha256_file(file),
        "bytes": file.stat().st_size,
    }
    write_json(file.with_suffix(".json"), record)
    return record


def rows_digest(rows: pa.Table) -> str:
    """Return the SHA-256 of a part's tokens and documents, however its rows are divided into batches."""
    digest = hashlib.sha256()
    for name in ("input_ids", "document_lengths"):
        if name in rows.schema.names:
            for lists in rows[name].chunks:
                digest.update(lists.value_lengths().to_numpy())
            for lists in rows[name].chunks:
                digest.update(lists.flatten().to_numpy())
    return digest.hexdigest()


def fingerprint(digests: Iterable[str]) -> str:
    """Return the SHA-256 of a corpus, from the digests of its parts' rows in their order."""
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def _read_notes(settings: PartSettings, number: int, encode: Encoder) -> EncodedNotes:
    note_ids, subject_ids, ids, lengths = [], [], [], []
    first = settings.borders[number]
    for batch in _batches(settings, number):
        if batch["text"].null_count:
            row = first + pc.index(pc.is_null(batch["text"]), True).as_py()
            raise DataError(
                f"{settings.notes}, row {row}: expected a note with text, found none; extract the notes again"
            )
        first += batch.num_rows
        for texts in _by_bytes(batch["text"]):
            encoded, offsets = encode(texts.to_pylist())
            ids.append(_framed(encoded, offsets, settings))
            lengths.append(np.diff(offsets) + sum(map(len, settings.frame)))
        note_ids.append(batch["note_id"].cast(pa.string()))
        subject_ids.append(batch["subject_id"])
    note_id, subject_id = pa.concat_arrays(note_ids), _ids(pa.concat_arrays(subject_ids))
    keys = zip(note_id.to_pylist(), subject_id.to_pylist(), strict=True)
    split = [hash_split(note if subject is None else subject, settings.split_salt) for note, subject in keys]
    return EncodedNotes(
        note_id,
        subject_id,
        np.array([SPLITS.index(name) for name in split], np.int64),
        np.concatenate(ids),
        np.cumsum(np.concatenate([[0], *lengths]), dtype=np.int64),
    )


def _ids(subject_id: pa.Array) -> pa.Array:
    """Patients as strings where a study's own table has strings, else as whole numbers."""
    is_text = pa.types.is_string(subject_id.type) or pa.types.is_large_string(subject_id.type)
    return subject_id.cast(pa.string() if is_text else pa.int64())


def _batches(settings: PartSettings, number: int) -> Iterator[pa.RecordBatch]:
    """Yield a part's notes; of the row groups, only those that hold some are read."""
    file = pq.ParquetFile(settings.notes)
    first, end = settings.borders[number : number + 2]
    borders = np.cumsum([0, *(file.metadata.row_group(group).num_rows for group in range(file.num_row_groups))])
    groups = np.flatnonzero((borders[:-1] < end) & (borders[1:] > first)).tolist()
    position = int(borders[groups[0]]) if groups else 0
    for batch in file.iter_batches(NOTES_PER_BATCH, row_groups=groups, columns=COLUMNS, use_threads=False):
        begin, stop = max(first - position, 0), min(end - position, batch.num_rows)
        if begin < stop:
            yield batch.slice(begin, stop - begin)
        position += batch.num_rows


def _by_bytes(texts: pa.StringArray) -> Iterator[pa.StringArray]:
    """Yield a batch's texts in slices of about the number of bytes that are encoded at a time."""
    before = np.concatenate([[0], np.cumsum(pc.binary_length(texts).to_numpy())])
    starts = np.flatnonzero(np.diff(before[:-1] // BYTES_PER_BATCH, prepend=-1)).tolist()
    for start, end in pairwise([*starts, len(texts)]):
        yield texts.slice(start, end - start)


def _framed(ids: npt.NDArray[np.uint32], offsets: Offsets, settings: PartSettings) -> Ids:
    """Put the ids before and after each of the texts whose ids lie on end."""
    start, stop = settings.frame
    width = len(start) + len(stop)
    texts = np.arange(len(offsets) - 1)
    framed = np.empty(len(ids) + width * len(texts), settings.dtype)
    framed[np.arange(len(ids)) + np.repeat(width * texts + len(start), np.diff(offsets))] = ids
    begins, ends = offsets[:-1] + width * texts, offsets[1:] + width * (texts + 1)
    for place, value in enumerate(start):
        framed[begins + place] = value
    for place, value in enumerate(reversed(stop), start=1):
        framed[ends - place] = value
    return framed
