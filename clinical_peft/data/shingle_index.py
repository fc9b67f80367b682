"""Indexes over the shingles of notes: which of them a text shares, exactly.

Two questions, two indexes. `ShingleIndex` counts what a text shares with every note; it fits where no shingle stands
in many notes. `RepeatedNotes` finds the notes of which a text holds a given share, and looks at few of them: a text
that holds ``o`` of a note's ``s`` shingles holds one of any ``s - o + 1`` of them, so that the rarest so many find
every such note (prefix filtering: Chaudhuri, Ganti and Kaushik, "A primitive operator for similarity joins in data
cleaning", ICDE 2006; Bayardo, Ma and Srikant, "Scaling up all pairs similarity search", WWW 2007). What is common,
as a template's phrases are, is counted for the candidates alone, so that time does not grow with the notes that share
a phrase. The shares are exact, and no decision is left to chance.
"""

from collections.abc import Iterable
from itertools import count, pairwise
from typing import TypeVar

import numpy as np
import numpy.typing as npt

LEAST_SHARED = 10
"""Shingles that a text must share with a note at least, or all of the note's: one common phrase repeats nothing."""

Codes = npt.NDArray[np.uint64]
Positions = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.int32]
_Value = TypeVar("_Value", np.int32, np.int64, np.uint64)

_FILTER_BITS_PER_SHINGLE = 64  # of a hundred shingles that no note holds, one or two pass the filter
_LARGEST_FILTER = 1 << 29  # bits: 64 MiB, which lets one in twelve of foreign shingles pass at 46 million known ones
# Odd. Multiplied by it, codes that differ in their last bits alone, as those of like shingles do, differ in the first.
_MIX = np.uint64(0xBF58476D1CE4E5B9)
_AT_A_TIME = 1 << 20  # codes, while an index is built: temporary arrays stay small
# Shingles of more notes than this are looked at for candidates alone, unless a note has too few rarer ones. A larger
# number reads longer lists, a smaller one counts more candidates.
RARE = 16


class KnownShingles:
    """The distinct shingles of notes, numbered in the order of their codes.

    Args:
        codes: Distinct codes, mixed, ascending.
    """

    def __init__(self, codes: Codes) -> None:
        self._codes = codes
        # Most shingles of a text are in no note. One bit per slot says so in a single look, where a search in the
        # sorted codes takes many.
        slot_bits = min(_FILTER_BITS_PER_SHINGLE * len(codes) + 8, _LARGEST_FILTER).bit_length() - 1
        self._shift = np.uint64(64 - slot_bits)
        self._filter = np.zeros(1 << (slot_bits - 3), np.uint8)
        for start in range(0, len(codes), _AT_A_TIME):
            byte, bit = self._slots(codes[start : start + _AT_A_TIME])
            np.bitwise_or.at(self._filter, byte, bit)
        # Mixed codes are spread evenly, so that the first bits of one give its approximate place.
        bucket_bits = max(1, len(codes).bit_length() - 2)
        self._bucket_shift = np.uint64(64 - bucket_bits)
        self._buckets = np.empty(1 << bucket_bits, np.int32)
        for start in range(0, len(self._buckets), _AT_A_TIME):
            some = self._buckets[start : start + _AT_A_TIME]
            borders = np.arange(start, start + len(some), dtype=np.uint64) << self._bucket_shift
            some[:] = np.searchsorted(codes, borders)

    def __len__(self) -> int:
        return len(self._codes)

    def _slots(self, codes: Codes) -> tuple[Codes, npt.NDArray[np.uint8]]:
        """Return the byte and the bit of each code in the filter."""
        slots = codes >> self._shift
        return slots >> np.uint64(3), np.uint8(1) << (slots & np.uint64(7)).astype(np.uint8)

    def find(self, codes: Codes) -> Numbers:
        """Return the numbers of a text's known shingles, each once, ascending."""
        codes = codes * _MIX
        byte, bit = self._slots(codes)
        codes = codes[(self._filter[byte] & bit) != 0]
        places = self._buckets[codes >> self._bucket_shift]
        found = []
        while len(codes):
            inside = places < len(self._codes)
            codes, places = codes[inside], places[inside]
            there = self._codes[places]
            found.append(places[there == codes])
            further = there < codes
            codes, places = codes[further], places[further] + 1
        return distinct(_concatenated(found))

    def numbers(self, codes: Codes) -> Numbers:
        """Return the number of each of some mixed codes, all of which are known."""
        numbers = np.empty(len(codes), np.int32)
        for start in range(0, len(codes), _AT_A_TIME):
            some = slice(start, start + _AT_A_TIME)
            numbers[some] = np.searchsorted(self._codes, codes[some])
        return numbers


class _Postings:
    """Lists of notes, by the number of a shingle or of a group of them.

    Args:
        numbers: Under which each note is listed.
        notes: The notes, ascending.
        known: How many lists there are.
    """

    def __init__(self, numbers: Numbers, notes: Numbers, known: int) -> None:
        counts = np.bincount(numbers, minlength=known)
        self._starts = np.zeros(known + 1, np.int32 if len(numbers) < 1 << 31 else np.int64)
        np.cumsum(counts, out=self._starts[1:])
        del counts
        self._notes = notes[np.argsort(numbers, kind="stable")]

    def entries(self, numbers: npt.NDArray[np.integer]) -> tuple[Numbers, Positions]:
        """Return the notes listed under some numbers, and under which of these each is listed."""
        first = self._starts[numbers].astype(np.int64)
        counts = self._starts[numbers + 1] - first
        before = np.cumsum(counts) - counts
        notes = self._notes[np.arange(counts.sum()) + np.repeat(first - before, counts)]
        return notes, np.repeat(np.arange(len(counts)), counts)


class ShingleIndex:
    """Counts what a text shares with each of a set of notes. Memory: about 20 bytes per shingle, 30 while it is built.

    Args:
        notes: Shingles of each note, from `shingle_codes`.

    Attributes:
        sizes: Distinct shingles of each note, shape (notes,).
    """

    def __init__(self, notes: Iterable[Codes]) -> None:
        codes, self.sizes = _on_end(notes)
        self._known = KnownShingles(_distinct_of_many(codes))
        numbers = self._known.numbers(codes)
        del codes
        owner = np.repeat(np.arange(len(self.sizes), dtype=np.int32), self.sizes)
        self._postings = _Postings(numbers, owner, len(self._known))
        self._shared = np.zeros(len(self.sizes), np.int64)  # filled and emptied again for every text

    def shared(self, codes: Codes, least: int = 1) -> tuple[Positions, Positions]:
        """Count the distinct shingles that a text shares with each note.

        Args:
            codes: Shingles of the text.
            least: Shingles that a note has to share.

        Returns:
            Positions of the notes that share so many, ascending, and how many each shares.
        """
        notes, _ = self._postings.entries(self._known.find(codes))
        np.add.at(self._shared, notes, 1)
        positions = distinct(notes[self._shared[notes] >= least]).astype(np.int64)
        shared = self._shared[positions]
        self._shared[notes] = 0
        return positions, shared


class RepeatedNotes:
    """Finds which of a set of notes a text repeats.

    Shingles that stand in the same notes, as those of one phrase or all that a note has for itself, are one group: its
    notes are listed once. Memory: about 20 bytes per shingle, 40 while the index is built.

    Args:
        notes: Shingles of each note, from `shingle_codes`.
        threshold: Least share of a note's shingles, above 0, at most 1.
        least: Shingles that are needed at least, or all of a note that has fewer.

    Attributes:
        sizes: Distinct shingles of each note, shape (notes,).
    """

    def __init__(self, notes: Iterable[Codes], threshold: float, least: int = LEAST_SHARED) -> None:
        codes, self.sizes = _on_end(notes)
        self._needed = np.maximum(_least_share(self.sizes, threshold), np.minimum(self.sizes, least))
        self._known = KnownShingles(_distinct_of_many(codes))
        numbers = self._known.numbers(codes)
        del codes
        self._group_of, owned = _grouped(numbers, self.sizes, len(self._known))
        del numbers
        groups = int(self._group_of.max(initial=-1)) + 1
        listed, others = self._rarest_listed(owned, groups)
        owners = np.arange(len(owned), dtype=np.int32)
        self._listed = _Postings(_concatenated(listed), np.repeat(owners, [len(some) for some in listed]), groups)
        self._others = _concatenated(others)
        self._other_counts = np.array([len(some) for some in others], np.int64)
        self._other_starts = np.cumsum(self._other_counts) - self._other_counts
        sizes_of_groups = np.bincount(self._group_of, minlength=groups)
        self._other_sizes = np.array([sizes_of_groups[some].sum() for some in others], np.int64)
        self._is_other = np.zeros(groups, bool)
        self._is_other[self._others] = True
        # Filled and emptied again for every text: the shingles that it shares with a note, and has of a group.
        self._shared = np.zeros(len(owned), np.int64)
        self._of_group = np.zeros(groups, np.int64)

    def _rarest_listed(self, owned: list[Numbers], groups: int) -> tuple[list[Numbers], list[Numbers]]:
        """Divide the groups of each note into those under which it is listed, and the others.

        Listed are the rare ones, and of the rest so many that a text without any of them lacks too many shingles.
        """
        in_notes = np.zeros(groups, np.int64)
        for own in owned:
            in_notes[own] += 1
        sizes_of_groups = np.bincount(self._group_of, minlength=groups)
        listed, others = [], []
        for size, needed, own in zip(self.sizes.tolist(), self._needed.tolist(), owned, strict=True):
            own = own[np.argsort(in_notes[own], kind="stable")]
            before = np.cumsum(sizes_of_groups[own]) - sizes_of_groups[own]
            is_listed = (in_notes[own] <= RARE) | (before <= size - needed)
            listed.append(own[is_listed])
            others.append(own[~is_listed])
        return listed, others

    def repeated(self, codes: Codes) -> tuple[Positions, npt.NDArray[np.float64]]:
        """Find the notes that a text repeats.

        Args:
            codes: Shingles of the text.

        Returns:
            Positions of the notes, ascending, and the share of each note's shingles that the text holds.
        """
        groups, of_group = _counted(self._group_of[self._known.find(codes)])
        notes, which = self._listed.entries(groups)
        np.add.at(self._shared, notes, of_group[which])
        # No note shares more of the rest than the text has of it.
        is_other = self._is_other[groups]
        of_others = int(of_group[is_other].sum())
        possible = self._shared[notes] + np.minimum(self._other_sizes[notes], of_others) >= self._needed[notes]
        candidates = distinct(notes[possible])
        shared = self._shared[candidates]
        self._shared[notes] = 0
        if of_others and len(candidates):
            self._of_group[groups] = of_group
            shared = shared + self._shared_others(candidates)
            self._of_group[groups] = 0
        enough = shared >= self._needed[candidates]
        positions = candidates[enough].astype(np.int64)
        return positions, shared[enough] / self.sizes[positions]

    def _shared_others(self, notes: Numbers) -> Positions:
        """Count the shingles that some notes share in groups under which they are not listed."""
        counts = self._other_counts[notes]
        before = np.cumsum(counts) - counts
        entries = np.arange(counts.sum()) + np.repeat(self._other_starts[notes] - before, counts)
        found = np.concatenate([[0], np.cumsum(self._of_group[self._others[entries]])])
        return found[before + counts] - found[before]


def _grouped(numbers: Numbers, sizes: Positions, known: int) -> tuple[Numbers, list[Numbers]]:
    """Group shingles that occur in the same notes.

    Args:
        numbers: Shingles of all notes on end.
        sizes: Shingles of each note.
        known: How many distinct shingles there are.

    Returns:
        The group of each shingle, and the groups of each note.
    """
    ends = np.cumsum(sizes).tolist()
    spans = [slice(start, end) for start, end in pairwise([0, *ends])]
    group_of = np.full(known, -1, np.int32)  # first the last note of each shingle
    is_alone = np.ones(known, bool)
    for note, span in enumerate(spans):
        own = numbers[span]
        is_alone[own] = group_of[own] < 0
        group_of[own] = note
    several = np.flatnonzero(~is_alone)
    place = np.cumsum(~is_alone, dtype=np.int32) - 1
    for seed in count():
        # The sum of random numbers, one for each note, stands for a set of notes.
        marks = np.random.default_rng(seed).integers(0, 2**64, len(sizes), np.uint64)
        sums = np.zeros(len(several), np.uint64)
        for mark, span in zip(marks, spans, strict=True):
            own = numbers[span]
            sums[place[own[~is_alone[own]]]] += mark
        group_of[several] = len(sizes) + np.unique(sums, return_inverse=True)[1]
        sizes_of_groups = np.bincount(group_of)
        owned = []
        for span in spans:
            own, of_group = _counted(group_of[numbers[span]])
            if (of_group != sizes_of_groups[own]).any():
                break  # two sets of notes with one sum: once in many thousand years
            owned.append(own)
        else:
            return group_of, owned
    raise AssertionError("unreachable")


def distinct(values: npt.NDArray[_Value]) -> npt.NDArray[_Value]:
    """Return the distinct values, ascending; for a few thousand `np.unique` takes several times as long."""
    return _counted(values)[0]


def _distinct_of_many(codes: Codes) -> Codes:
    """Return the distinct codes, ascending, with little memory beside them."""
    codes = np.sort(codes)
    first = np.ones(len(codes), bool)
    np.not_equal(codes[1:], codes[:-1], out=first[1:])
    return codes[first]


def _counted(values: npt.NDArray[_Value]) -> tuple[npt.NDArray[_Value], Positions]:
    """Return the distinct values, ascending, and how often each occurs."""
    values = np.sort(values)
    first = np.ones(len(values), bool)
    np.not_equal(values[1:], values[:-1], out=first[1:])
    places = np.flatnonzero(first)
    counts = np.empty(len(places), np.int64)
    counts[:-1] = places[1:] - places[:-1]
    counts[-1:] = len(values) - places[-1:]
    return values[places], counts


def _concatenated(parts: list[Numbers]) -> Numbers:
    return np.concatenate([np.zeros(0, np.int32), *parts])


def _on_end(notes: Iterable[Codes]) -> tuple[Codes, Positions]:
    """Return the distinct shingles of all notes on end, mixed, and how many each note has."""
    held = [distinct(codes * _MIX) for codes in notes]
    sizes = np.array([len(codes) for codes in held], dtype=np.int64)
    codes = np.empty(sizes.sum(), np.uint64)
    end = len(codes)
    while held:  # from the back, so that each is let go of when it is copied
        codes[end - len(held[-1]) : end] = held[-1]
        end -= len(held.pop())
    return codes, sizes


def _least_share(sizes: Positions, threshold: float) -> Positions:
    """Return the least number of a note's shingles whose share of all reaches the threshold."""
    least = np.ceil(sizes * threshold).astype(np.int64)
    at_least_one = np.maximum(sizes, 1)
    # The product is rounded, and what counts is the quotient.
    least -= (least - 1) / at_least_one >= threshold
    least += least / at_least_one < threshold
    return np.clip(least, np.minimum(sizes, 1), sizes)
