"""Which documents share a row: best-fit decreasing, with a few more cuts where rows would stay too empty.

A document is a note, or a piece of one, of at most `context` tokens. Rows are as long as the context. A longer row
would fill as well with fewer cuts, but it is what an optimizer batch is drawn in, so that short rows keep batches of
the intended size (a row of 2,048 tokens would be twice a batch of 1,024) and random; and a row that holds a single
document, as most do, needs no mask. What best fit leaves empty is filled by emptying the emptiest rows into the gaps
of others (Ding et al. 2024, "Fewer truncations improve language modeling", for best fit; the cuts are ours).
"""

import heapq
from collections import defaultdict
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

ENOUGH_PADDING = 0.008
# A cut leaves at least this part of a context on either side, since a short piece has little to learn from; smaller
# ones are cut only where lengths leave nothing but small gaps.
SMALLEST_CUTS = (8, 16, 32, 64)

Integers = npt.NDArray[np.int64]


class Documents(NamedTuple):
    """Documents as arrays of equal length.

    Attributes:
        note: Number of the note.
        start: First token in it.
        length: Tokens.
    """

    note: Integers
    start: Integers
    length: Integers

    def take(self, order: npt.NDArray[np.integer]) -> "Documents":
        """Return the documents with the given numbers."""
        return Documents(*(values[order] for values in self))


def cut_notes(lengths: npt.NDArray[np.integer], context: int) -> Documents:
    """Cut every note at multiples of the context; a note without tokens gives no document.

    Args:
        lengths: Tokens of each note, shape (notes,).
        context: Longest document, in tokens.
    """
    counts = -(-lengths.astype(np.int64) // context)
    note = np.repeat(np.arange(len(lengths)), counts)
    start = context * (np.arange(len(note)) - np.repeat(np.cumsum(counts) - counts, counts))
    return Documents(note, start, np.minimum(context, lengths[note] - start))


def pack(documents: Documents, row: int, context: int) -> tuple[Documents, Integers]:
    """Put documents into rows so that few of their tokens stay empty.

    Best-fit decreasing puts the longest document first, each into the fullest row that has room. Then, while more than
    `ENOUGH_PADDING` of the rows is empty and fewer rows could hold everything, the emptiest row is emptied into the
    gaps of others, its documents cut where no gap holds them whole.

    Args:
        documents: What to pack, none longer than the context.
        row: Tokens that a row holds, at least the context.
        context: Longest document, in tokens.

    Returns:
        The documents, in the order of rows and within a row in that of the notes, and each one's row, ascending from
        zero. Rows are in the order of their first documents. The result depends on the arguments alone.
    """
    full = documents.length == row
    alone, partial = documents.take(np.flatnonzero(full)), documents.take(np.flatnonzero(~full))
    rows = _best_fit(partial, row)
    empty = sum(each.room for each in rows)
    for part in SMALLEST_CUTS:
        empty -= _top_up(rows, row, smallest_cut=max(2, context // part), full_rows=len(alone.note), empty=empty)
    shared = [(*document, number) for number, each in enumerate(rows) for document in each.documents]
    *columns, number = np.array(shared, dtype=np.int64).reshape(-1, 4).T
    together = Documents(*(np.concatenate(pair) for pair in zip(alone, columns, strict=True)))
    return _ordered(together, np.concatenate([len(rows) + np.arange(len(alone.note)), number]))


@dataclass
class _Row:
    """A row that is being filled: its documents as (note, start, length), and the tokens that it has room for."""

    documents: list[tuple[int, int, int]]
    room: int


def _best_fit(documents: Documents, capacity: int) -> list[_Row]:
    rows: list[_Row] = []
    by_room: dict[int, list[_Row]] = defaultdict(list)
    rooms = 0  # bit n is set where a row has room for n tokens, so that the best fit is the lowest bit that is enough
    order = np.argsort(-documents.length, kind="stable")
    for document in zip(*(values.tolist() for values in documents.take(order)), strict=True):
        length = document[2]
        fitting = rooms >> length
        if fitting:
            room = length + (fitting & -fitting).bit_length() - 1
            row = by_room[room].pop()
            if not by_room[room]:
                rooms ^= 1 << room
            row.documents.append(document)
        else:
            row = _Row([document], capacity)
            rows.append(row)
        row.room -= length
        if row.room:
            by_room[row.room].append(row)
            rooms |= 1 << row.room
    return rows


def _top_up(rows: list[_Row], capacity: int, *, smallest_cut: int, full_rows: int, empty: int) -> int:
    """Empty the emptiest rows into the gaps of others until little is empty, no row can be spared or no cut is left.

    Args:
        rows: Rows with room, changed in place; those that are emptied are removed.
        capacity: Tokens that a row holds.
        smallest_cut: Tokens that a cut leaves on either side.
        full_rows: Rows that are full and not in `rows`.
        empty: Tokens that fit into the room of all rows.

    Returns:
        By how much less is empty.
    """
    gaps = [(-row.room, number) for number, row in enumerate(rows) if row.room]
    heapq.heapify(gaps)
    spared: set[int] = set()
    while gaps:
        kept = full_rows + len(rows) - len(spared)
        left = empty - len(spared) * capacity
        if left < capacity or left <= ENOUGH_PADDING * kept * capacity:
            break
        _, emptiest = heapq.heappop(gaps)
        moves = _moves(rows[emptiest], gaps, smallest_cut)
        if moves is None:
            break
        for number, document in moves:
            rows[number].documents.append(document)
            rows[number].room -= document[2]
        spared.add(emptiest)
    rows[:] = [row for number, row in enumerate(rows) if number not in spared]
    return len(spared) * capacity


def _moves(row: _Row, gaps: list[tuple[int, int]], smallest_cut: int) -> list[tuple[int, tuple[int, int, int]]] | None:
    """Plan where the documents of a row go, the largest gaps first; None when the gaps cannot take them all.

    Args:
        row: Row to empty.
        gaps: Heap of (-room, row number); what the plan uses is taken from it.
        smallest_cut: Tokens that a cut leaves on either side.
    """
    moves = []
    for note, start, length in sorted(row.documents, key=lambda document: -document[2]):
        while length:
            if not gaps:
                return None
            room, number = -gaps[0][0], gaps[0][1]
            take = min(room, length)
            if 0 < length - take < smallest_cut:
                take = length - smallest_cut
            if take < min(smallest_cut, length):
                return None
            moves.append((number, (note, start, take)))
            start, length = start + take, length - take
            if room > take:
                heapq.heapreplace(gaps, (take - room, number))
            else:
                heapq.heappop(gaps)
    return moves


def _ordered(documents: Documents, row: Integers) -> tuple[Documents, Integers]:
    """Sort documents by row and within a row by note, and number the rows by their first documents."""
    order = np.lexsort((documents.start, documents.note, row))
    documents, row = documents.take(order), row[order]
    first = np.flatnonzero(np.diff(row, prepend=-1))
    rank = np.empty(len(first), np.int64)
    rank[np.lexsort((documents.start[first], documents.note[first]))] = np.arange(len(first))
    ranked = np.repeat(rank, np.diff(first, append=len(row)))
    order = np.argsort(ranked, kind="stable")
    return documents.take(order), ranked[order]
