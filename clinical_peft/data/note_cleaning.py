"""Cleaning of notes: what it does to one note, and the same for a column of them at once.

`clean_flattened` and `clean_structured` define the result. `flatten_texts` and `structure_texts` give it for an Arrow
column by operations on the bytes of all notes together, and hand a note that needs more than those to the definition.
Every byte that they replace or drop is ASCII, which UTF-8 uses for nothing else.
"""

import re
from bisect import bisect_right
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

MARK = "___"
_MARK_BEGINS, _MARK_ENDS = "[**", "**]"
_BRACKETED_MARK = r"(?s)\[\*\*.*?\*\*\]"  # for RE2, whose time is linear
_SPACES = re.compile("  +")
_UNUSUAL_LINE_ENDS = [end.encode() for end in "\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"]
_PIECE = 512 << 10  # bytes
_LONGEST_SHORT_RUN = 16  # blanks; a note with a line that ends in more is cleaned by the definition

_SPACE, _TAB, _NEWLINE = b" \t\n"


def clean_flattened(text: str) -> str:
    """Clean a note as the original study does: bracket marks and ``\\n`` become spaces, runs of spaces one."""
    text = text.replace(_MARK_BEGINS, " ").replace(_MARK_ENDS, " ").replace("\n", " ")
    return _SPACES.sub(" ", text)


def clean_structured(text: str) -> str:
    """Clean a note and keep its lines: every line end becomes ``\\n``, every de-identification mark ``___``.

    Line ends are those of `str.splitlines`, among them U+2028, at which a text loader may cut a note in two.
    MIMIC-III marks removed identifiers as ``[**...**]`` and MIMIC-IV as ``___``; one mark for both keeps a model from
    recognising the database by it.
    """
    return "\n".join(line.rstrip(" \t") for line in normalise_marks(text).splitlines()).strip()


def normalise_marks(text: str) -> str:
    """Write every de-identification mark of MIMIC-III, ``[**...**]``, as ``___``."""
    # Without a regular expression, which would look for an end after every beginning when there is none.
    pieces: list[str] = []
    done = 0
    while (begin := text.find(_MARK_BEGINS, done)) >= 0:
        end = text.find(_MARK_ENDS, begin + len(_MARK_BEGINS))
        if end < 0:
            break
        pieces += text[done:begin], MARK
        done = end + len(_MARK_ENDS)
    return "".join([*pieces, text[done:]])


def flatten_texts(texts: pa.StringArray) -> pa.StringArray:
    """Apply `clean_flattened` to a column; a null becomes an empty text."""
    return _in_pieces(texts, _flatten)


def structure_texts(texts: pa.StringArray) -> pa.StringArray:
    """Apply `clean_structured` to a column; a null becomes an empty text."""
    return _in_pieces(texts, _structure)


def _in_pieces(texts: pa.StringArray, clean: Callable[[pa.StringArray], pa.StringArray]) -> pa.StringArray:
    """Clean a column piece by piece, each small enough for the processor's cache: that takes half the time."""
    rows = max(1, len(texts) * _PIECE // max(1, texts.nbytes))
    pieces = [clean(texts[start : start + rows]) for start in range(0, len(texts), rows)]
    return pa.concat_arrays(pieces) if pieces else texts


def _flatten(texts: pa.StringArray) -> pa.StringArray:
    offsets, content = _text_bytes(texts)
    if b"[" in content or b"]" in content:
        for mark in (_MARK_BEGINS, _MARK_ENDS):
            texts = pc.replace_substring(texts, pattern=mark, replacement=" ")
        offsets, content = _text_bytes(texts)
    data = np.frombuffer(content.replace(b"\n", b" "), np.uint8)
    is_space = data == _SPACE
    repeated = np.zeros(len(data), bool)
    repeated[1:] = is_space[1:] & is_space[:-1]
    repeated[offsets[offsets < len(data)]] = False  # the space before belongs to another note
    return _without(offsets, data, np.flatnonzero(repeated))


def _structure(texts: pa.StringArray) -> pa.StringArray:
    offsets, content = _text_bytes(texts)
    if b"[" in content and b"[**" in content:  # a single byte is found ten times as fast
        texts = pc.replace_substring_regex(texts, pattern=_BRACKETED_MARK, replacement=MARK)
        offsets, content = _text_bytes(texts)
    data = np.frombuffer(content, np.uint8)
    trailing, unfinished = _blanks_before_newlines(data)
    by_definition = np.zeros(len(texts), bool)
    by_definition[_unusual_rows(content, offsets.tolist())] = True
    by_definition[np.searchsorted(offsets, unfinished, side="right") - 1] = True
    # A run of blanks may reach into the end of the note before, which is stripped anyway.
    cleaned = pc.utf8_trim_whitespace(_without(offsets, data, trailing))
    if not by_definition.any():
        return cleaned
    mask = pa.array(by_definition)
    rest = [clean_structured(text) for text in texts.filter(mask).to_pylist()]
    return pc.replace_with_mask(cleaned, mask, pa.array(rest, pa.string()))


def text_view(texts: pa.StringArray) -> tuple[NDArray[np.int32], memoryview]:
    """Return where each text begins and the last one ends, and the UTF-8 bytes of all, one after the other."""
    texts = texts.fill_null("") if texts.null_count else texts
    _, offsets_buffer, data_buffer = texts.buffers()
    if not len(texts) or data_buffer is None:
        return np.zeros(len(texts) + 1, np.int32), memoryview(b"")
    offsets = np.frombuffer(offsets_buffer, np.int32)[texts.offset : texts.offset + len(texts) + 1]
    return offsets - offsets[0], memoryview(data_buffer)[offsets[0] : offsets[-1]]


def _text_bytes(texts: pa.StringArray) -> tuple[NDArray[np.int32], bytes]:
    """Do what `text_view` does and copy the bytes, because a view cannot be searched."""
    offsets, view = text_view(texts)
    return offsets, bytes(view)


def _without(offsets: NDArray[np.int32], data: NDArray[np.uint8], dropped: NDArray[np.intp]) -> pa.StringArray:
    """Return the texts without the bytes at the given ascending positions."""
    if dropped.size:
        keep = np.ones(len(data), bool)
        keep[dropped] = False
        data = data[keep]
        offsets = offsets - np.searchsorted(dropped, offsets).astype(np.int32)
    return pa.StringArray.from_buffers(len(offsets) - 1, pa.py_buffer(offsets), pa.py_buffer(data))


def _unusual_rows(content: bytes, offsets: list[int]) -> list[int]:
    """Return the numbers of the texts with a line end other than ``\\n``; costs little when there are few."""
    candidates = set()
    for first_byte in {end[:1] for end in _UNUSUAL_LINE_ENDS}:
        position = content.find(first_byte)
        while position >= 0:
            row = bisect_right(offsets, position) - 1
            candidates.add(row)
            position = content.find(first_byte, offsets[row + 1])
    texts = {row: content[offsets[row] : offsets[row + 1]] for row in sorted(candidates)}
    return [row for row, text in texts.items() if any(end in text for end in _UNUSUAL_LINE_ENDS)]


def _blanks_before_newlines(data: NDArray[np.uint8]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the positions of blanks at ends of lines, ascending, and those where a longer run goes on."""
    is_blank = (data == _SPACE) | (data == _TAB)
    last = np.flatnonzero(is_blank[:-1] & (data[1:] == _NEWLINE))
    found: list[NDArray[np.intp]] = []
    while last.size and len(found) < _LONGEST_SHORT_RUN:
        found.append(last)
        last = last[last > 0] - 1
        last = last[is_blank[last]]
    return np.sort(np.concatenate(found)) if found else last, last
