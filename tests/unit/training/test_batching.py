from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from clinical_peft.training.batching import WINDOW_BATCHES, micro_batches, pad_right, row_batches, token_batches

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


@given(st.lists(st.integers(1, 50), max_size=200), st.integers(1, 9), st.integers(0, 5))
def test_row_batches_hold_every_row_once(lengths, batch_size, seed):
    batches = row_batches(np.asarray(lengths, np.int64), batch_size, np.random.default_rng(seed))
    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
    assert all(len(batch) == batch_size for batch in batches[:-1])
    assert len(batches) == -(-len(lengths) // batch_size)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=400), st.integers(1, 9), st.integers(0, 5))
def test_lengths_decide_the_order_inside_a_window_alone(lengths, batch_size, seed):
    lengths = np.asarray(lengths, np.int64)
    batches, shuffled = (
        row_batches(each, batch_size, np.random.default_rng(seed)) for each in (lengths, np.full_like(lengths, 50))
    )
    for start in range(0, len(lengths) // batch_size, WINDOW_BATCHES):
        end = min(start + WINDOW_BATCHES, len(lengths) // batch_size)
        window, drawn = (np.concatenate(each[start:end]) for each in (batches, shuffled))
        assert sorted(window) == sorted(drawn)
        # Batches of a window divide its lengths: no two overlap but at their ends.
        spans = sorted((lengths[batch].min(), lengths[batch].max()) for batch in batches[start:end])
        assert all(before[1] <= after[0] for before, after in pairwise(spans))
    whole = len(lengths) - len(lengths) % batch_size
    assert np.concatenate(batches)[whole:].tolist() == np.concatenate(shuffled)[whole:].tolist()


@given(st.integers(0, 300), st.integers(1, 9), st.integers(0, 5))
def test_rows_of_equal_length_are_shuffled_and_cut(rows, batch_size, seed):
    batches = row_batches(np.full(rows, 7), batch_size, np.random.default_rng(seed))
    order = np.random.default_rng(seed).permutation(rows).tolist()
    assert [row for batch in batches for row in batch] == order


def test_row_batches_need_little_padding_in_random_order():
    lengths = np.random.default_rng(0).integers(1, 512, 4096)
    batches = row_batches(lengths, 16, np.random.default_rng(1))
    padded = sum(len(batch) * lengths[batch].max() for batch in batches)
    assert lengths.sum() / padded > 0.93
    longest = [int(lengths[batch].max()) for batch in batches[:WINDOW_BATCHES]]
    assert longest not in (sorted(longest), sorted(longest, reverse=True))


def test_padding_goes_to_the_right():
    padded = pad_right([np.array([1, 2], np.uint16), np.array([3], np.uint16)], pad=9)
    assert padded.tolist() == [[1, 2], [3, 9]]
