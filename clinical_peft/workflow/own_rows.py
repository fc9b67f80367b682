"""How many rows a user's own tables have, about, by their first bytes: a plan reads no whole file and no library's."""

import gzip
import zlib
from dataclasses import dataclass
from pathlib import Path

from clinical_peft.config.study import Study
from clinical_peft.workflow.own_tables import spec_of

SPLIT_SHARES = {"train": 0.7, "validation": 0.1, "test": 0.2}
SPLIT_SHARE = SPLIT_SHARES["train"]
READ_BYTES = 8 << 20
PARQUET_ROW_BYTES = 1000  # of a compressed note of some 500 words
PARQUET_RATIO = 3  # of text to its compressed size
CHARACTERS_PER_TOKEN = 4


@dataclass(frozen=True)
class Size:
    """An estimate of a file.

    Attributes:
        rows: Rows, the header not counted.
        characters: Bytes of its text, unpacked.
    """

    rows: float = 0.0
    characters: float = 0.0


def table_rows(study: Study, table: str) -> tuple[int, int]:
    """Estimate the rows of an own table: those of the training split, and all. A file that is not there has none.

    Args:
        study: The study.
        table: Name of the table.
    """
    paths = spec_of(table, study.data.tables[table]).paths
    rows = {split: _size(Path(path)).rows for split, path in paths.items()}
    total = sum(rows.values())
    return round(rows.get("train", SPLIT_SHARE * total)), round(total)


def table_tokens(study: Study, table: str) -> int:
    """Estimate the tokens of all notes of an own table.

    Args:
        study: The study.
        table: Name of the table.
    """
    files = spec_of(table, study.data.tables[table]).files
    return round(sum(_size(path).characters for path in files) / CHARACTERS_PER_TOKEN)


def _size(path: Path) -> Size:
    if not path.is_file():
        return Size()
    stored = path.stat().st_size
    if ".parquet" in path.suffixes:
        return Size(stored * PARQUET_RATIO / PARQUET_ROW_BYTES, stored * PARQUET_RATIO)
    try:
        begin, consumed = _beginning(path)
    except (OSError, EOFError, zlib.error):  # damaged, which the check before the first job says
        return Size()
    share = max(1.0, stored / consumed) if len(begin) == READ_BYTES else 1.0
    is_csv = ".jsonl" not in path.suffixes
    unquoted = begin.split(b'"')[::2] if is_csv else [begin]
    lines = sum(piece.count(b"\n") for piece in unquoted)
    return Size(max(0.0, lines * share - is_csv), len(begin) * share)


def _beginning(path: Path) -> tuple[bytes, int]:
    """The first bytes of a file's text, and how many stored bytes they took."""
    with path.open("rb") as stored:
        if path.suffix != ".gz":
            begin = stored.read(READ_BYTES)
        else:
            with gzip.open(stored) as text:
                begin = text.read(READ_BYTES)
        return begin, max(1, stored.tell())
