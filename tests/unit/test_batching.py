import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from clinical_peft.training.batching import micro_batches, pad_right, row_batches, token_batches

lengths_of_rows = st.lists(st.integers(1, 50), min_size=1, max_size=60).map(lambda rows: np.asarray(rows, np.int32))


@given(lengths_of_rows, st.integers(1, 300), st.integers(0, 5))
def test_token_batches_hold_every_row_once_and_are_even(lengths, batch_tokens, seed):
    batches = token_batches(lengths, batch_tokens, np.random.default_rng(seed))
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
    target = lengths.sum() / max(1, round(lengths.sum() / batch_tokens))
    assert all(0 < lengths[batch].sum() <= target + 2 * lengths.max() for batch in batches)


@given(lengths_of_rows, st.integers(50, 300))
def test_micro_batches_hold_every_row_once_within_the_limit(lengths, limit):
    groups = micro_batches(np.arange(len(lengths)), lengths, limit)
    assert sorted(np.concatenate(groups).tolist()) == list(range(len(lengths)))
    assert all(len(group) * lengths[group].max() <= limit for group in groups)


def test_row_batches_hold_every_row_once():
    batches = row_batches(10, 4, np.random.default_rng(0))
    assert [len(batch) for batch in batches] == [4, 4, 2]
    assert sorted(np.concatenate(batches).tolist()) == list(range(10))


def test_padding_goes_to_the_right():
    padded = pad_right([np.array([1, 2], np.uint16), np.array([3], np.uint16)], pad=9)
    assert padded.tolist() == [[1, 2], [3, 9]]
