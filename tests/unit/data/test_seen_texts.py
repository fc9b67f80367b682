"""Duplicates among many texts: as a set finds them, in a few bytes a text."""

import tracemalloc

from hypothesis import given, settings
from hypothesis import strategies as st

from clinical_peft.data.seen_texts import SeenTexts


@settings(deadline=None)
@given(st.lists(st.lists(st.binary(max_size=2), max_size=20), max_size=12))
def test_the_first_of_each_kind_is_new(batches):
    seen, known = SeenTexts(), set()
    for batch in batches:
        expected = []
        for text in batch:
            expected.append(text not in known)
            known.add(text)
        assert seen.add_all(batch).tolist() == expected


def test_single_texts_and_batches_share_their_memory():
    seen = SeenTexts()
    assert seen.add("naïve")
    assert seen.add_all(["naïve".encode(), b"other", b"other"]).tolist() == [False, True, False]
    assert not seen.add("other")


def test_many_texts_take_few_bytes():
    count, batch = 200_000, 1_000
    tracemalloc.start()
    seen = SeenTexts()
    for start in range(0, count, batch):
        assert seen.add_all(number.to_bytes(4, "big") for number in range(start, start + batch)).all()
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 16 * count
    assert not seen.add_all(number.to_bytes(4, "big") for number in range(count)).any()
