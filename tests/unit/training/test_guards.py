import logging
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clinical_peft.errors import TrainingError
from clinical_peft.training.guards import MicroBatch, first_not_finite, require_finite_weights


def fits(limit, seen):
    """Work that needs a forward pass of at most `limit`."""

    def work(size):
        seen.append(size)
        if size > limit:
            raise torch.OutOfMemoryError
        return size

    return work


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(1, 100))
def test_the_size_is_halved_until_it_fits_or_cannot_be_divided(size, limit, smallest):
    seen: list[int] = []
    undone = []
    micro = MicroBatch(size, unit="tokens", title="run")
    if limit < min(size, smallest):
        with pytest.raises(TrainingError, match=f"forward pass of {smallest} tokens, which cannot be divided"):
            micro.attempt(fits(limit, seen), smallest=lambda: smallest, undo=lambda: undone.append(1))
        return
    found = micro.attempt(fits(limit, seen), smallest=lambda: smallest, undo=lambda: undone.append(1))
    assert found == micro.size == seen[-1] <= limit
    assert len(undone) == len(seen) - 1
    assert all(after == max(before // 2, smallest) for before, after in pairwise(seen))


def test_a_fitting_micro_batch_is_kept_and_logged(caplog):
    micro = MicroBatch(64, unit="notes", title="finetune x")
    with caplog.at_level(logging.WARNING):
        micro.attempt(fits(16, []), smallest=lambda: 1, undo=lambda: None)
    assert [record.getMessage() for record in caplog.records][-1] == (
        "finetune x: out of memory with forward passes of 32 notes; from now on 16, accumulated to the same batch"
    )
    seen: list[int] = []
    micro.attempt(fits(16, seen), smallest=lambda: 1, undo=lambda: None)
    assert seen == [16]


def test_other_errors_are_not_caught():
    def work(_):
        raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        MicroBatch(64, unit="notes", title="x").attempt(work, smallest=lambda: 1, undo=lambda: None)


@pytest.mark.parametrize(
    ("values", "place"), [([], None), ([1.0, -2.0], None), ([1.0, float("nan")], 1), ([float("inf"), float("nan")], 0)]
)
def test_the_first_value_that_is_not_finite_is_found(values, place):
    assert first_not_finite(values) == place


def test_weights_that_are_not_finite_are_named():
    good = ("layer.a", torch.ones(3))
    require_finite_weights([good], step=3, saved=0)
    with pytest.raises(
        TrainingError, match=r"weight layer\.b after optimizer step 3.*the checkpoint of step 2 is kept"
    ):
        require_finite_weights([good, ("layer.b", torch.tensor([1.0, float("inf")]))], step=3, saved=2)
