"""What may be published of groups of patients, over all tasks of a study at once.

Tasks share admissions: where one's admissions are among another's, the difference of their counts is a count itself,
such as that of the deaths where one task is about survivors. A group's count is published for both only if that
difference may be published too; otherwise the task for which fewer groups can be compared hides it. Tasks of the same
admissions hide the same groups. What is decided rests on counts alone, never on a metric.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from clinical_peft.disclosure.counts import SMALLEST_CELL, hidden_in_margin


@dataclass(frozen=True, eq=False)
class Members:
    """Rows of a task with one attribute, N of them.

    Attributes:
        admissions: Identifier of each row's admission, of shape (N,).
        patients: Identifier of each row's patient, of shape (N,).
        groups: Group of each row, str of shape (N,).
        positive: Whether a row of a binary task is positive, of shape (N,); None for another task.
    """

    admissions: np.ndarray
    patients: np.ndarray
    groups: np.ndarray
    positive: np.ndarray | None = None

    @cached_property
    def everyone(self) -> frozenset[int]:
        """The admissions."""
        return frozenset(self.admissions.tolist())

    @cached_property
    def outcomes(self) -> tuple[frozenset[int], ...]:
        """The positive admissions and the negative ones; nothing where the task is not binary."""
        if self.positive is None:
            return ()
        return tuple(frozenset(self.admissions[kind].tolist()) for kind in (self.positive, ~self.positive))


@dataclass(frozen=True)
class Counts:
    """Counts of a task by group, int of shape (G,) each.

    Attributes:
        admissions: Rows.
        patients: Different patients.
        outcomes: Positives and negatives of a binary task, else nothing.
    """

    admissions: np.ndarray
    patients: np.ndarray
    outcomes: tuple[np.ndarray, ...]

    @classmethod
    def of(cls, members: Members, names: Sequence[str]) -> "Counts":
        """Count the groups with these names."""
        inside = [members.groups == name for name in names]

        def count(chosen: np.ndarray | None) -> np.ndarray:
            return np.array([int((rows if chosen is None else rows & chosen).sum()) for rows in inside], dtype=int)

        outcomes = () if members.positive is None else (count(members.positive), count(~members.positive))
        patients = np.array([len(np.unique(members.patients[rows])) for rows in inside], dtype=int)
        return cls(count(None), patients, outcomes)


@dataclass(frozen=True)
class Decision:
    """What may be published of a task's groups.

    Attributes:
        groups: Names of all groups that any of the tasks has.
        counts: Groups whose admissions and patients may be published.
        outcomes: Those among them whose positives may be, and metrics; of a task that is not binary, `counts`.
    """

    groups: tuple[str, ...]
    counts: frozenset[str]
    outcomes: frozenset[str]


def decide(tasks: Mapping[str, Members]) -> dict[str, Decision]:
    """Decide what may be published of the groups of one attribute.

    Args:
        tasks: By task, its rows.
    """
    names = tuple(sorted({str(name) for members in tasks.values() for name in members.groups}))
    return _Tasks(names, tasks).decisions()


class _Tasks:
    """The tasks of an attribute, with the places of the groups that each of them hides so far."""

    def __init__(self, names: tuple[str, ...], members: Mapping[str, Members]) -> None:
        self.names = names
        self.members = members
        self.counts = {task: Counts.of(rows, names) for task, rows in members.items()}
        self.order = sorted(members, key=lambda task: (self._value(task), task))
        self.hidden: dict[str, set[int]] = {task: set() for task in self.order}
        self.veiled: dict[str, set[int]] = {task: set() for task in self.order}

    def _value(self, task: str) -> tuple[int, int]:
        """How little it costs to hide a task's groups: those that could be compared, over tasks of its admissions."""
        alike = [other for other in self.members if self._same(task, other)]
        fine = [
            np.minimum.reduce([count.admissions, count.patients, *count.outcomes]) >= SMALLEST_CELL
            for count in (self.counts[other] for other in alike)
        ]
        return -int(np.sum(fine)), -len(self.members[task].everyone)

    def _same(self, task: str, other: str) -> bool:
        return self.members[task].everyone == self.members[other].everyone

    def decisions(self) -> dict[str, Decision]:
        before = -1
        while before != (before := self._number_hidden()):
            for task in self.order:
                self._hide_counts(task)
            for task in self.order:
                self._hide_outcomes(task)
            self._hide_what_outcomes_share()
        return {task: self._decision(task) for task in self.members}

    def _number_hidden(self) -> int:
        return sum(map(len, (*self.hidden.values(), *self.veiled.values())))

    def _decision(self, task: str) -> Decision:
        counts, outcomes = (
            frozenset(name for place, name in enumerate(self.names) if place not in found)
            for found in (self.hidden[task], self.veiled[task])
        )
        return Decision(self.names, counts, outcomes)

    def _hide_counts(self, task: str) -> None:
        """Hide groups whose admissions or patients are few, alone or less those of a task that comes first."""
        found, own = set(self.hidden[task]), self.counts[task]
        before = self.order[: self.order.index(task)]
        for other in before:
            if self._same(task, other):
                found |= self.hidden[other]
        size = -1
        while size != (size := len(found)):
            for count in (own.admissions, own.patients):
                found |= hidden_in_margin(count.tolist(), found)
            for other in before:
                found |= self._hidden_by_difference(task, other, found)
        for alike in self.order:
            if self._same(task, alike):
                self.hidden[alike] |= found

    def _hidden_by_difference(self, task: str, other: str, found: set[int]) -> set[int]:
        """Groups that may not be shown for both of two tasks, one of which has all admissions of the other."""
        mine, theirs = self.members[task].everyone, self.members[other].everyone
        if mine == theirs or not (mine < theirs or theirs < mine):
            return set()
        apart = found | self.hidden[other]
        hidden: set[int] = set()
        for kind in ("admissions", "patients"):
            difference = np.abs(getattr(self.counts[task], kind) - getattr(self.counts[other], kind))
            hidden |= hidden_in_margin(difference.tolist(), apart)
        return hidden - self.hidden[other]

    def _hide_outcomes(self, task: str) -> None:
        """Hide positives and negatives of groups with few of either."""
        found, size = self.veiled[task] | self.hidden[task], -1
        while size != (size := len(found)):
            for count in self.counts[task].outcomes:
                found |= hidden_in_margin(count.tolist(), found)
        self.veiled[task] = found

    def _hide_what_outcomes_share(self) -> None:
        """Hide what is, or gives away, positives or negatives that another task hides."""
        for task, members in self.members.items():
            for kind, outcome in enumerate(members.outcomes):
                for other in self.order:
                    if other == task:
                        continue
                    if self.members[other].everyone == outcome:
                        together = self.hidden[other] | self.veiled[task]
                        self.hidden[other] |= together
                        self.veiled[task] |= together
                    if outcome in self.members[other].outcomes:
                        self.veiled[task] |= self.veiled[other]
                    elif kind < len(self.members[other].outcomes):
                        self._compare_outcomes(task, other, kind)

    def _compare_outcomes(self, task: str, other: str, kind: int) -> None:
        """Hide positives (or negatives) where those of one task are among the other's and few are not."""
        mine, theirs = self.members[task].outcomes[kind], self.members[other].outcomes[kind]
        if not mine < theirs:
            return
        difference = self.counts[other].outcomes[kind] - self.counts[task].outcomes[kind]
        apart = self.veiled[task] | self.veiled[other]
        hidden = hidden_in_margin(difference.tolist(), apart) - apart
        self._last_of(task, other, self.veiled).update(hidden)

    def _last_of(self, task: str, other: str, which: dict[str, set[int]]) -> set[int]:
        """What is hidden of the one of two tasks that comes later in the order."""
        return which[max(task, other, key=self.order.index)]
