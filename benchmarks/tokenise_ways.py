"""Ways to turn notes into token ids, each run in a process of its own by tokenise.py.

python benchmarks/tokenise_ways.py NAME THREADS FOLDER OUTPUT reads FOLDER/notes.parquet and FOLDER/base and prints one
line of JSON: seconds by the clock, seconds of processor time, and digests of the ids. Imports and the start of Python
are not part of the time, nor is reading the notes into a data set for `datasets`.
"""

import hashlib
import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

CONTEXT = 512
SALT = "benchmark"
Ids = npt.NDArray[np.integer]
Run = Callable[[], Any]
Read = Callable[[Any], Iterator[tuple[str, Ids]]]


def ours(folder: Path, output: Path, threads: int, *, pad: bool, compiled: bool) -> tuple[Run, Read]:
    """This project's shards, packed or cut and padded as in the original."""
    from clinical_peft.tokens.shards import tokenise

    if not compiled:
        sys.modules["fastokens"] = None  # type: ignore[assignment] # as if it were not installed

    def run() -> None:
        settings = {"context": CONTEXT, "split_salt": SALT, "truncate_and_pad": pad, "processes": threads}
        tokenise(folder / "notes.parquet", folder / "base", output, **settings)

    def read(_: None) -> Iterator[tuple[str, Ids]]:
        from datasets import load_from_disk

        rows = load_from_disk(str(output)).with_format("numpy")
        pieces: dict[str, list[tuple[int, Ids]]] = {}
        for row in rows:
            if pad:
                yield row["note_id"], row["input_ids"]
                continue
            documents = np.split(row["input_ids"], np.cumsum(row["document_lengths"])[:-1])
            for note, start, ids in zip(row["note_ids"], row["document_starts"], documents, strict=True):
                pieces.setdefault(note, []).append((start, ids))
        for note, parts in pieces.items():
            yield note, np.concatenate([ids for _, ids in sorted(parts, key=lambda part: part[0])])

    return run, read


def original(folder: Path, output: Path, threads: int) -> tuple[Run, Read]:
    """What the original study does: `datasets.map` in batches, cut and padded to the context."""
    import datasets

    from clinical_peft.tokens.tokenizer import load_tokenizer

    tokenizer = load_tokenizer(folder / "base")
    notes = datasets.Dataset.from_parquet(str(folder / "notes.parquet"), cache_dir=str(output))

    def encode(batch: dict[str, list[str]]) -> Any:
        return tokenizer(batch["text"], padding="max_length", truncation=True, max_length=CONTEXT)

    def run() -> Any:
        processes = threads if threads > 1 else None
        return notes.map(encode, batched=True, num_proc=processes, remove_columns=["subject_id", "text"])

    def read(mapped: Any) -> Iterator[tuple[str, Ids]]:
        for row in mapped.with_format("numpy"):
            yield row["note_id"], row["input_ids"]

    return run, read


def bare(folder: Path, output: Path, threads: int) -> tuple[Run, Read]:
    """Encoding alone, by Hugging Face's tokenizers on texts in memory; nothing is cut, padded or written."""
    import pyarrow.parquet as pq

    from clinical_peft.tokens.tokenizer import load_tokenizer

    backend = load_tokenizer(folder / "base").backend_tokenizer
    backend.encode_special_tokens = True
    notes = pq.read_table(folder / "notes.parquet", columns=["note_id", "text"])
    texts = notes["text"].to_pylist()

    def run() -> list[Any]:
        encoded = []
        for start in range(0, len(texts), 1024):
            encoded += backend.encode_batch_fast(texts[start : start + 1024], add_special_tokens=False)
        return encoded

    def read(encoded: list[Any]) -> Iterator[tuple[str, Ids]]:
        for note, each in zip(notes["note_id"].to_pylist(), encoded, strict=True):
            yield note, np.array(each.ids)

    return run, read


WAYS: dict[str, Callable[[Path, Path, int], tuple[Run, Read]]] = {
    "ours, packed": lambda *to: ours(*to, pad=False, compiled=True),
    "ours, padded": lambda *to: ours(*to, pad=True, compiled=True),
    "ours, packed, by tokenizers": lambda *to: ours(*to, pad=False, compiled=False),
    "datasets.map, padded": original,
    "tokenizers, encoding alone": bare,
}
WHOLE = ("ours, packed", "ours, packed, by tokenizers", "tokenizers, encoding alone")


def digests(notes: Iterator[tuple[str, Ids]], special: list[int]) -> dict[str, str]:
    """Digest the ids of texts: of as many as every way keeps, and of all; special tokens are left out."""
    kept, whole = hashlib.sha256(), hashlib.sha256()
    for note, ids in sorted(notes, key=lambda each: each[0]):
        content = ids[~np.isin(ids, special)].astype(np.int32)
        kept.update(note.encode() + content[: CONTEXT - 2].tobytes())
        whole.update(note.encode() + content.tobytes())
    return {"kept_sha256": kept.hexdigest(), "whole_sha256": whole.hexdigest()}


def processor_seconds() -> float:
    """Processor time of this process and those it waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


if __name__ == "__main__":
    name, threads = sys.argv[1], int(sys.argv[2])
    folder, output = map(Path, sys.argv[3:])
    os.environ["TOKENIZERS_PARALLELISM"] = "true" if name == "tokenizers, encoding alone" and threads > 1 else "false"
    os.environ["RAYON_NUM_THREADS"] = str(threads)
    from clinical_peft.tokens.tokenizer import load_tokenizer

    run, read = WAYS[name](folder, output, threads)
    started, processor = time.perf_counter(), processor_seconds()
    result = run()
    seconds, processor = time.perf_counter() - started, processor_seconds() - processor
    found = digests(read(result), load_tokenizer(folder / "base").all_special_ids)
    print(json.dumps({"seconds": seconds, "cpu_seconds": processor, **found}))
