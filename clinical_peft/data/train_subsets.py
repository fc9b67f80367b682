"""Parts of a training split: whole patients in a fixed order, so that a smaller part lies within a larger one."""

import hashlib

import numpy as np

from clinical_peft.data.patients import patient_keys


def training_subset(subject_id: np.ndarray, size: int, *, seed: int, source: str | None = None) -> np.ndarray:
    """Choose whole patients of a training split until they have at least the requested number of rows.

    A patient's place in the order depends on the seed and on who the patient is, and on nothing else: parts of one seed
    are nested, and neither the order of the rows nor other patients change it.

    Args:
        subject_id: Patient of each training row, int64 or strings, of shape (N,).
        size: Rows to reach, at least 1.
        seed: Seed of the order.
        source: The own table that the patients stand in; None for MIMIC.

    Returns:
        Whether a row is chosen, bool of shape (N,): from `size` rows on as few patients as the order allows, so that
        the last one may bring more; every row where the split has no more than `size`.

    Raises:
        DataError: A patient of MIMIC has a negative number.
    """
    keys = patient_keys(subject_id, source)
    patients, row, counts = np.unique(keys, return_inverse=True, return_counts=True)
    order = np.argsort(_places(patients, seed), kind="stable")
    last = np.searchsorted(np.cumsum(counts[order]), size)
    chosen = np.zeros(len(patients), dtype=bool)
    chosen[order[: last + 1]] = True
    return chosen[row]


def _places(keys: np.ndarray, seed: int) -> np.ndarray:
    """A number per patient by which patients are ordered: the first 8 bytes of a SHA-256, uint64 of shape (P,)."""
    digests = [hashlib.sha256(f"train_sizes:{seed}:{key}".encode()).digest()[:8] for key in keys.tolist()]
    return np.array([int.from_bytes(digest, "big") for digest in digests], dtype=np.uint64)
