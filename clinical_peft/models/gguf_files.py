"""Checking that a GGUF file is whole, by its header: the format's own reader reads beyond the end of a truncated one.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

import importlib
import math
import struct
from pathlib import Path
from typing import BinaryIO

from clinical_peft.checkpoint_files import require_content
from clinical_peft.errors import DataError

MAGIC = b"GGUF"
ALIGNMENT_KEY = b"general.alignment"
STRING, ARRAY = 8, 9
SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<B", 10: "<Q", 11: "<q", 12: "<d"}
MOST_ENTRIES = 10_000_000  # more than any vocabulary
LONGEST_STRING = 100_000_000


class _BrokenError(Exception):
    """The header ends early or holds what it cannot."""


def require_whole_gguf(file: Path) -> None:
    """Refuse a file that is not a whole GGUF file.

    Raises:
        DataError: It is empty, cut short, a Git LFS pointer or of another format.
    """
    require_content(file)
    size = file.stat().st_size
    try:
        with file.open("rb") as handle:
            end = _end(handle)
    except (_BrokenError, struct.error):
        raise DataError(
            f"{file}: expected a whole GGUF file, found one cut short or of another format; download it again"
        ) from None
    if size < end:
        raise DataError(f"{file}: expected {end:,} bytes, found {size:,}, so it is cut short; download it again")


def _end(handle: BinaryIO) -> int:
    """Return the least length of a file that holds every tensor of its header."""
    gguf = importlib.import_module("gguf")  # installed on demand
    if handle.read(4) != MAGIC:
        raise _BrokenError
    _, tensors, entries = (_scalar(handle, kind) for kind in (4, 10, 10))
    alignment = 32
    for _ in range(_count(entries)):
        key, kind = _string(handle), _scalar(handle, 4)
        value = _value(handle, kind)
        if key == ALIGNMENT_KEY and value:
            alignment = value
    last = 0
    for _ in range(_count(tensors)):
        _string(handle)
        shape = [_scalar(handle, 10) for _ in range(_count(_scalar(handle, 4)))]
        kind, offset = _scalar(handle, 4), _scalar(handle, 10)
        try:
            block, bytes_per_block = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType(kind)]
        except (KeyError, ValueError):
            raise _BrokenError from None
        last = max(last, offset + math.prod(shape) // block * bytes_per_block)
    start = -(-handle.tell() // alignment) * alignment
    return start + last


def _count(value: int) -> int:
    if value > MOST_ENTRIES:
        raise _BrokenError
    return value


def _scalar(handle: BinaryIO, kind: int) -> int:
    if kind not in SCALARS:
        raise _BrokenError
    form = SCALARS[kind]
    value = struct.unpack(form, handle.read(struct.calcsize(form)))[0]
    return int(value) if math.isfinite(value) else 0


def _string(handle: BinaryIO) -> bytes:
    length = _scalar(handle, 10)
    if length > LONGEST_STRING:
        raise _BrokenError
    text = handle.read(length)
    if len(text) < length:
        raise _BrokenError
    return text


def _value(handle: BinaryIO, kind: int) -> int:
    """Skip a value; return it where it is a number."""
    if kind == STRING:
        _string(handle)
        return 0
    if kind != ARRAY:
        return _scalar(handle, kind)
    inner, length = _scalar(handle, 4), _count(_scalar(handle, 10))
    for _ in range(length):
        _value(handle, inner)
    return 0
