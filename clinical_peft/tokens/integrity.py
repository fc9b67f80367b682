"""Checking that token shards are those that tokens.json describes, before a job trains on them.

Every byte of every shard is read once, in file order. Python's hashlib reads them faster than most disks.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from clinical_peft.errors import DataError
from clinical_peft.files import sha256_file
from clinical_peft.tokens.parts import fingerprint, rows_digest


def check_shards(folder: Path, names: Sequence[str], summary: Mapping[str, Any]) -> None:
    """Compare token shards with what tokens.json says of them.

    Args:
        folder: Folder of the shards.
        names: Files that state.json lists, in its order.
        summary: Contents of tokens.json. Without digests of the files, as older versions wrote it, the fingerprint is
            computed from the rows.

    Raises:
        DataError: A shard is missing, truncated or altered, or state.json, tokens.json and the shards do not belong
            together.
    """
    files = summary.get("files")
    if files is None:
        digests = [rows_digest(read_shard(folder / name)) for name in names]
        _require_fingerprint(folder, fingerprint(digests), summary)
        return
    expected = [file["name"] for file in files]
    if list(names) != expected:
        raise _refusal(folder / "state.json", f"{len(expected)} shards in the order of tokens.json", "others")
    _require_fingerprint(folder, fingerprint(file["rows_sha256"] for file in files), summary)
    for file in files:
        path = folder / file["name"]
        if not path.is_file():
            raise _refusal(path, "a shard", "none")
        size = path.stat().st_size
        if size != file["bytes"]:
            raise _refusal(path, f"{file['bytes']:,} bytes", f"{size:,}")
        digest = sha256_file(path)
        if digest != file["sha256"]:
            raise _refusal(path, f"SHA-256 {file['sha256'][:16]}", f"{digest[:16]}, so its content has changed")


def read_shard(path: Path) -> pa.Table:
    """Open a shard, memory-mapped.

    Raises:
        DataError: It is missing or cannot be read.
    """
    try:
        return pa.ipc.open_stream(pa.memory_map(str(path))).read_all()
    except (OSError, pa.ArrowInvalid) as error:
        raise _refusal(path, "a shard", f"none that can be read ({type(error).__name__})") from None


def _require_fingerprint(folder: Path, found: str, summary: Mapping[str, Any]) -> None:
    if found != summary["fingerprint"]:
        raise _refusal(folder, f"the fingerprint {summary['fingerprint'][:16]} of tokens.json", found[:16])


def _refusal(path: Path, expected: str, found: str) -> DataError:
    folder = path if path.is_dir() else path.parent
    return DataError(
        f"{path}: expected {expected}, found {found}; tokenise again: delete {folder}, then run the same command"
    )
