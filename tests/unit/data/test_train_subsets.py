"""Parts of a training split: nested, of whole patients, and the same whatever the order of the rows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinical_peft.data.train_subsets import training_subset

splits = st.lists(st.integers(0, 25), min_size=1, max_size=80).map(lambda ids: np.array(ids, dtype=np.int64))
seeds = st.integers(0, 2**32 - 1)


@given(patients=splits, sizes=st.tuples(st.integers(1, 90), st.integers(1, 90)), seed=seeds)
def test_a_smaller_part_lies_within_a_larger_one(patients, sizes, seed):
    small, large = (training_subset(patients, size, seed=seed) for size in sorted(sizes))
    assert not (small & ~large).any()


@given(patients=splits, size=st.integers(1, 90), seed=seeds)
def test_a_patient_is_in_or_out_with_every_row(patients, size, seed):
    chosen = training_subset(patients, size, seed=seed)
    assert not set(patients[chosen].tolist()) & set(patients[~chosen].tolist())


@given(patients=splits, size=st.integers(1, 90), seed=seeds)
def test_a_part_reaches_its_size_and_no_patient_beyond(patients, size, seed):
    chosen = training_subset(patients, size, seed=seed)
    assert chosen.sum() >= min(size, len(patients))
    largest = max(np.unique(patients, return_counts=True)[1])
    assert chosen.sum() < size + largest


@given(patients=splits, size=st.integers(1, 90), seed=seeds, shuffle=st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_no_part(patients, size, seed, shuffle):
    order = list(range(len(patients)))
    shuffle.shuffle(order)
    chosen = training_subset(patients, size, seed=seed)
    assert training_subset(patients[order], size, seed=seed).tolist() == chosen[order].tolist()


def test_seeds_draw_different_patients():
    patients = np.arange(200)
    first, second = (training_subset(patients, 50, seed=seed) for seed in (0, 1))
    assert first.sum() == second.sum() == 50
    assert 2 < (first & second).sum() < 30  # 12.5 expected


def test_every_patient_is_as_likely():
    patients = np.arange(100)
    times = sum(training_subset(patients, 20, seed=seed).astype(int) for seed in range(400))
    assert times.sum() == 400 * 20
    assert times.min() > 45  # 80 expected, standard deviation 8
    assert times.max() < 115


def test_the_hospital_is_part_of_who_a_patient_is():
    names = np.array([f"{number:04}" for number in range(200)])
    ours, theirs = (training_subset(names, 50, seed=0, source=source) for source in ("ours", "theirs"))
    assert ours.sum() == theirs.sum() == 50
    assert (ours != theirs).any()


@pytest.mark.parametrize("size", [5, 6, 1000])
def test_a_size_that_the_split_lacks_takes_every_row(size):
    assert training_subset(np.array([3, 3, 1, 2, 2]), size, seed=0).all()
