"""The labels of many rows in little memory: a number for each label, and where each row's begin."""

from array import array
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from clinical_peft.data.label_values import Label


@dataclass(frozen=True)
class LabelColumn:
    """Labels of rows: one each, or any number of a multilabel task.

    Attributes:
        names: Every label that occurs.
        codes: Labels of all rows, one after the other, as positions in `names`, int32 of shape (labels,).
        starts: Where the labels of each row begin, and the last ones end, int64 of shape (rows + 1,).
        missing: Which rows have no label, bool of shape (rows,).
    """

    names: list[str]
    codes: np.ndarray
    starts: np.ndarray
    missing: np.ndarray

    def __len__(self) -> int:
        return len(self.missing)

    @property
    def rows(self) -> np.ndarray:
        """Row of each label, int64 of shape (labels,)."""
        return np.repeat(np.arange(len(self)), np.diff(self.starts))

    def take(self, rows: np.ndarray) -> "LabelColumn":
        """Return the labels of chosen rows, int64 of shape (chosen,), ascending."""
        chosen = np.zeros(len(self), bool)
        chosen[rows] = True
        lengths = np.diff(self.starts)
        starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths[chosen])])
        return LabelColumn(self.names, self.codes[np.repeat(chosen, lengths)], starts, self.missing[chosen])


class LabelCollector:
    """Collects labels batch by batch."""

    def __init__(self) -> None:
        self._codes: dict[str, int] = {}
        self._found = array("i")
        self._lengths = array("i")
        self._missing = bytearray()

    def add(self, labels: Iterable[Label | None]) -> None:
        """Add the labels of more rows; None for a row without one."""
        for label in labels:
            names = () if label is None else (label,) if isinstance(label, str) else label
            self._found.extend(self._codes.setdefault(name, len(self._codes)) for name in names)
            self._lengths.append(len(names))
            self._missing.append(label is None)

    def column(self) -> LabelColumn:
        """The labels so far."""
        lengths = np.array(self._lengths, np.int64)
        return LabelColumn(
            list(self._codes),
            np.array(self._found, np.int32),
            np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)]),
            np.frombuffer(bytes(self._missing), bool),
        )
