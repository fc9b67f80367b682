"""Rows of token ids from encoded notes: packed, or one cut and padded note each as in the original."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from clinical_peft.data.hash_split import SPLITS
from clinical_peft.tokens.packing import Documents, cut_notes, pack

Ids = npt.NDArray[np.integer]
Offsets = npt.NDArray[np.int64]


@dataclass(frozen=True)
class EncodedNotes:
    """Notes as token ids.

    Attributes:
        note_id: Their ids.
        subject_id: Their patients, null for a note without one.
        split: Number of each one's split.
        ids: Token ids of all notes on end.
        offsets: Where each note's begin, shape (notes + 1,).
    """

    note_id: pa.Array
    subject_id: pa.Array
    split: npt.NDArray[np.int64]
    ids: Ids
    offsets: Offsets

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Tokens of each note."""
        return np.diff(self.offsets)


def packed_rows(notes: EncodedNotes, context: int) -> pa.RecordBatch:
    """Return packed rows, split by split; notes of different splits share none."""
    chosen, numbers, total = [], [], 0
    rows_of_split = []
    for split in range(len(SPLITS)):
        members = np.flatnonzero(notes.split == split)
        documents, row = pack(cut_notes(notes.lengths[members], context), context, context)
        chosen.append(documents._replace(note=members[documents.note]))
        numbers.append(row + total)
        rows_of_split.append(int(row[-1]) + 1 if len(row) else 0)
        total += rows_of_split[-1]
    documents = Documents(*(np.concatenate(columns) for columns in zip(*chosen, strict=True)))
    first = np.searchsorted(np.concatenate(numbers), np.arange(total + 1))
    ends = np.concatenate([[0], np.cumsum(documents.length)])
    source = np.repeat(notes.offsets[documents.note] + documents.start - ends[:-1], documents.length)
    return pa.record_batch(
        {
            "note_ids": _lists(first, notes.note_id.take(pa.array(documents.note))),
            "subject_ids": _lists(first, notes.subject_id.take(pa.array(documents.note))),
            "split": _split_names(np.repeat(np.arange(len(SPLITS)), rows_of_split)),
            "input_ids": _lists(ends[first], pa.array(notes.ids[source + np.arange(len(source))])),
            "document_lengths": _lists(first, pa.array(documents.length, pa.int32())),
            "document_starts": _lists(first, pa.array(documents.start, pa.int32())),
        }
    )


def padded_rows(notes: EncodedNotes, context: int, pad: int) -> pa.RecordBatch:
    """Return one row per note, cut to the context and padded to it."""
    ids = np.full((len(notes.lengths), context), pad, notes.ids.dtype)
    kept = np.arange(context) < notes.lengths[:, None]
    source = notes.offsets[:-1, None] + np.arange(context)
    ids[kept] = notes.ids[source[kept]]
    return pa.record_batch(
        {
            "note_id": notes.note_id,
            "subject_id": notes.subject_id,
            "split": _split_names(notes.split),
            "input_ids": _lists(context * np.arange(len(ids) + 1), pa.array(ids.ravel())),
        }
    )


def _lists(offsets: npt.NDArray[np.integer], values: pa.Array) -> pa.ListArray:
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values)


def _split_names(numbers: npt.NDArray[np.integer]) -> pa.Array:
    return pa.array(SPLITS).take(pa.array(numbers))


def count_rows(notes: EncodedNotes, rows: pa.RecordBatch, context: int) -> dict[str, dict[str, int]]:
    """Count per split what was read and what the rows hold."""
    packed = "document_lengths" in rows.schema.names
    stored = notes.lengths if packed else np.minimum(notes.lengths, context)
    documents = rows["document_lengths"].value_lengths().to_numpy() if packed else np.ones(rows.num_rows, np.int64)
    split_of_row = pc.index_in(rows["split"], value_set=pa.array(SPLITS)).to_numpy()

    def total(split: npt.NDArray[np.integer], values: npt.NDArray[np.integer], number: int) -> int:
        return int(values[split == number].sum())

    return {
        name: {
            "notes": int((notes.split == number).sum()),
            "documents": total(split_of_row, documents, number),
            "rows": int((split_of_row == number).sum()),
            "tokens": total(notes.split, stored, number),
            "dropped_tokens": total(notes.split, notes.lengths - stored, number),
        }
        for number, name in enumerate(SPLITS)
    }


def describe_counts(count: Mapping[str, int], context: int) -> str:
    """Return in a few words what rows hold: exact numbers of tokens and rows, and the share of them that is empty."""
    room = max(count["rows"] * context, 1)
    return f"{count['tokens']:,} tokens in {count['rows']:,} rows, {1 - count['tokens'] / room:.2%} padding"
