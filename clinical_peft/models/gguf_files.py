"""Checking that a GGUF file is whole, by its header: the format's own reader reads beyond the end of a truncated one.

Its metadata must give the network's dimensions, too: transformers takes those of a network of seven billion parameters
for what is missing.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

import importlib
import math
import struct
from pathlib import Path
from typing import BinaryIO

from clinical_peft.errors import DataError
from clinical_peft.models.checkpoint_files import require_content

MAGIC = b"GGUF"
ALIGNMENT_KEY, ARCHITECTURE_KEY = "general.alignment", "general.architecture"
DIMENSIONS = ("block_count", "embedding_length")
STRING, ARRAY = 8, 9
SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<B", 10: "<Q", 11: "<q", 12: "<d"}
DEFAULT_ALIGNMENT = 32
MOST_ENTRIES = 10_000_000  # more than any vocabulary
LONGEST_STRING = 100_000_000


class _BrokenError(Exception):
    """The header ends early or holds what it cannot."""


def require_whole_gguf(file: Path) -> None:
    """Refuse a file that is not a whole GGUF file.

    Raises:
        DataError: It is empty, cut short, a Git LFS pointer, of another format or without the network's dimensions.
    """
    require_content(file)
    size = file.stat().st_size
    try:
        with file.open("rb") as handle:
            values, end = _read_header(handle)
    except (_BrokenError, struct.error):
        raise DataError(
            f"{file}: expected a whole GGUF file, found one cut short or of another format; download it again"
        ) from None
    if size < end:
        raise DataError(f"{file}: expected {end:,} bytes, found {size:,}, so it is cut short; download it again")
    architecture = values.get(ARCHITECTURE_KEY)
    missing = [name for name in DIMENSIONS if not values.get(f"{architecture}.{name}")]
    if missing:
        raise DataError(
            f"{file}: expected the network's {' and '.join(missing)} in the metadata, found none; use its safetensors "
            "repository"
        )


def _read_header(handle: BinaryIO) -> tuple[dict[str, int | str], int]:
    """Return the metadata, and the least length of a file that holds every tensor of its header."""
    gguf = importlib.import_module("gguf")  # installed on demand
    if handle.read(4) != MAGIC:
        raise _BrokenError
    _, tensors, entries = (_scalar(handle, kind) for kind in (4, 10, 10))
    values = {_string(handle): _value(handle, _scalar(handle, 4)) for _ in range(_count(entries))}
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
    alignment = int(values.get(ALIGNMENT_KEY) or DEFAULT_ALIGNMENT)
    start = -(-handle.tell() // alignment) * alignment
    return values, start + last


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


def _string(handle: BinaryIO) -> str:
    length = _scalar(handle, 10)
    if length > LONGEST_STRING:
        raise _BrokenError
    text = handle.read(length)
    if len(text) < length:
        raise _BrokenError
    return text.decode("utf-8", "replace")


def _value(handle: BinaryIO, kind: int) -> int | str:
    """Return a number or a text; skip a list, for which 0 stands."""
    if kind == STRING:
        return _string(handle)
    if kind != ARRAY:
        return _scalar(handle, kind)
    inner, length = _scalar(handle, 4), _count(_scalar(handle, 10))
    for _ in range(length):
        _value(handle, inner)
    return 0
