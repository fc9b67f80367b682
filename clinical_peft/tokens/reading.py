"""Reading token shards with pyarrow alone, memory-mapped."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from clinical_peft.data.hash_split import SPLITS
from clinical_peft.errors import DataError
from clinical_peft.files import read_json
from clinical_peft.tokens.integrity import check_shards, read_shard
from clinical_peft.tokens.rows import describe_counts

Ids = npt.NDArray[np.integer]


class TokenShards:
    """Token shards opened for training: memory-mapped, rows by number.

    Args:
        folder: What `tokenise` wrote.
        verify: Whether every byte is compared with the digests in tokens.json; of several processes one is enough.

    Attributes:
        summary: Contents of tokens.json.
        lengths: Stored tokens of each row, shape (rows,), int32.

    Raises:
        DataError: A file is missing, truncated, or does not agree with tokens.json.
    """

    def __init__(self, folder: Path, *, verify: bool = True) -> None:
        self.folder = Path(folder)
        self.summary: dict[str, Any] = read_json(self.folder / "tokens.json")
        self._values: list[Ids] = []
        self._offsets: list[npt.NDArray[np.int32]] = []
        self._documents: list[tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]] = []
        splits = []
        names = [entry["filename"] for entry in read_json(self.folder / "state.json")["_data_files"]]
        if verify:
            check_shards(self.folder, names, self.summary)
        for name in names:
            table = read_shard(self.folder / name)
            for ids, split in zip(table["input_ids"].chunks, table["split"].chunks, strict=True):
                self._values.append(ids.values.to_numpy(zero_copy_only=True))
                self._offsets.append(ids.offsets.to_numpy(zero_copy_only=True))
                splits.append(pc.index_in(split, value_set=pa.array(SPLITS)).to_numpy().astype(np.int8))
            if "document_lengths" in table.column_names:
                for lengths in table["document_lengths"].chunks:
                    self._documents.append((lengths.values.to_numpy(), lengths.offsets.to_numpy()))
        self._splits = np.concatenate(splits) if splits else np.zeros(0, np.int8)
        self.lengths = np.concatenate([np.diff(offsets) for offsets in self._offsets] or [np.zeros(0, np.int32)])
        self._starts = np.cumsum([0, *(len(offsets) - 1 for offsets in self._offsets)])
        expected = sum(count["rows"] for count in self.summary["splits"].values())
        if len(self.lengths) != expected:
            raise DataError(f"{self.folder}: expected {expected} rows, found {len(self.lengths)}; tokenise again")

    def rows(self, split: str) -> npt.NDArray[np.int64]:
        """Return the numbers of a split's rows, ascending."""
        return np.flatnonzero(self._splits == SPLITS.index(split)).astype(np.int64)

    def sequence(self, row: int) -> Ids:
        """Return a row's token ids, shape (length,), a view of the file."""
        chunk, local = self._place(row)
        offsets = self._offsets[chunk]
        return self._values[chunk][offsets[local] : offsets[local + 1]]

    def documents(self, row: int) -> list[Ids]:
        """Return the documents of a row, notes or pieces of notes, in order; attention may not cross their borders."""
        sequence, ends = self.sequence(row), self.boundaries(row)
        return [sequence[start:end] for start, end in pairwise(ends.tolist())]

    def boundaries(self, row: int) -> npt.NDArray[np.int32]:
        """Return where the documents of a row begin and the last one ends, shape (documents + 1,), int32."""
        if not self._documents:
            return np.array([0, self.lengths[row]], np.int32)
        chunk, local = self._place(row)
        lengths, offsets = self._documents[chunk]
        ends = np.zeros(offsets[local + 1] - offsets[local] + 1, np.int32)
        np.cumsum(lengths[offsets[local] : offsets[local + 1]], out=ends[1:])
        return ends

    def positions(self, row: int) -> npt.NDArray[np.int32]:
        """Return each token's position in its document, shape (length,), int32."""
        ends = self.boundaries(row)
        return np.arange(ends[-1], dtype=np.int32) - np.repeat(ends[:-1], np.diff(ends))

    def described(self, split: str) -> str:
        """Return in a few words what a split's rows hold."""
        return describe_counts(self.summary["splits"][split], self.summary["context"])

    def _place(self, row: int) -> tuple[int, int]:
        """Return in which chunk a row is, and its number there."""
        chunk = int(np.searchsorted(self._starts, row, side="right")) - 1
        return chunk, row - int(self._starts[chunk])

    def real_tokens(self, sequences: list[Ids]) -> int:
        """Count the tokens of rows that are not padding (rows hold padding only if they were truncated and padded)."""
        if not self.summary["truncate_and_pad"]:
            return sum(len(sequence) for sequence in sequences)
        return sum(int((sequence != self.summary["pad_token_id"]).sum()) for sequence in sequences)
