"""Finding notes that repeat other notes, by the runs of words (shingles) that they share.

How far a text repeats a note is the share of the note's shingles that the text holds: the containment of Broder, "On
the resemblance and containment of documents" (1997). It finds a short note inside a long one, as an admission note
inside the discharge summary that it was cut from, which resemblance (Jaccard) does not. MinHash would estimate such a
share from a sample of the shingles; the indexes of `clinical_peft.data.shingle_index` count it. Only the notes that are
looked for are held in memory; the texts that may repeat them are streamed.
"""

import string
from collections.abc import Iterable, Sequence
from zlib import crc32

import numpy as np

from clinical_peft.data.shingle_index import Codes, RepeatedNotes

SHINGLE_WORDS = 5
THRESHOLD = 0.5

_MULTIPLIER = 0x9E3779B97F4A7C15  # odd, and its bits well mixed: 2**64 divided by the golden ratio
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
    index = RepeatedNotes(codes, threshold, least=1)
    group = list(range(len(texts)))

    def root(position: int) -> int:
        while group[position] != position:
            group[position] = group[group[position]]
            position = group[position]
        return position

    # A link is found from the text of the two that has more shingles: it holds the share of the other's.
    for position, own in enumerate(codes):
        for other in index.repeated(own)[0].tolist():
            first, second = sorted((root(position), root(other)))
            group[second] = first
    return [root(position) for position in range(len(texts))]


def _word_codes(text: str) -> Codes:
    words = text.lower().encode("utf-8", "surrogatepass").translate(_PUNCTUATION_TO_SPACES).split()
    return np.fromiter(map(crc32, words), np.uint64, len(words))


def _combine(word_codes: Codes, words: int) -> Codes:
    """Return a code for every run of the given number of words: a polynomial in wrapping 64-bit arithmetic."""
    combined = np.zeros(len(word_codes) - words + 1, np.uint64)
    for place in range(words):
        combined += word_codes[place : place + len(combined)] * np.uint64(pow(_MULTIPLIER, place, 2**64))
    return combined
