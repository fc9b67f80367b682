"""Writing files whole or not at all, and identifying them by content."""

import errno
import glob
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from clinical_peft.errors import DataError, StorageError

PRIVATE_DIRECTORY = 0o700
PARTIAL = ".partial-"

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

_guards: list[Callable[[], None]] = []


@contextmanager
def guarded_writes(check: Callable[[], None]) -> Iterator[None]:
    """Let no file of this process take its place during the block unless a check passes.

    Args:
        check: Called before anything is replaced; what it raises leaves everything as it was.
    """
    _guards.append(check)
    try:
        yield
    finally:
        _guards.remove(check)


def check_guards() -> None:
    """Raise what a check of `guarded_writes` finds wrong, before something is renamed without `atomic_path`."""
    for check in _guards:
        check()


def private_directory(path: Path) -> Path:
    """Create a folder, and the missing ones above it, that only its owner can enter.

    Args:
        path: Folder to create; one that exists keeps its mode.

    Returns:
        The same path.
    """
    missing = [path, *path.parents]
    for folder in reversed([folder for folder in missing if not folder.exists()]):
        folder.mkdir(mode=PRIVATE_DIRECTORY, exist_ok=True)
    return path


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that takes its place when the block ends without an error.

    The suffix is kept, so that libraries which look at it behave the same. The block may write a file or a
    folder; an existing folder at ``path`` is replaced. After an error the temporary is removed and ``path`` is as
    it was. What a killed process left of an earlier attempt is removed, too: a path has one writer at a time.

    Raises:
        StorageError: The disk is full, whatever the library in the block says of it.
        WorkLostError: Another process has taken over the job that writes; see `clinical_peft.ownership`.
    """
    path = Path(path)
    try:
        check_guards()
        private_directory(path.parent)
        for left in path.parent.glob(f"{PARTIAL}*/{glob.escape(path.name)}"):
            shutil.rmtree(left.parent, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=PARTIAL, dir=path.parent, ignore_cleanup_errors=True) as holder:
            temporary = Path(holder) / path.name
            yield temporary
            _synchronise(temporary)
            check_guards()
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            temporary.replace(path)
    except Exception as error:
        if (reason := full_disk(error)) is None:
            raise
        raise StorageError(f"{path}: {reason}; free space, then run the same command again") from error


def full_disk(error: BaseException) -> str | None:
    """Return the system's words for a full disk, a used up quota or too large a file; None for any other error.

    Libraries written in Rust report their errors by a text that ends with the number, not by an `OSError`.
    """
    found = re.search(r"\(os error (\d+)\)", str(error))
    number = error.errno if isinstance(error, OSError) else int(found[1]) if found else None
    return os.strerror(number).lower() if number in FULL else None


def remove_partial(folder: Path) -> None:
    """Delete what killed processes left half-written in a folder; nobody may be writing to it."""
    for partial in Path(folder).glob(f"{PARTIAL}*"):
        shutil.rmtree(partial, ignore_errors=True)


def _synchronise(path: Path) -> None:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    for file in files:
        with file.open("rb") as handle:
            os.fsync(handle.fileno())


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write a value as indented JSON with sorted keys; NaN and infinity are refused with a ValueError."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        DataError: The file does not exist or is not JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{path}: expected a JSON file, found none") from None
    except json.JSONDecodeError as error:
        raise DataError(f"{path}: not valid JSON (line {error.lineno}): {error.msg}") from None


def sha256_file(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file's bytes."""
    with Path(path).open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
