"""Near-duplicate notes: the index agrees with counting by hand, on any texts and at any threshold."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinical_peft.data import shingle_index
from clinical_peft.data.near_duplicates import SHINGLE_WORDS, near_duplicate_groups, shingle_codes
from clinical_peft.data.shingle_index import LEAST_SHARED, RepeatedNotes, ShingleIndex, _least_share

DOCUMENTS = st.lists(st.lists(st.sampled_from("abcd"), min_size=1, max_size=30), min_size=1, max_size=12)
THRESHOLDS = st.sampled_from([0.1, 0.3, 0.5, 0.7, 1])


def shingles(words: list[str], size: int = SHINGLE_WORDS) -> set[tuple[str, ...]]:
    return {tuple(words[start : start + size]) for start in range(max(len(words) - size + 1, 1))}


def index_of(texts: list[str], threshold: float) -> RepeatedNotes:
    return RepeatedNotes((shingle_codes([text]) for text in texts), threshold)


def share(text: str, note: str) -> float:
    """How far a text repeats a note; 0 below the least threshold."""
    _, shares = index_of([note], 1e-9).repeated(shingle_codes([text]))
    return float(shares[0]) if len(shares) else 0.0


@pytest.mark.parametrize("rare", [0, 1, 3, 100])
@settings(deadline=None)
@given(DOCUMENTS, st.lists(st.sampled_from("abcd"), min_size=1, max_size=60), THRESHOLDS)
def test_the_index_finds_what_counting_every_pair_finds(rare, documents, query, threshold):
    expected = {}
    for position, words in enumerate(documents):
        own = shingles(words)
        shared = len(own & shingles(query))
        if shared / len(own) >= threshold and shared >= min(len(own), LEAST_SHARED):
            expected[position] = shared / len(own)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shingle_index, "RARE", rare)
        index = index_of([" ".join(words) for words in documents], threshold)
    positions, shares = index.repeated(shingle_codes([" ".join(query)]))
    assert positions.tolist() == list(expected)
    assert shares.tolist() == list(expected.values())


def test_every_altered_copy_is_found_among_unrelated_notes():
    random.seed(5)
    vocabulary = [f"w{number}" for number in range(3000)]

    def note(length: int) -> list[str]:
        return random.choices(vocabulary, weights=[1 / (rank + 1) for rank in range(3000)], k=length)

    held_out = [note(random.randint(80, 400)) for _ in range(200)]
    texts = [note(300) for _ in range(300)]
    for position, words in enumerate(held_out):  # each stands in one text, with up to a fifth of its words changed
        changed = [random.choice(vocabulary) if random.random() < position / 1000 else word for word in words]
        texts[position] = note(50) + changed + note(50)
    for threshold in (0.3, 0.5, 0.8):
        index = index_of([" ".join(words) for words in held_out], threshold)
        for words in texts:
            found, _ = index.repeated(shingle_codes([" ".join(words)]))
            present = shingles(words)
            expected = [
                position
                for position, own in enumerate(map(shingles, held_out))
                if len(own & present) >= max(threshold * len(own), LEAST_SHARED)
            ]
            assert found.tolist() == expected


@settings(deadline=None)
@given(st.lists(st.text("abcdefgh", min_size=1), min_size=1), st.text())
def test_a_note_repeats_itself_and_what_contains_it(words, more):
    note = " ".join(words)
    assert share(note, note) == 1
    if len(words) >= SHINGLE_WORDS:
        assert share(f"{more}\n{note}\n{more}", note) == 1


def test_case_punctuation_and_removed_names_do_not_count():
    first = "Mr. ___ was seen by Dr. ___ for chest pain, fever (38.5) and cough; no rash, no edema today."
    second = "mr was seen by dr for CHEST PAIN fever 38 5 and cough no rash no edema today"
    assert np.array_equal(shingle_codes([first]), shingle_codes([second]))


def test_no_shingle_crosses_blocks_and_short_blocks_add_none():
    block = "one two three four five six"
    assert len(shingle_codes([block, block])) == 4
    assert len(shingle_codes([block, "chest pain"])) == 2
    assert len(shingle_codes(["chest pain", "no known allergies"])) == 1  # nothing but short blocks: all words at once
    assert len(shingle_codes(["", " ... ___ "])) == 0


def test_one_common_phrase_repeats_nothing():
    phrase = "no fevers or chills or night sweats"
    assert share(f"Seen today. {phrase} at all.", f"{phrase} since May") == 0
    assert share(f"Seen today. {phrase} at all.", phrase) == 1


@settings(deadline=None)
@given(DOCUMENTS, THRESHOLDS)
def test_groups_are_the_components_of_all_similar_pairs(documents, threshold):
    groups = list(range(len(documents)))
    for first, one in enumerate(documents):
        for second, other in enumerate(documents):
            a, b = shingles(one), shingles(other)
            if len(a & b) / min(len(a), len(b)) >= threshold:
                old, new = max(groups[first], groups[second]), min(groups[first], groups[second])
                groups = [new if group == old else group for group in groups]
    assert near_duplicate_groups([" ".join(words) for words in documents], threshold) == groups


@settings(deadline=None)
@given(DOCUMENTS, THRESHOLDS)
def test_grouping_is_symmetric(documents, threshold):
    texts = [" ".join(words) for words in documents]
    forwards = near_duplicate_groups(texts, threshold)
    backwards = near_duplicate_groups(texts[::-1], threshold)[::-1]
    pairs = [(first, second) for first in range(len(texts)) for second in range(first)]
    assert [forwards[a] == forwards[b] for a, b in pairs] == [backwards[a] == backwards[b] for a, b in pairs]


def test_an_index_may_be_empty():
    text = shingle_codes(["one two three four five six"])
    for found in (ShingleIndex([]).shared(text), RepeatedNotes([], 0.5).repeated(text)):
        assert [len(array) for array in found] == [0, 0]


@given(st.integers(0, 3000), st.floats(0.001, 1))
def test_the_least_share_is_the_least_quotient_that_reaches_it(size, threshold):
    (least,) = _least_share(np.array([size]), threshold).tolist()
    assert least == next((shared for shared in range(1, size + 1) if shared / size >= threshold), size)


def test_a_search_reads_no_more_where_more_notes_share_a_phrase(monkeypatch):
    """Half as many notes or all: a text of template phrases alone, and copies, are looked up among as few."""
    template = [f"t{number}" for number in range(60)]
    own = [[f"n{note}w{word}" for word in range(120)] for note in range(400)]
    notes = [[*template, *words] for words in own]
    read: list[int] = []
    entries = shingle_index._Postings.entries

    def counted(postings, numbers):
        found = entries(postings, numbers)
        read.append(len(found[0]))
        return found

    monkeypatch.setattr(shingle_index._Postings, "entries", counted)
    for some in (notes[:200], notes):
        index = index_of([" ".join(words) for words in some], 0.5)
        for text in (template, notes[7], [*template, *own[9][:80]]):
            index.repeated(shingle_codes([" ".join(text)]))
    assert read[:3] == read[3:]
    assert 0 < max(read) < 10


def test_phrases_of_other_notes_do_not_count_as_shared():
    """A note that could repeat half, if the common phrases of a text were its own, is no hit when they are not."""
    own, ours, theirs, another = (" ".join(f"{start}{number}" for number in range(34)) for start in "abcd")
    notes = [
        f"{own} {ours}",
        f"{another} {theirs}",
        *(f"{ours} {phrase}{copy}" for phrase in "xy" for copy in range(20)),
    ]
    notes += [f"{theirs} z{copy}" for copy in range(40)]
    half, index = " ".join(own.split()[:24]), index_of(notes, 0.5)
    assert 0 not in index.repeated(shingle_codes([f"{half} {theirs}"]))[0].tolist()
    assert 0 in index.repeated(shingle_codes([f"{half} {ours}"]))[0].tolist()
