"""Search for texts that repeat the hospital's notes of held-out patients.

An admission note is what a model reads; the rest of the discharge summary says how the stay went. A corpus without
test answers must repeat neither, whoever's name stands over the text. Here are the whole discharge summaries, each in
two passages (the hospital course, and the rest), and the exact words of every other note.
"""

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xxhash

from clinical_peft.data.held_out import Repetition, read_rows
from clinical_peft.data.shingle_index import Codes, ShingleIndex, distinct

LEAST_PASSAGE = 20
"""Shingles that a text must share with a passage at least, and of a copied note: fewer are a common phrase."""
MOST_SHARING = 20
"""Passages in which a shingle may stand. One of more is a template's and does not identify a patient; without
this bound a phrase of every summary would make each look-up as long as the list of summaries."""
MOST_SHINGLES = 1 << 25
"""Shingles that are held: all of the held-out summaries of MIMIC-III, if 18,000 have 1,500 words each, and one in
eight of those of MIMIC-IV."""

_DISCHARGE = "discharge"
_COURSE = re.compile(r"\bhospital course\b[^:\n]{0,40}:", re.IGNORECASE)
_AFTER_COURSE = re.compile(
    r"\b(?:medications? on admission|discharge (?:medications?|disposition|diagnos[ei]s|condition|instructions)"
    r"|condition (?:on|at|upon) discharge|follow-?up (?:instructions|plans?))\b[^:\n]{0,20}:",
    re.IGNORECASE,
)
_LEAST_SAMPLED = 5  # shingles: the least that decides where only some are held
_MIX = np.uint64(0xD6E8FEB86659FD93)  # odd; unlike the factor of a shingle's own polynomial


@dataclass(frozen=True)
class SourceNotes:
    """Notes of held-out patients in the tables that a corpus was made of.

    Attributes:
        passages: Shingles of the passages of discharge summaries, without those of more than `MOST_SHARING`.
        halvings: One in 2 to this power of all shingles is held, chosen by its code, so that memory is bounded.
        copies: Digests of the words of the other notes.
        threshold: Least share of the shingles, of the passage or of the text, whichever has fewer.
    """

    passages: ShingleIndex
    halvings: int
    copies: frozenset[int]
    threshold: float

    def repeated_by(self, codes: Codes) -> bool:
        """Return whether a text repeats a passage of a discharge summary, or is a copy of another note.

        Args:
            codes: Shingles of the text, from `Repetition.codes`.
        """
        if len(codes) >= LEAST_PASSAGE and _digest(codes) in self.copies:
            return True
        least = LEAST_PASSAGE if not self.halvings else max(_LEAST_SAMPLED, LEAST_PASSAGE >> self.halvings)
        sampled = _sample(codes, self.halvings)
        positions, shared = self.passages.shared(sampled, least)
        if not len(positions):
            return False
        shorter = np.minimum(self.passages.sizes[positions], len(distinct(sampled)))
        return bool((shared >= self.threshold * shorter).any())


def read_source_notes(notes: Path, patients: Collection[int], repetition: Repetition) -> SourceNotes:
    """Read the notes of held-out patients.

    Memory: up to 40 bytes a shingle while the index is built and 20 afterwards, of `MOST_SHINGLES` at most, and some
    100 bytes for each note that is no discharge summary.

    Args:
        notes: Table of notes of the whole hospital.
        patients: Who is held out.
        repetition: How notes are compared.

    Raises:
        DataError: The file is missing or malformed.
    """
    passages: list[Codes] = []
    copies: set[int] = set()
    held = halvings = 0
    for subject_id, kind, text in read_rows(notes, ["subject_id", "kind", "text"]):
        if subject_id not in patients:
            continue
        if kind != _DISCHARGE:
            codes = repetition.codes(text)
            if len(codes) >= LEAST_PASSAGE:
                copies.add(_digest(codes))
            continue
        for blocks in _passages(text):
            passages.append(distinct(_sample(repetition.codes(*blocks), halvings)))
            held += len(passages[-1])
        while held > MOST_SHINGLES:
            halvings += 1
            passages = [_sample(codes, halvings) for codes in passages]
            held = sum(map(len, passages))
    return SourceNotes(ShingleIndex(_without_common(passages)), halvings, frozenset(copies), repetition.threshold)


def _passages(summary: str) -> Iterable[list[str]]:
    """Return the blocks of text of the hospital course, and those of the rest."""
    heading = _COURSE.search(summary)
    if heading is None:
        return [[summary]]
    following = _AFTER_COURSE.search(summary, heading.end())
    end = following.start() if following else len(summary)
    return [[summary[heading.end() : end]], [summary[: heading.start()], summary[end:]]]


def _without_common(passages: list[Codes]) -> Iterator[Codes]:
    """Yield the passages without the shingles of too many, and let go of each."""
    codes = np.concatenate([np.zeros(0, np.uint64), *passages])
    codes.sort()
    common = distinct(codes[:-MOST_SHARING][codes[:-MOST_SHARING] == codes[MOST_SHARING:]])
    del codes
    passages.reverse()
    while passages:
        passage = passages.pop()
        places = np.searchsorted(common, passage)
        places[places == len(common)] = 0
        yield passage[common[places] != passage] if len(common) else passage


def _sample(codes: Codes, halvings: int) -> Codes:
    return codes[codes * _MIX >> np.uint64(64 - halvings) == 0] if halvings else codes


def _digest(codes: Codes) -> int:
    return xxhash.xxh3_64_intdigest(codes.tobytes())
