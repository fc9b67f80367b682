import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinical_peft.tokens.packing import ENOUGH_PADDING, cut_notes, pack

CONTEXT = st.integers(2, 70)
LENGTHS = st.lists(st.integers(0, 300), max_size=80).map(lambda values: np.array(values, np.int64))


@settings(max_examples=200, deadline=None)
@given(LENGTHS, CONTEXT, st.integers(1, 4))
def test_every_token_is_packed_once_within_the_limit(lengths, context, contexts):
    documents, row = pack(cut_notes(lengths, context), contexts * context, context)
    held = [
        (note, token)
        for note, start, length in zip(*(values.tolist() for values in documents), strict=True)
        for token in range(start, start + length)
    ]
    assert sorted(held) == [(note, token) for note, length in enumerate(lengths.tolist()) for token in range(length)]
    assert ((documents.length > 0) & (documents.length <= context)).all()
    filled = np.bincount(row, weights=documents.length)
    assert (filled <= contexts * context).all()
    assert (filled > 0).all()
    assert (np.diff(row) >= 0).all()
    within = list(zip(row.tolist(), documents.note.tolist(), documents.start.tolist(), strict=True))
    assert within == sorted(within)


@settings(max_examples=50, deadline=None)
@given(LENGTHS, CONTEXT)
def test_packing_is_a_function_of_the_lengths(lengths, context):
    first, second = (pack(cut_notes(lengths.copy(), context), context, context) for _ in range(2))
    assert np.array_equal(first[1], second[1])
    assert all(np.array_equal(one, other) for one, other in zip(first[0], second[0], strict=True))


@pytest.mark.parametrize("context", [32, 128, 512])
@pytest.mark.parametrize("scale", [4.0, 5.5, 7.0])
def test_less_than_one_percent_stays_empty(context, scale):
    lengths = np.random.default_rng(0).lognormal(scale, 0.8, 4000).astype(np.int64) + 3
    documents, row = pack(cut_notes(lengths, context), context, context)
    rows = int(row[-1]) + 1
    assert 1 - lengths.sum() / (rows * context) < ENOUGH_PADDING + 1 / rows < 0.01
    # and that by few cuts more than the context asks for
    assert len(documents.note) < 1.01 * len(cut_notes(lengths, context).note)


def test_long_notes_of_one_length_are_cut_to_fill_gaps():
    lengths = np.full(1000, 70)
    documents, row = pack(cut_notes(lengths, 100), 100, 100)
    assert 1 - 70_000 / (100 * (row[-1] + 1)) < 0.01
    assert documents.length[documents.length < 100 // 8].sum() < 0.01 * lengths.sum()


def test_cuts_lie_at_multiples_of_the_context():
    documents = cut_notes(np.array([5, 0, 12, 8]), 4)
    assert documents.note.tolist() == [0, 0, 2, 2, 2, 3, 3]
    assert documents.start.tolist() == [0, 4, 0, 4, 8, 0, 4]
    assert documents.length.tolist() == [4, 1, 4, 4, 4, 4, 4]
