"""Cuts of a ranking: tables that divide a split by score must not reveal small counts between two cuts.

Alerts at several sensitivities, decision curves and reliability bins, of scores as they are and recalibrated, all
divide the same rows in the same order. Their cuts are decided on together.
"""

import numpy as np

from clinical_peft.disclosure.counts import SMALLEST_CELL


class Cuts:
    """The cuts of one ranking that are published so far.

    Args:
        positive: Whether a row is positive, bool of shape (N,).
        is_open: Whether any cut may be published.
    """

    def __init__(self, positive: np.ndarray, *, is_open: bool = True) -> None:
        self.is_open = is_open
        self._taken = [(0, 0), (int(positive.sum()), int((~positive).sum()))]
        self._asked: dict[bytes, np.ndarray] = {}

    def publish(self, above: np.ndarray) -> np.ndarray:
        """Decide which cuts of a table are published, the first ones first.

        Args:
            above: Positive and negative rows above each cut, int of shape (C, 2).

        Returns:
            Bool of shape (C,): cuts with at least `SMALLEST_CELL` rows of both kinds between them and any other cut, of
            this table or of those before, and beyond them. A table with the cuts of an earlier one shows the same.
        """
        above = np.asarray(above, dtype=np.int64).reshape(-1, 2)
        key = above.tobytes()
        if key not in self._asked:
            self._asked[key] = np.array([self._take(int(p), int(n)) for p, n in above], dtype=bool)
        return self._asked[key]

    def _take(self, positives: int, negatives: int) -> bool:
        fine = self.is_open and all(
            min(abs(positives - other), abs(negatives - others)) >= SMALLEST_CELL for other, others in self._taken
        )
        if fine:
            self._taken.append((positives, negatives))
        return fine


def rows_above(above: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """Positive and negative rows above each cut, int of shape (C, 2).

    Args:
        above: Whether each row lies above each cut, bool of shape (C, N).
        positive: Whether a row is positive, bool of shape (N,).
    """
    return np.stack([(above & positive).sum(axis=1), (above & ~positive).sum(axis=1)], axis=1)
