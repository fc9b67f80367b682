"""Reading JSON lines, one object a line, as strictly as tables are read."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from clinical_peft.data.column_names import describe_names
from clinical_peft.data.table_source import REPAIR, UNREADABLE, open_bytes
from clinical_peft.errors import DataError


def read_json_lines(path: Path, keys: Sequence[str]) -> Iterator[tuple[int, dict[str, object]]]:
    """Read chosen keys of a file of JSON lines; blank lines are passed over.

    Args:
        path: File in UTF-8, gzipped when its name ends in ``.gz``.
        keys: Keys that every line must have, once.

    Yields:
        The line's number, from 1, and the values of the keys.

    Raises:
        DataError: The file is missing, cut off or corrupt; a line is no JSON object, lacks a key or has it twice, or a
            value is a string with a lone surrogate or a NUL character. The message never holds a value, and of
            the keys found only known ones.
    """
    number = 0
    try:
        with open_bytes(path) as handle:  # bytes, so that only "\n" ends a line
            for number, line in enumerate(handle, start=1):
                if line.strip():
                    yield number, _values(line, keys, f"{path}: line {number}")
    except FileNotFoundError:
        raise DataError(f"{path}: expected a file of notes, found none") from None
    except UNREADABLE as error:
        raise DataError(f"{path}: cannot be read after line {number} ({type(error).__name__}); {REPAIR}") from None


def first_keys(path: Path) -> list[str]:
    """Return the keys of the first object of a file of JSON lines, as they stand in it.

    Args:
        path: As for `read_json_lines`.

    Raises:
        DataError: As for `read_json_lines`; or the file holds no object.
    """
    try:
        with open_bytes(path) as handle:
            number, line = next(((at, each) for at, each in enumerate(handle, start=1) if each.strip()), (0, b""))
    except FileNotFoundError:
        raise DataError(f"{path}: expected a file of notes, found none") from None
    except UNREADABLE as error:
        raise DataError(f"{path}: cannot be read after line 0 ({type(error).__name__}); {REPAIR}") from None
    if not number:
        raise DataError(f"{path}: expected JSON objects, found none; write the file again")
    return [name for name, _ in _pairs(line, f"{path}: line {number}")]


def kind_of(value: object) -> str:
    """Name the type of a value in the words of JSON, never its content."""
    if value is None:
        return "null"
    names = {bool: "a boolean", int: "another number", float: "another number", str: "another string", list: "a list"}
    return names.get(type(value), "an object")


class _Pairs(list[tuple[str, object]]):
    """The keys and values of an object in their order, where a dict would keep one of two equal keys."""


def _pairs(line: bytes, place: str) -> _Pairs:
    try:
        # Decoded here, since `json` takes UTF-16 and encoded surrogates too.
        row = json.loads(line.decode("utf-8-sig"), object_pairs_hook=_Pairs)
    except UnicodeDecodeError:
        raise DataError(
            f"{place}: expected UTF-8 text, found other bytes, as in Latin-1 or UTF-16; save the file as UTF-8"
        ) from None
    except (ValueError, RecursionError) as error:  # of digits, too, of which Python converts no more than some
        raise DataError(f"{place}: expected a JSON object ({type(error).__name__})") from None
    if not isinstance(row, _Pairs):
        raise DataError(f"{place}: expected a JSON object, found {type(row).__name__}")
    return row


def _values(line: bytes, keys: Sequence[str], place: str) -> dict[str, object]:
    row = _pairs(line, place)
    found = dict(row)
    names = [name for name, _ in row]
    if missing := [key for key in keys if key not in found]:
        raise DataError(f"{place}: expected key {', '.join(missing)}; found {describe_names(names, keys, 'keys')}")
    if repeated := [key for key in dict.fromkeys(keys) if names.count(key) > 1]:
        raise DataError(f"{place}: expected one key {', '.join(repeated)}, found several; remove the others")
    for key in keys:
        _check_characters(found[key], f"{place}: key {key}")
    return {key: found[key] for key in keys}


def _check_characters(value: object, place: str) -> None:
    if not isinstance(value, str):
        return
    if "\0" in value:
        raise DataError(f"{place}: expected text, found a NUL character; correct the line or write the file again")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise DataError(
            f"{place}: expected text, found one half of a surrogate pair, which is not a character; correct the line "
            "or write the file again"
        ) from None
