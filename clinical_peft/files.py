"""Writing files whole or not at all, and identifying them by content."""

import errno
import glob
import hashlib
import json
import os
import pwd
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
DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)
_TRIAL_BYTES = 1 << 16

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


def require_writable(folder: Path, *, inside: bool = False) -> None:
    """Create a folder where it is missing, and write a file into it and delete it.

    Args:
        folder: A folder that results go to.
        inside: Whether all folders in it must be writable, too.

    Raises:
        StorageError: It cannot be created or written to; the message says why and whose it is.
    """
    folder = Path(folder)
    try:
        private_directory(folder)
        with tempfile.TemporaryFile(prefix=PARTIAL, dir=folder) as file:
            file.write(bytes(_TRIAL_BYTES))
            file.flush()
            os.fsync(file.fileno())
        if inside:
            _require_writable_inside(folder)
    except OSError as error:
        raise StorageError(not_writable(folder, error)) from None


def _require_writable_inside(folder: Path) -> None:
    """Raise for a folder in a folder that may not be written, listed or not; links are not followed."""
    inner = (Path(path, name) for path, names, _ in os.walk(folder) for name in names)
    closed = next((each for each in inner if not each.is_symlink() and not _may_write(each)), None)
    if closed is not None:
        raise StorageError(not_writable(closed, PermissionError(errno.EACCES, os.strerror(errno.EACCES))))


def _may_write(folder: Path) -> bool:
    return os.access(folder, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids)


def not_writable(path: Path, error: OSError) -> str:
    """Explain why a path cannot be written, and whose the nearest folder is that exists."""
    if (reason := full_disk(error)) is not None:
        return f"{path} is not writable: {reason}; free space, then run the same command again"
    reason = forbidden(path, error)
    return f"{path} is not writable: {reason}; give yourself access, or run in another folder (--directory)"


def forbidden(path: Path, error: OSError) -> str:
    """The system's words for what it forbids, and whose the nearest folder is that exists."""
    reason = os.strerror(error.errno).lower() if error.errno else type(error).__name__
    if error.errno not in (errno.EACCES, errno.EPERM):
        return reason
    there = next((each for each in (path, *path.parents) if _exists(each)), Path("/"))
    return f"{reason} ({there} belongs to {_owner(there)}, this is {_user(os.geteuid())})"


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False


def _owner(path: Path) -> str:
    return _user(path.stat().st_uid)


def _user(number: int) -> str:
    try:
        return f"user {pwd.getpwuid(number).pw_name}"
    except KeyError:
        return f"user {number}"


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that takes its place when the block ends without an error.

    The suffix is kept, so that libraries which look at it behave the same. The block may write a file or a
    folder; an existing folder at ``path`` is replaced. After an error the temporary is removed and ``path`` is as
    it was. What a killed process left of an earlier attempt is removed, too: a path has one writer at a time.

    Raises:
        StorageError: The disk is full, whatever the library in the block says of it, or this user may not write there.
        WorkLostError: Another process has taken over the job that writes; see `clinical_peft.locks.ownership`.
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
        if (reason := full_disk(error)) is not None:
            raise StorageError(f"{path}: {reason}; free space, then run the same command again") from error
        if (refused := _refused(error, path)) is not None:
            raise StorageError(not_writable(path.parent, refused)) from error
        raise


def _refused(error: Exception, path: Path) -> OSError | None:
    """The error itself if the system forbids to write beside a path; what the block does elsewhere is another's."""
    named = error.filename if isinstance(error, OSError) and isinstance(error.filename, str | os.PathLike) else None
    if not isinstance(error, OSError) or named is None or error.errno not in (*DENIED, errno.ENOTDIR, errno.EEXIST):
        return None
    beside = Path(named) == path.parent or path.parent in Path(named).parents or Path(named) in path.parent.parents
    return error if beside else None


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
