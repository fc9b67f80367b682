"""Finding notes that repeat other notes, by the runs of words (shingles) that they share.

How far a text repeats a note is the share of the note's shingles that the text holds: the containment of Broder, "On
the resemblance and containment of documents" (1997). It finds a short note inside a long one, as an admission note
inside the discharge summary that it was cut from, which resemblance (Jaccard) does not. MinHash would estimate such a
share from a sample of the shingles; an inverted index over all of them counts it, so that no decision is left to
chance. Only the notes that are looked for are held in memory; the texts that may repeat them are streamed.
"""

import string
from collections.abc import Iterable, Sequence
from zlib import crc32

import numpy as np
import numpy.typing as npt

SHINGLE_WORDS = 5
THRESHOLD = 0.5
LEAST_SHARED = 10
"""Shingles that a text must share with a note at least, or all of the note's: one common phrase repeats nothing."""

Codes = npt.NDArray[np.uint64]
Positions = npt.NDArray[np.int64]

_MULTIPLIER = 0x9E3779B97F4A7C15  # odd, and its bits well mixed: 2**64 divided by the golden ratio
_FILTER_BITS_PER_SHINGLE = 64  # of a hundred shingles that no note holds, one or two pass the filter
_LARGEST_FILTER = 1 << 30  # bits
_PUNCTUATION_TO_SPACES = bytes.maketrans(string.punctuation.encode(), b" " * len(string.punctuation))


def shingle_codes(blocks: Iterable[str], words: int = SHINGLE_WORDS) -> Codes:
    """Return the shingles of a text as 64-bit codes.

    Letter case and punctuation do not count, and so no ``___`` that stands for a removed name.

    Args:
        blocks: Parts of the text; no shingle runs from one into the next.
        words: Words of a shingle. A block of fewer words gives none, unless all blocks are so short: then the words
            of the whole text are its one shingle.

    Returns:
        Codes in the order of the text, repeated ones included, shape (shingles,); none for a text without a word.
    """
    coded = [_word_codes(block) for block in blocks]
    long_enough = [block for block in coded if len(block) >= words]
    if long_enough:
        return np.concatenate([_combine(block, words) for block in long_enough])
    everything = np.concatenate([np.zeros(0, np.uint64), *coded])
    return _combine(everything, len(everything)) if len(everything) else everything


class ShingleIndex:
    """Tells which of a set of notes a text repeats. Memory: about 20 bytes per shingle of the notes.

    Args:
        notes: Shingles of each note, from `shingle_codes`.

    Attributes:
        sizes: Distinct shingles of each note, shape (notes,).
    """

    def __init__(self, notes: Iterable[Codes]) -> None:
        held = [np.unique(codes) for codes in notes]
        self.sizes: Positions = np.array([len(codes) for codes in held], dtype=np.int64)
        codes = np.concatenate([np.zeros(0, np.uint64), *held])
        order = np.argsort(codes, kind="stable")
        self._codes = codes[order]
        self._notes = np.repeat(np.arange(len(held), dtype=np.int32), self.sizes)[order]
        # Most shingles of a text are in no note. One bit per slot says so in a single look, where a search in the
        # sorted codes takes many.
        slot_bits = min(_FILTER_BITS_PER_SHINGLE * len(codes) + 8, _LARGEST_FILTER).bit_length() - 1
        self._shift = np.uint64(64 - slot_bits)
        self._filter = np.zeros(1 << (slot_bits - 3), np.uint8)
        byte, bit = self._slots(self._codes)
        np.bitwise_or.at(self._filter, byte, bit)

    def _slots(self, codes: Codes) -> tuple[Codes, npt.NDArray[np.uint8]]:
        """Return the byte and the bit in the filter that stand for each code."""
        slots = codes >> self._shift
        return slots >> np.uint64(3), np.uint8(1) << (slots & np.uint64(7)).astype(np.uint8)

    def shared(self, codes: Codes) -> tuple[Positions, Positions]:
        """Count the distinct shingles that a text shares with each note.

        Args:
            codes: Shingles of the text.

        Returns:
            Positions of the notes that share any, ascending, and how many each shares.
        """
        byte, bit = self._slots(codes)
        codes = np.unique(codes[(self._filter[byte] & bit) != 0])
        first = np.searchsorted(self._codes, codes, "left")
        counts = np.searchsorted(self._codes, codes, "right") - first
        before = np.cumsum(counts) - counts
        entries = np.arange(counts.sum()) + np.repeat(first - before, counts)
        positions, shared = np.unique(self._notes[entries], return_counts=True)
        return positions.astype(np.int64), shared

    def repeated(self, codes: Codes, threshold: float) -> tuple[Positions, npt.NDArray[np.float64]]:
        """Find the notes that a text repeats.

        Args:
            codes: Shingles of the text.
            threshold: Least share of a note's shingles, above 0, at most 1. `LEAST_SHARED` of them, or all of a
                shorter note, are needed too.

        Returns:
            Positions of the notes, ascending, and the share of each that the text holds.
        """
        positions, shared = self.shared(codes)
        sizes = self.sizes[positions]
        share = shared / sizes
        enough = (share >= threshold) & (shared >= np.minimum(sizes, LEAST_SHARED))
        return positions[enough], share[enough]


def near_duplicate_groups(texts: Sequence[str], threshold: float = THRESHOLD, words: int = SHINGLE_WORDS) -> list[int]:
    """Group texts that overlap.

    Two texts are linked when they share at least ``threshold`` of the shingles of the one that has fewer; a group is
    a connected component.

    Args:
        texts: Texts to compare.
        threshold: Least share of a link, above 0, at most 1.
        words: Words of a shingle.

    Returns:
        For each text the position of the first text of its group.
    """
    codes = [shingle_codes([text], words) for text in texts]
    index = ShingleIndex(codes)
    group = list(range(len(texts)))

    def root(position: int) -> int:
        while group[position] != position:
            group[position] = group[group[position]]
            position = group[position]
        return position

    for position, own in enumerate(codes):
        others, shared = index.shared(own)
        linked = shared / np.minimum(index.sizes[others], index.sizes[position]) >= threshold
        for other in others[linked & (others < position)].tolist():
            first, second = sorted((root(position), root(other)))
            group[second] = first
    return [root(position) for position in range(len(texts))]


def _word_codes(text: str) -> Codes:
    words = text.lower().encode("utf-8", "surrogatepass").translate(_PUNCTUATION_TO_SPACES).split()
    return np.fromiter(map(crc32, words), np.uint64, len(words))


def _combine(word_codes: Codes, words: int) -> Codes:
    """Return a code for every run of so many words: a polynomial in 64-bit arithmetic, which wraps around."""
    factors = np.array([pow(_MULTIPLIER, place, 2**64) for place in range(words)], np.uint64)
    runs = np.lib.stride_tricks.sliding_window_view(word_codes, words)
    return runs @ factors
