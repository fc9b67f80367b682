"""Choose the groups of patients to publish, over all tasks of a study at once.

Tasks share admissions: where one's admissions are among another's, the difference of their counts is a count itself,
such as that of the deaths where one task is about survivors. A group's count is published for both only if that
difference may be published too; otherwise one of the two hides it, chosen so that as many groups as possible can be
compared: first of the paper's tasks, then of others. Groups of a task with random labels do not count in that choice,
so that it costs other tasks nothing. Tasks of the same admissions hide the same groups. The splits of cohorts are such
groups, too. What is decided rests on counts alone, never on a metric.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import combinations
from typing import Literal

import numpy as np

from clinical_peft.disclosure.counts import hidden_in_margin

MOST_FIRST = 3  # blocks of tasks that are tried before all others


@dataclass(frozen=True, eq=False)
class Members:
    """Rows of a task with one attribute, N of them.

    Attributes:
        admissions: Identifier of each row's admission, of shape (N,).
        patients: Identifier of each row's patient, of shape (N,).
        groups: Group of each row, str of shape (N,).
        positive: Whether a row of a binary task is positive, of shape (N,); None for another task.
        is_published: Whether it is one of the paper's tasks.
        is_random: Whether the labels are random.
    """

    admissions: np.ndarray
    patients: np.ndarray
    groups: np.ndarray
    positive: np.ndarray | None = None
    is_published: bool = True
    is_random: bool = False

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
    """Publishable groups of a task.

    Attributes:
        groups: Names of all groups that any of the tasks has.
        counts: Groups whose admissions and patients may be published.
        outcomes: Those among them whose positives may be, and metrics; of a task that is not binary, `counts`.
    """

    groups: tuple[str, ...]
    counts: frozenset[str]
    outcomes: frozenset[str]


def decide(tasks: Mapping[str, Members], unsized: Collection[str] = ()) -> dict[str, Decision]:
    """Decide what may be published of the groups of one attribute.

    Args:
        tasks: By task, its rows.
        unsized: Tasks whose number of rows is hidden; all of their groups are, since they sum to it.
    """
    names = tuple(sorted({str(name) for members in tasks.values() for name in members.groups}))
    relations = _Relations(names, tasks)
    attempts = (_Attempt(relations, order, unsized) for order in relations.orders())
    return max(attempts, key=_Attempt.worth).decisions()


class _Relations:
    """The tasks of an attribute: their counts, and whose admissions and outcomes are among whose."""

    def __init__(self, names: tuple[str, ...], members: Mapping[str, Members]) -> None:
        self.names = names
        self.members = members
        self.counts = {task: Counts.of(rows, names) for task, rows in members.items()}
        self.same = cache(self._same)
        self.nested = cache(self._nested)
        self.is_outcome = cache(self._is_outcome)
        self.shared_outcome = cache(self._shared_outcome)

    def _same(self, task: str, other: str) -> bool:
        return self.members[task].everyone == self.members[other].everyone

    def _nested(self, task: str, other: str) -> bool:
        mine, theirs = self.members[task].everyone, self.members[other].everyone
        return mine < theirs or theirs < mine

    def _is_outcome(self, task: str, kind: int, other: str) -> bool:
        """Whether another task is about the positives, or negatives, of a task."""
        return self.members[other].everyone == self.members[task].outcomes[kind]

    def _shared_outcome(self, task: str, kind: int, other: str) -> Literal["same", "part", "neither"]:
        """What a task's positives, or negatives, are of any of the other's."""
        outcome, others = self.members[task].outcomes[kind], self.members[other].outcomes
        if outcome in others:
            return "same"
        return "part" if kind < len(others) and outcome < others[kind] else "neither"

    def orders(self) -> Iterator[tuple[str, ...]]:
        """Orders in which tasks are decided on: a later one hides what it must not show beside an earlier one.

        Those of random labels come last, and others that are not the paper's before them; of the paper's, or of all if
        none are, tasks of the same admissions stay together, and any of them come first.
        """
        members = self.members
        blocks: dict[str, list[str]] = {}
        for task in sorted(
            members, key=lambda task: (not members[task].is_published, -len(members[task].everyone), task)
        ):
            if not members[task].is_random:
                alike = next((block for block in blocks if self.same(block, task)), task)
                blocks.setdefault(alike, []).append(task)
        last = sorted(task for task, rows in members.items() if rows.is_random)
        tried = [block for block in blocks if members[block].is_published] or list(blocks)
        # Which of many come first matters little beyond a few.
        for number in range(min(len(tried), MOST_FIRST) + 1):
            for first in combinations(tried, number):
                ordered = [*first, *(block for block in blocks if block not in first)]
                yield (*(task for block in ordered for task in blocks[block]), *last)


class _Attempt:
    """Decisions on tasks in a certain order, with the places of the groups that each of them hides.

    Args:
        relations: The tasks.
        order: Their names; a later one hides what it must not show beside an earlier one.
        unsized: As for `decide`.
    """

    def __init__(self, relations: _Relations, order: tuple[str, ...], unsized: Collection[str]) -> None:
        self.names, self.members, self.counts = relations.names, relations.members, relations.counts
        self.relations = relations
        self.order = order
        self.hidden: dict[str, set[int]] = {
            task: set(range(len(self.names))) if task in unsized else set() for task in order
        }
        self.veiled: dict[str, set[int]] = {task: set() for task in order}
        before = -1
        while before != (before := self._number_hidden()):
            for task in self.order:
                self._hide_counts(task)
            for task in self.order:
                self._hide_outcomes(task)
            self._hide_what_outcomes_share()

    def worth(self) -> tuple[int, int, int]:
        """Groups that can be compared: of the paper's tasks, of all whose labels are not random, and of all."""
        shown = [(self.members[task], len(self.names) - len(found)) for task, found in self.veiled.items()]
        return (
            sum(number for rows, number in shown if rows.is_published and not rows.is_random),
            sum(number for rows, number in shown if not rows.is_random),
            sum(number for _, number in shown),
        )

    def decisions(self) -> dict[str, Decision]:
        """What may be published, by task."""
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
            if self.relations.same(task, other):
                found |= self.hidden[other]
        size = -1
        while size != (size := len(found)):
            for count in (own.admissions, own.patients):
                found |= hidden_in_margin(count.tolist(), found)
            for other in before:
                found |= self._hidden_by_difference(task, other, found)
        for alike in self.order:
            if self.relations.same(task, alike):
                self.hidden[alike] |= found

    def _hidden_by_difference(self, task: str, other: str, found: set[int]) -> set[int]:
        """Groups that may not be shown for both of two tasks, one of which has all admissions of the other."""
        if not self.relations.nested(task, other):
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
        """Hide counts that are, or reveal, positives or negatives that another task hides."""
        for task, members in self.members.items():
            for kind in range(len(members.outcomes)):
                for other in self.order:
                    if other == task:
                        continue
                    if self.relations.is_outcome(task, kind, other):
                        together = self.hidden[other] | self.veiled[task]
                        self.hidden[other] |= together
                        self.veiled[task] |= together
                    shared = self.relations.shared_outcome(task, kind, other)
                    if shared == "same":
                        self.veiled[task] |= self.veiled[other]
                    elif shared == "part":
                        self._compare_outcomes(task, other, kind)

    def _compare_outcomes(self, task: str, other: str, kind: int) -> None:
        """Hide positives (or negatives), those of one task being among the other's, where few are not."""
        difference = self.counts[other].outcomes[kind] - self.counts[task].outcomes[kind]
        apart = self.veiled[task] | self.veiled[other]
        hidden = hidden_in_margin(difference.tolist(), apart) - apart
        self._last_of(task, other, self.veiled).update(hidden)

    def _last_of(self, task: str, other: str, which: dict[str, set[int]]) -> set[int]:
        """Groups that the later of two tasks hides."""
        return which[max(task, other, key=self.order.index)]
