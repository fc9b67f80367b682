"""The split of a patient by hash: the same in every corpus and cohort of a study."""

import hashlib
from collections.abc import Iterable

SPLITS = ("train", "validation", "test")
HELD_OUT_SPLITS = SPLITS[1:]
TRAIN_BELOW = 0.7
VALIDATION_BELOW = 0.8


def hash_split(key: int | str, salt: str) -> str:
    """Return the split of a patient, or of a note without one: 70 % train, 10 % validation, 20 % test.

    The first 8 bytes of SHA-256 of ``{salt}:{key}``, big-endian, as a fraction of 2**64, decide; so a patient
    stays in one split whatever else a corpus or cohort holds.
    """
    digest = hashlib.sha256(f"{salt}:{key}".encode()).digest()
    fraction = int.from_bytes(digest[:8], "big") / 2**64
    if fraction < TRAIN_BELOW:
        return "train"
    return "validation" if fraction < VALIDATION_BELOW else "test"


def empty_splits(ranks: Iterable[int]) -> str:
    """Name the splits that no row is in, or return an empty text.

    Args:
        ranks: Split of each row as a position in `SPLITS`.
    """
    found = set(ranks)
    return ", ".join(split for rank, split in enumerate(SPLITS) if rank not in found)
