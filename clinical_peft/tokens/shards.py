"""Writing token shards: notes as Arrow files that `datasets.load_from_disk` opens.

A corpus is worked on in parts of `NOTES_PER_PART` notes, or of fewer that have `BYTES_PER_PART` of text, each of which
becomes one file, so that memory grows neither with the corpus nor with its notes, processes can share the parts, and a
job that is killed goes on with the parts it had not finished.
What the files hold depends on the notes, the tokenizer and the settings alone, and not on the number of processes.

Columns of packed rows: note_ids, subject_ids, document_lengths and document_starts (first token of the document in its
note) have one entry per document; input_ids are the documents' tokens on end, without padding; split. Rows that are
cut and padded as in the original have note_id, subject_id, split and input_ids.
"""

import hashlib
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from transformers import PreTrainedTokenizerFast

from clinical_peft.data.hash_split import SPLITS
from clinical_peft.errors import DataError
from clinical_peft.files import atomic_path, private_directory, read_json, sha256_file, write_json
from clinical_peft.runtime.process_pool import in_processes
from clinical_peft.runtime.progress import Progress
from clinical_peft.tokens.encoding import Encoder, EncodersDifferError, fast_encoder, reference_encoder
from clinical_peft.tokens.parts import (
    COLUMNS,
    PartSettings,
    fingerprint,
    finished_part,
    part_borders,
    write_part,
)
from clinical_peft.tokens.rows import describe_counts
from clinical_peft.tokens.tokenizer import frame_ids, highest_id, load_tokenizer

# About three million tokens: enough that best fit leaves little empty, and a few dozen megabytes of memory.
NOTES_PER_PART = 8192
BYTES_PER_PART = 32 << 20  # of text: parts of discharge summaries have fewer notes, of about as many tokens
COUNTS = ("notes", "documents", "rows", "tokens", "dropped_tokens")
FORMAT = 3  # raised when the same inputs give other files

logger = logging.getLogger(__name__)


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
    processes: int = 1,
    work: Path | None = None,
    notes_per_part: int = NOTES_PER_PART,
    bytes_per_part: int = BYTES_PER_PART,
) -> dict[str, Any]:
    """Write a corpus as token shards.

    Args:
        notes: Parquet file with the columns note_id, subject_id and text. A note with an empty text has the
            tokenizer's start and end tokens alone, and no row where there are none.
        base: Base folder, whose tokenizer is used.
        output: Folder to write, whole or not at all.
        context: Longest document, in tokens, and length of a row.
        split_salt: Salt of the hash split by patient, or by note where there is no patient.
        truncate_and_pad: Cut every note to `context` and pad it to that, as the original does; otherwise notes are
            packed and none is shortened.
        processes: Processes that share the work.
        work: Folder in which finished parts outlive a job that is killed; it is removed at the end. None for a
            temporary one.
        notes_per_part: Notes of a part, which becomes one file; notes of different parts share no row.
        bytes_per_part: Text of a part at most, unless a single note has more.

    Returns:
        What is also written to tokens.json: notes, documents, rows, tokens and dropped tokens (padding not counted)
        per split, settings, and the digests that readers check.

    Raises:
        DataError: The notes lack a column, a text is missing, or a split ends up empty.
    """
    notes, output = Path(notes), Path(output)
    _require_columns(notes)
    tokenizer = load_tokenizer(base)
    with _work_folder(work, output) as folder:
        settings = PartSettings(
            notes=notes,
            folder=folder,
            borders=part_borders(notes, notes_per_part, bytes_per_part),
            context=context,
            split_salt=split_salt,
            pad=tokenizer.pad_token_id if truncate_and_pad else None,
            frame=frame_ids(tokenizer),
            dtype=token_type(highest_id(tokenizer) + 1),
        )
        if work is not None:
            _drop_parts_of_another_run(settings, tokenizer)
        parts = _write_parts(settings, tokenizer, processes)
        counts = _added(parts)
        _require_splits(counts, notes)
        summary = {
            "context": context,
            "split_salt": split_salt,
            "truncate_and_pad": truncate_and_pad,
            "vocabulary": len(tokenizer),
            "pad_token_id": tokenizer.pad_token_id,
            "splits": counts,
            "fingerprint": fingerprint(part["sha256"] for part in parts),
        }
        files = [f"data-{number:05d}-of-{len(parts):05d}.arrow" for number in range(len(parts))]
        summary["files"] = [
            {"name": name, "bytes": part["bytes"], "sha256": part["file_sha256"], "rows_sha256": part["sha256"]}
            for name, part in zip(files, parts, strict=True)
        ]
        with atomic_path(output) as shards:
            shards.mkdir()
            for number, name in enumerate(files):
                _link(settings.file(number), shards / name)
            _write_descriptions(shards, files, summary)
    for split, count in counts.items():
        logger.info("%s, %s: %d notes, %s", output, split, count["notes"], describe_counts(count, context))
    return summary


def _require_columns(notes: Path) -> None:
    missing = set(COLUMNS) - set(pq.read_schema(notes).names)
    if missing:
        raise DataError(
            f"{notes}: expected columns note_id, subject_id and text; missing: {', '.join(sorted(missing))}"
        )


@contextmanager
def _work_folder(work: Path | None, output: Path) -> Iterator[Path]:
    """Yield a folder for finished parts; one that was asked for survives an error."""
    if work is not None:
        yield private_directory(Path(work))
        shutil.rmtree(work)
        return
    private_directory(output.parent)
    with tempfile.TemporaryDirectory(prefix=".partial-", dir=output.parent) as folder:
        yield Path(folder)


def _write_parts(settings: PartSettings, tokenizer: PreTrainedTokenizerFast, processes: int) -> list[dict[str, Any]]:
    """Write the parts that are not there yet, and return the record of each."""
    encode = fast_encoder(tokenizer)
    try:
        return _records(settings, encode or reference_encoder(tokenizer), processes)
    except EncodersDifferError:
        # What the compiled encoder wrote so far agreed in samples alone.
        logger.warning("fastokens encodes a note differently: encoding the whole corpus by tokenizers")
        for file in settings.folder.glob("part-*.json"):
            file.unlink()
        return _records(settings, reference_encoder(tokenizer), processes)


def _records(settings: PartSettings, encode: Encoder, processes: int) -> list[dict[str, Any]]:
    found = {number: finished_part(settings, number) for number in range(len(settings.borders) - 1)}
    records = {number: record for number, record in found.items() if record is not None}
    progress = Progress(f"tokens of {settings.notes.stem}", len(found), done=len(records))

    def write(number: int) -> tuple[int, dict[str, Any]]:
        return number, write_part(settings, number, encode)

    for number, record in in_processes(write, [number for number in found if number not in records], processes):
        records[number] = record
        progress.update(len(records), tokens=sum(split["tokens"] for split in record["splits"].values()))
    return [records[number] for number in found]


def _drop_parts_of_another_run(settings: PartSettings, tokenizer: PreTrainedTokenizerFast) -> None:
    """Empty the folder of parts unless they come from the same notes, tokenizer and settings."""
    identity = {
        "format": FORMAT,
        "notes": sha256_file(settings.notes),
        "tokenizer": hashlib.sha256(tokenizer.backend_tokenizer.to_str().encode()).hexdigest(),
        "borders": list(settings.borders),
        "context": settings.context,
        "split_salt": settings.split_salt,
        "pad": settings.pad,
        "frame": list(settings.frame),
        "dtype": np.dtype(settings.dtype).name,
    }
    file = settings.folder / "identity.json"
    if not file.exists() or read_json(file) != identity:
        shutil.rmtree(settings.folder)
        write_json(private_directory(settings.folder) / file.name, identity)


def _added(parts: list[dict[str, Any]]) -> dict[str, dict[str, int]]:
    """Add up the counts of the parts."""
    counts = {split: dict.fromkeys(COUNTS, 0) for split in SPLITS}
    for part in parts:
        for split, count in part["splits"].items():
            for key, value in count.items():
                counts[split][key] += value
    return counts


def _require_splits(counts: dict[str, dict[str, int]], notes: Path) -> None:
    for split, count in counts.items():
        if count["notes"] == 0:
            raise DataError(
                f"{notes}: no note falls into the {split} split; expected at least one patient there; "
                "use a larger corpus or another split salt"
            )


def _link(source: Path, target: Path) -> None:
    """Give a file a second name, or copy it where the file system has no links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _write_descriptions(folder: Path, files: list[str], summary: dict[str, Any]) -> None:
    """Write what `datasets` reads beside the rows, and tokens.json."""
    with pa.ipc.open_stream(folder / files[0]) as stream:
        features = {field.name: _feature(field.type) for field in stream.schema}
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


def _feature(kind: pa.DataType) -> dict[str, Any]:
    """Describe a column's type as `datasets` does."""
    if pa.types.is_list(kind):
        return {"feature": _feature(kind.value_type), "_type": "List"}
    return {"dtype": str(kind), "_type": "Value"}
