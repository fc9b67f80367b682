"""General text beside clinical notes, on which forgetting is measured and which is replayed against it."""

import hashlib
from collections.abc import Iterator, Mapping
from itertools import count, pairwise
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from clinical_peft.data.hash_split import hash_split
from clinical_peft.errors import DataError
from clinical_peft.tokens.encoding import reference_encoder
from clinical_peft.tokens.tokenizer import frame_ids, load_tokenizer
from clinical_peft.training.batching import Rows

Ids = npt.NDArray[np.integer]
NOTES_AT_ONCE = 32
REPLAY = 2  # distinguishes the random stream of general text from that of clinical rows


class TokenRows(Protocol):
    """Rows of token ids by number, such as `clinical_peft.tokens.reading.TokenShards`."""

    folder: Path
    lengths: npt.NDArray[np.int32]
    summary: dict[str, Any]

    def rows(self, split: str) -> Rows:
        """Return the numbers of a split's rows."""

    def sequence(self, row: int) -> Ids:
        """Return a row's token ids."""

    def documents(self, row: int) -> list[Ids]:
        """Return the documents of a row."""

    def real_tokens(self, sequences: list[Ids]) -> int:
        """Count tokens that are not padding."""

    def described(self, split: str) -> str:
        """Describe the rows of a split in a few words."""


class GeneralRows:
    """Some blocks of general text in memory, rows by number.

    Args:
        file: Where the text was read, for messages.
        blocks: Token ids of each row by split.
    """

    def __init__(self, file: Path, blocks: Mapping[str, list[Ids]]) -> None:
        self.folder = file
        self.summary: dict[str, Any] = {}
        self._blocks = [block for part in blocks.values() for block in part]
        self._splits = np.array([split for split, part in blocks.items() for _ in part], dtype=object)
        self.lengths = np.array([len(block) for block in self._blocks], dtype=np.int32)

    def rows(self, split: str) -> Rows:
        """Return the numbers of a split's rows, ascending."""
        return np.flatnonzero(self._splits == split).astype(np.int64)

    def sequence(self, row: int) -> Ids:
        """Return a row's token ids, shape (length,)."""
        return self._blocks[row]

    def documents(self, row: int) -> list[Ids]:
        """Return the one document that a row is part of."""
        return [self._blocks[row]]

    def described(self, split: str) -> str:
        """Describe the rows of a split in a few words."""
        rows = self.rows(split)
        return f"{int(self.lengths[rows].sum()):,} tokens of general text in {len(rows):,} rows"

    def real_tokens(self, sequences: list[Ids]) -> int:
        """Count tokens; rows hold no padding."""
        return sum(len(sequence) for sequence in sequences)

    def fingerprint(self) -> str:
        """Return the SHA-256 of all rows, in their order."""
        digest = hashlib.sha256()
        for block in self._blocks:
            digest.update(len(block).to_bytes(4, "little") + block.tobytes())
        return digest.hexdigest()


def read_general_text(
    file: Path, base: Path, *, context: int, salt: str, wanted: Mapping[str, int | None]
) -> GeneralRows:
    """Tokenise as much of a general corpus as is needed.

    Text is taken in the corpus's order: first the first block of every document, then the second blocks, and so on, so
    that a small sample holds many documents.

    Args:
        file: Parquet file with the columns note_id, subject_id and text.
        base: Base folder, whose tokenizer is used.
        context: Longest block, in tokens.
        salt: Salt of the hash split; a base that was trained here has learned the training split.
        wanted: Approximate tokens of each split; None for all, 0 for none.

    Raises:
        DataError: The file lacks a column, or has no text of a split that is wanted.
    """
    missing = {"note_id", "subject_id", "text"} - set(pq.read_schema(file).names)
    if missing:
        raise DataError(f"{file}: expected columns note_id, subject_id and text; missing: {', '.join(sorted(missing))}")
    blocks = {}
    for split, tokens in wanted.items():
        if tokens == 0:
            continue
        blocks[split] = _blocks(_documents(file, base, split, salt), context, tokens)
        if not blocks[split]:
            raise DataError(f"{file}: expected general text in the {split} split, found none; use a larger corpus")
    return GeneralRows(Path(file), blocks)


def _documents(file: Path, base: Path, split: str, salt: str) -> Iterator[list[int]]:
    tokenizer = load_tokenizer(base)
    encode = reference_encoder(tokenizer)
    start, end = frame_ids(tokenizer)
    notes = pq.ParquetFile(file, pre_buffer=False)
    for batch in notes.iter_batches(NOTES_AT_ONCE, columns=["note_id", "subject_id", "text"]):
        texts = [
            row["text"]
            for row in batch.to_pylist()
            if row["text"]
            and hash_split(row["note_id"] if row["subject_id"] is None else row["subject_id"], salt) == split
        ]
        ids, offsets = encode(texts)
        for first, last in pairwise(offsets.tolist()):
            yield start + ids[first:last].tolist() + end


def _blocks(documents: Iterator[list[int]], context: int, tokens: int | None) -> list[Ids]:
    kept: list[list[int]] = []
    first = 0
    for document in documents:
        kept.append(document)
        first += min(len(document), context)
        if tokens is not None and first >= tokens:
            break
    blocks: list[Ids] = []
    found = 0
    for begin in range(0, max(map(len, kept), default=0), context):
        for document in kept:
            # A block of one token predicts nothing.
            if len(document) < begin + 2 or (tokens is not None and found >= tokens):
                continue
            blocks.append(np.asarray(document[begin : begin + context], dtype=np.int32))
            found += len(blocks[-1])
    return blocks


class RowsWithReplay:
    """Clinical rows, and after them rows of general text that updates may read as well.

    Splits, and so evaluations, are those of the clinical rows alone.

    Args:
        clinical: Token shards.
        general: General text, of which the training split is replayed.
    """

    def __init__(self, clinical: TokenRows, general: GeneralRows) -> None:
        self.clinical = clinical
        self.general = general
        self.folder = clinical.folder
        self.summary = clinical.summary
        self.lengths = np.concatenate([clinical.lengths, general.lengths])
        self._first = len(clinical.lengths)

    def rows(self, split: str) -> Rows:
        """Return the numbers of a split's clinical rows, ascending."""
        return self.clinical.rows(split)

    def sequence(self, row: int) -> Ids:
        """Return a row's token ids, shape (length,)."""
        return self.clinical.sequence(row) if row < self._first else self.general.sequence(row - self._first)

    def documents(self, row: int) -> list[Ids]:
        """Return the documents of a row."""
        return self.clinical.documents(row) if row < self._first else self.general.documents(row - self._first)

    def real_tokens(self, sequences: list[Ids]) -> int:
        """Count tokens that are not padding."""
        return self.clinical.real_tokens(sequences)

    def described(self, split: str) -> str:
        """Describe the rows of a split in a few words."""
        replayed = f", and {self.general.described(split)} to replay" if split == "train" else ""
        return self.clinical.described(split) + replayed

    def with_replay(self, updates: list[Rows], share: float, seed: int) -> list[Rows]:
        """Add rows of general text to updates, each as often as any other.

        Args:
            updates: Clinical row numbers per update.
            share: Share of general text among the tokens of an update, about; kept exactly over many updates.
            seed: Decides the order, together with the pass over the text.

        Returns:
            Row numbers per update.
        """
        order = self._endless_order(seed)
        added: list[Rows] = []
        owed = 0.0
        for rows in updates:
            owed += share / (1 - share) * int(self.lengths[rows].sum())
            general = []
            while owed > 0:
                general.append(next(order))
                owed -= int(self.lengths[general[-1]])
            added.append(np.concatenate([rows, np.array(general, dtype=np.int64)]))
        return added

    def _endless_order(self, seed: int) -> Iterator[int]:
        rows = self.general.rows("train") + self._first
        for number in count():
            yield from np.random.default_rng([seed, number, REPLAY]).permutation(rows).tolist()
