"""The table of notes that every corpus becomes, and how it is written."""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from clinical_peft.files import atomic_path

NOTE_SCHEMA = pa.schema(
    [
        ("note_id", pa.string()),
        ("subject_id", pa.int64()),
        ("hadm_id", pa.int64()),
        ("kind", pa.string()),
        ("charttime", pa.string()),
        ("text", pa.string()),
    ]
)
ROW_GROUP_ROWS = 10_000  # these two bound the writer's memory, and the reader's
ROW_GROUP_CHARACTERS = 8 << 20

_BRACKETED_MARK = re.compile(r"\[\*\*.*?\*\*\]", re.DOTALL)
_SPACES = re.compile("  +")


def clean_flattened(text: str) -> str:
    """Clean a note as the original study does: bracket marks and ``\\n`` become spaces, runs of spaces one."""
    text = text.replace("[**", " ").replace("**]", " ").replace("\n", " ")
    return _SPACES.sub(" ", text)


def clean_structured(text: str) -> str:
    """Clean a note and keep its lines: every line end becomes ``\\n``, every de-identification mark ``___``.

    Line ends are those of `str.splitlines`, among them U+2028, at which a text loader may cut a note in two.
    MIMIC-III marks removed identifiers as ``[**...**]`` and MIMIC-IV as ``___``; one mark for both keeps a model from
    telling the databases apart by it.
    """
    text = _BRACKETED_MARK.sub("___", text)
    return "\n".join(line.rstrip(" \t") for line in text.splitlines()).strip()


class SeenTexts:
    """Remembers texts by a 16-byte hash, so that exact duplicates of millions of notes fit in memory."""

    def __init__(self) -> None:
        self._digests: set[bytes] = set()

    def add(self, text: str) -> bool:
        """Return whether the text is new, and remember it."""
        digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        if digest in self._digests:
            return False
        self._digests.add(digest)
        return True


@contextmanager
def parquet_writer(
    path: Path, schema: pa.Schema, metadata: Mapping[str, str] | None = None
) -> Iterator[pq.ParquetWriter]:
    """Open a Parquet file that appears whole or not at all, in a folder that only its owner can enter."""
    described = schema.with_metadata(dict(metadata)) if metadata else schema
    with atomic_path(path) as temporary, pq.ParquetWriter(temporary, described, compression="zstd") as writer:
        yield writer


def write_notes(path: Path, rows: Iterable[Mapping[str, object]], metadata: Mapping[str, str] | None = None) -> int:
    """Write rows as a table of notes, a group of rows at a time.

    Args:
        path: Parquet file to write.
        rows: One mapping per note with ``text`` and other columns of `NOTE_SCHEMA`; an absent column is null.
        metadata: Stored in the file's schema.

    Returns:
        The number of notes written.
    """
    written = 0
    with parquet_writer(path, NOTE_SCHEMA, metadata) as writer:
        pending: list[Mapping[str, object]] = []
        characters = 0
        for row in rows:
            pending.append(row)
            written += 1
            characters += len(str(row["text"]))
            if len(pending) == ROW_GROUP_ROWS or characters >= ROW_GROUP_CHARACTERS:
                writer.write_table(pa.Table.from_pylist(pending, schema=writer.schema))
                pending, characters = [], 0
        if pending or not written:
            writer.write_table(pa.Table.from_pylist(pending, schema=writer.schema))
    return written
