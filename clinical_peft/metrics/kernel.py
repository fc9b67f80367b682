"""The compiled loop over a ranking, for problems whose dense form would take longer than compiling it.

Plain Python that numba compiles in the process that needs it, in about a second: nothing compiled is kept on disk.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np


def ranked_sums(rows: Any, positive: Any, tie_end: Any, counts: Any, hits: Any, area: Any, precision: Any) -> None:
    """Walk down a ranking once for all resamples, and add to what AUROC and average precision are made of.

    Args:
        rows: Row of each entry in falling order of its score, int64 of shape (E,).
        positive: Whether each entry is positive, bool of shape (E,).
        tie_end: Whether an entry is the last of those with its score, bool of shape (E,).
        counts: How often each row enters each resample, uint8 of shape (N, R).
        hits: Positives, int32 of shape (R,), zeros to begin with.
        area: Twice the pairs in which a negative stands above a positive, a tied pair counting one, int64 of shape
            (R,), zeros to begin with.
        precision: Sum over positives of the precision at their score, float64 of shape (R,), zeros to begin with.
    """
    width = counts.shape[1]
    selected = np.zeros(width, np.int32)
    new_hits = np.zeros(width, np.int32)
    above = np.zeros(width, np.int32)
    start, held = 0, 0
    for end in range(rows.shape[0]):
        held += positive[end]
        if not tie_end[end]:
            continue
        if held == 0:
            for entry in range(start, end + 1):
                row = counts[rows[entry]]
                for r in range(width):
                    selected[r] += row[r]
        else:
            for r in range(width):
                above[r] = selected[r] - hits[r]
                new_hits[r] = 0
            for entry in range(start, end + 1):
                row = counts[rows[entry]]
                for r in range(width):
                    selected[r] += row[r]
                if positive[entry]:
                    for r in range(width):
                        new_hits[r] += row[r]
            for r in range(width):
                hits[r] += new_hits[r]
                negatives = selected[r] - hits[r]
                area[r] += np.int64(new_hits[r]) * (np.int64(above[r]) + np.int64(negatives))
                if new_hits[r] > 0:
                    precision[r] += new_hits[r] * (hits[r] / selected[r])
        start, held = end + 1, 0


@cache
def compiled_ranked_sums() -> Callable[..., None]:
    """`ranked_sums` compiled for this process."""
    import numba

    compiled: Callable[..., None] = numba.njit(nogil=True)(ranked_sums)
    return compiled
