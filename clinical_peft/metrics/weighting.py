"""How often each row enters each resample, and what is summed over rows in every resample at once.

One definition of a metric thus serves the estimate (a column of ones), its bootstrap (columns of counts) and its
jackknife (columns that leave a group of patients out).
"""

from functools import cached_property

import numpy as np

from clinical_peft.metrics.kernel import compiled_ranked_sums

# Sums of whole numbers below this are exact in float32.
EXACT = 2**24
# Multiply-adds of the dense form that take about as long as importing and compiling the kernel, two seconds.
COMPILED_FROM = 3e10
# Elements of a block of the dense form: 8 MiB.
BLOCK = 1 << 20


class Weighting:
    """Whole-number weights of N rows in R resamples.

    Args:
        counts: Weights from 0 to 255, of shape (N, R).
        compiled: Whether rankings are walked by the compiled kernel; otherwise by dense matrix products. Both give
            the same AUROC to the bit and the same average precision to rounding.

    Raises:
        ValueError: A weight is negative, above 255 or no whole number.
    """

    def __init__(self, counts: np.ndarray, *, compiled: bool = False) -> None:
        self.counts = np.ascontiguousarray(counts, dtype=np.uint8)
        if counts.dtype != np.uint8 and not np.array_equal(self.counts, counts):
            raise ValueError("expected whole-number weights from 0 to 255")
        self.compiled = compiled

    @property
    def rows(self) -> int:
        """Number of rows N."""
        return int(self.counts.shape[0])

    @property
    def width(self) -> int:
        """Number of resamples R."""
        return int(self.counts.shape[1])

    @cached_property
    def _factors(self) -> np.ndarray:
        return self.counts.astype(np.float64)

    @cached_property
    def total(self) -> np.ndarray:
        """Rows of each resample, float64 of shape (R,)."""
        return np.asarray(self.counts.sum(axis=0, dtype=np.float64))

    def count(self, indicators: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
        """Sums of whole numbers over the rows of each resample, exact.

        Args:
            indicators: Whole numbers, or bool, of shape (M, N).
            rows: The only rows that have a number, of shape (L,), when the indicators are of shape (M, L).

        Returns:
            Sums, float64 of shape (M, R).
        """
        largest = float(np.abs(indicators).max(initial=0)) * float(self.total.max(initial=0))
        kind, factors = (np.float32, self._small_factors) if largest < EXACT else (np.float64, self._factors)
        used = factors if rows is None else factors[rows]
        return np.asarray((indicators.astype(kind) @ used).astype(np.float64))

    @cached_property
    def _small_factors(self) -> np.ndarray:
        return self.counts.astype(np.float32)

    def sum(self, values: np.ndarray) -> np.ndarray:
        """Sums over the rows of each resample, float64 of shape (M, R) for values of shape (M, N)."""
        return np.asarray(values.astype(np.float64) @ self._factors)

    def mean(self, values: np.ndarray) -> np.ndarray:
        """Means over the rows of each resample, float64 of shape (R,), NaN where it is empty; values of shape (N,)."""
        return self.sum(values) / np.where(self.total > 0, self.total, np.nan)

    def rank(
        self, scores: np.ndarray, positive: np.ndarray, rows: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Area under the ROC curve (ties count half) and average precision of one ranking.

        Args:
            scores: Scores of the entries that are ranked, of shape (E,).
            positive: True where an entry is positive, of shape (E,).
            rows: Row whose weight an entry has, int of shape (E,); None when the entries are the rows.

        Returns:
            AUROC and average precision, float64 of shape (R,); NaN where a resample has no positive or no negative.
        """
        rows = np.arange(self.rows) if rows is None else rows
        members = np.bincount(rows, minlength=self.rows)
        held = np.flatnonzero(members)
        everyone = self.count(members[None, held], held if len(held) < self.rows else None)[0]
        walk = self._walk_compiled if self.compiled else self._walk_dense
        hits, area, precision = walk(scores, positive, rows)
        negatives = everyone - hits
        pairs = hits * negatives
        with np.errstate(invalid="ignore", divide="ignore"):
            auroc = np.where(pairs > 0, (pairs - area / 2) / pairs, np.nan)
            auprc = np.where(pairs > 0, precision / hits, np.nan)
        return auroc, auprc

    def _walk_compiled(
        self, scores: np.ndarray, positive: np.ndarray, rows: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        order = np.argsort(-scores, kind="stable")
        ranked = scores[order]
        tie_end = np.append(ranked[1:] != ranked[:-1], True)[: len(ranked)]
        hits, area = np.zeros(self.width, np.int32), np.zeros(self.width, np.int64)
        precision = np.zeros(self.width)
        compiled_ranked_sums()(
            rows[order].astype(np.int64), positive[order], tie_end, self.counts, hits, area, precision
        )
        return hits.astype(np.float64), area.astype(np.float64), precision

    def _walk_dense(
        self, scores: np.ndarray, positive: np.ndarray, rows: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The sums of `kernel.ranked_sums`: products of the weights with who stands at or above each positive's score.

        Only scores of positives matter, which are few where labels are rare.
        """
        levels = -np.unique(-scores[positive])  # falling
        place = np.searchsorted(-levels, -scores, side="left")  # first level that an entry reaches
        tied = ~positive & (place < len(levels))
        tied[tied] = scores[tied] == levels[place[tied]]
        with_hits = np.unique(rows[positive])
        hits, area, precision = (np.zeros(self.width) for _ in range(3))
        selected_rows, hit_rows = np.zeros(self.rows), np.zeros(self.rows)
        step = max(1, BLOCK // max(self.rows, self.width))
        for first in range(0, len(levels), step):
            size = min(step, len(levels) - first)
            selected_by_row = self._reaching(place, rows, first, size, selected_rows)
            hits_by_row = self._reaching(place[positive], rows[positive], first, size, hit_rows)
            selected_rows, hit_rows = selected_by_row[-1], hits_by_row[-1]
            selected, found = self.count(selected_by_row), self.count(hits_by_row[:, with_hits], with_hits)
            new_hits = np.diff(found, axis=0, prepend=hits[None, :])
            negatives = 2 * (selected - found)
            inside = tied & (place >= first) & (place < first + size)
            if inside.any():
                negatives -= self.count(self._new(place[inside], rows[inside], first, size))
            area += (new_hits * negatives).sum(axis=0)
            precision += (new_hits * (found / np.where(selected > 0, selected, 1.0))).sum(axis=0)
            hits = found[-1]
        return hits, area, precision

    def _new(self, place: np.ndarray, rows: np.ndarray, first: int, size: int) -> np.ndarray:
        """Entries of each row that reach each of some levels and no higher one, float64 of shape (size, N)."""
        flat = np.bincount((place - first) * self.rows + rows, minlength=size * self.rows)
        return flat.reshape(size, self.rows).astype(np.float64)

    def _reaching(self, place: np.ndarray, rows: np.ndarray, first: int, size: int, before: np.ndarray) -> np.ndarray:
        """Entries of each row that reach each of some levels, given those that reach the levels above them."""
        inside = (place >= first) & (place < first + size)
        new = self._new(place[inside], rows[inside], first, size)
        new[0] += before
        return np.cumsum(new, axis=0)


def kernel_pays(positives: int, rows: int, width: int) -> bool:
    """Whether compiling the kernel takes less time than the dense form of rankings with so many positives in all."""
    return float(positives) * rows * max(width, 128) > COMPILED_FROM
