"""Writing token shards: notes as Arrow files that `datasets.load_from_disk` opens.

Each row is one block of a note, at most `context` tokens long and without padding; a longer note continues in the
next row. Notes are streamed, so memory does not grow with the corpus.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from clinical_peft.errors import DataError
from clinical_peft.files import atomic_path, write_json
from clinical_peft.hash_split import SPLITS, hash_split
from clinical_peft.tokens.tokenizer import frame_ids, load_tokenizer

NOTES_PER_BATCH = 1024
TOKENS_PER_SHARD = 2**27

Ids = npt.NDArray[np.integer]


def token_type(vocabulary: int) -> type[np.integer]:
    """Return the smallest type that holds every token id."""
    return np.uint16 if vocabulary <= np.iinfo(np.uint16).max + 1 else np.int32


def tokenise(
    notes: Path,
    base: Path,
    output: Path,
    *,
    context: int,
    split_salt: str,
    truncate_and_pad: bool = False,
    tokens_per_shard: int = TOKENS_PER_SHARD,
) -> dict[str, Any]:
    """Write a corpus as token shards.

    Args:
        notes: Parquet file with the columns note_id, subject_id and text.
        base: Base folder, whose tokenizer is used.
        output: Folder to write, whole or not at all.
        context: Longest row, in tokens.
        split_salt: Salt of the hash split by patient, or by note where there is no patient.
        truncate_and_pad: Cut every note to `context` and pad it to that, as the original does; nothing is split.
        tokens_per_shard: Tokens after which a new file begins.

    Returns:
        What is also written to tokens.json: notes, rows and tokens (padding not counted) per split, and settings.

    Raises:
        DataError: The notes lack a column, a text is missing, or a split ends up empty.
    """
    tokenizer = load_tokenizer(base)
    counts = {split: {"notes": 0, "rows": 0, "tokens": 0, "dropped_tokens": 0} for split in SPLITS}
    dtype = token_type(len(tokenizer))
    digest = hashlib.sha256()
    with atomic_path(Path(output)) as folder:
        folder.mkdir()
        writer = _ShardWriter(folder, dtype, tokens_per_shard)
        pad = tokenizer.pad_token_id if truncate_and_pad else None
        for encoded in _encoded_notes(Path(notes), tokenizer, split_salt):
            rows = list(_blocks(encoded, context, dtype, pad, counts))
            for row in rows:
                digest.update(row[3].tobytes())
            writer.write(rows)
        files = writer.close()
        summary = {
            "context": context,
            "split_salt": split_salt,
            "truncate_and_pad": truncate_and_pad,
            "vocabulary": len(tokenizer),
            "pad_token_id": tokenizer.pad_token_id,
            "splits": counts,
            "fingerprint": digest.hexdigest(),
        }
        _require_splits(counts, notes)
        _write_descriptions(folder, files, dtype, summary)
    return summary


def _encoded_notes(notes: Path, tokenizer: Any, salt: str) -> Iterator[list[tuple[str, int | None, str, list[int]]]]:
    backend: Any = tokenizer.backend_tokenizer
    backend.no_truncation()
    backend.no_padding()
    # A note that happens to spell a special token must not be read as one.
    backend.encode_special_tokens = True
    start, end = frame_ids(tokenizer)
    file = pq.ParquetFile(notes)
    missing = {"note_id", "subject_id", "text"} - set(file.schema_arrow.names)
    if missing:
        raise DataError(
            f"{notes}: expected columns note_id, subject_id and text; missing: {', '.join(sorted(missing))}"
        )
    for batch in file.iter_batches(NOTES_PER_BATCH, columns=["note_id", "subject_id", "text"]):
        columns: dict[str, list[Any]] = batch.to_pydict()
        ids, subjects, texts = columns["note_id"], columns["subject_id"], columns["text"]
        if None in texts:
            raise DataError(f"{notes}: note {ids[texts.index(None)]} has no text; extract the notes again")
        encodings = backend.encode_batch_fast(texts, add_special_tokens=False)
        yield [
            (note, subject, hash_split(note if subject is None else subject, salt), start + encoding.ids + end)
            for note, subject, encoding in zip(ids, subjects, encodings, strict=True)
        ]


def _blocks(
    encoded: list[tuple[str, int | None, str, list[int]]],
    context: int,
    dtype: type[np.integer],
    pad: int | None,
    counts: dict[str, dict[str, int]],
) -> Iterator[tuple[str, int | None, str, Ids]]:
    for note, subject, split, tokens in encoded:
        ids: Ids = np.asarray(tokens, dtype=dtype)
        count = counts[split]
        count["notes"] += 1
        if pad is None:
            blocks = [ids[start : start + context] for start in range(0, len(ids), context)]
            kept = len(ids)
        else:
            kept = min(len(ids), context)
            blocks = [np.pad(ids[:context], (0, context - kept), constant_values=pad)]
        count["rows"] += len(blocks)
        count["tokens"] += kept
        count["dropped_tokens"] += len(ids) - kept
        for block in blocks:
            yield note, subject, split, block


class _ShardWriter:
    """Writes rows to Arrow stream files, a new one after every `tokens_per_shard` tokens."""

    def __init__(self, folder: Path, dtype: type[np.integer], tokens_per_shard: int) -> None:
        self.folder = folder
        self.dtype = dtype
        self.limit = tokens_per_shard
        self.schema = pa.schema(
            {
                "note_id": pa.string(),
                "subject_id": pa.int64(),
                "split": pa.string(),
                "input_ids": pa.list_(pa.from_numpy_dtype(dtype)),
            }
        )
        self.files: list[Path] = []
        self.stream: pa.RecordBatchStreamWriter | None = None
        self.tokens = 0

    def write(self, rows: list[tuple[str, int | None, str, Ids]]) -> None:
        if not rows:
            return
        if self.stream is None or self.tokens >= self.limit:
            self._open()
        assert self.stream is not None
        offsets = np.cumsum([0, *(len(row[3]) for row in rows)], dtype=np.int32)
        values = pa.array(np.concatenate([row[3] for row in rows]))
        columns = [
            pa.array([row[0] for row in rows], pa.string()),
            pa.array([row[1] for row in rows], pa.int64()),
            pa.array([row[2] for row in rows], pa.string()),
            pa.ListArray.from_arrays(pa.array(offsets), values),
        ]
        self.stream.write_batch(pa.record_batch(columns, schema=self.schema))
        self.tokens += int(offsets[-1])

    def _open(self) -> None:
        if self.stream is not None:
            self.stream.close()
        self.files.append(self.folder / f"part-{len(self.files):05d}.arrow")
        self.stream = pa.ipc.new_stream(self.files[-1], self.schema)
        self.tokens = 0

    def close(self) -> list[str]:
        """Finish the last file, give all their final names and return these."""
        if self.stream is not None:
            self.stream.close()
        names = [f"data-{index:05d}-of-{len(self.files):05d}.arrow" for index in range(len(self.files))]
        for file, name in zip(self.files, names, strict=True):
            file.rename(self.folder / name)
        return names


def _require_splits(counts: dict[str, dict[str, int]], notes: Path) -> None:
    for split, count in counts.items():
        if count["notes"] == 0:
            raise DataError(
                f"{notes}: no note falls into the {split} split; expected at least one patient there; "
                "use a larger corpus or another split salt"
            )


def _write_descriptions(folder: Path, files: list[str], dtype: type[np.integer], summary: dict[str, Any]) -> None:
    def value(name: str) -> dict[str, str]:
        return {"dtype": name, "_type": "Value"}

    features = {
        "note_id": value("string"),
        "subject_id": value("int64"),
        "split": value("string"),
        "input_ids": {"feature": value(np.dtype(dtype).name), "_type": "List"},
    }
    write_json(
        folder / "dataset_info.json",
        {"citation": "", "description": "", "features": features, "homepage": "", "license": ""},
    )
    state = {
        "_data_files": [{"filename": name} for name in files],
        "_fingerprint": summary["fingerprint"][:16],
        "_format_columns": None,
        "_format_kwargs": {},
        "_format_type": None,
        "_output_all_columns": False,
        "_split": None,
    }
    write_json(folder / "state.json", state)
    write_json(folder / "tokens.json", summary)
