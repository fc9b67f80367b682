"""An attacker: which values every hidden count of published groups can have, by exact search over whole numbers.

He knows what is published (counts, sums over groups, metrics to three digits), who of a task's admissions belong to
which other task, and that a count is a whole number. Two searches, each exact in what it uses: `by_task` walks over
the groups of one task with its metrics; `by_admissions` solves for the admissions of all tasks at once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp


@dataclass(frozen=True)
class Published:
    """What is published of a group by a task; None where hidden. `aurocs` are fractions, one per model."""

    admissions: int | None
    positives: int | None
    patients: int | None = None
    aurocs: tuple[float, ...] = ()
    seeds: int = 1
    digits: int = 3


def admissible(area: float, positives: int, negatives: int, seeds: int, digits: int) -> bool:
    """Whether an AUROC, a mean over seeds, can be of so many rows: pairs ranked rightly, a tie counting half."""
    pairs = 2 * positives * negatives * seeds
    if not pairs:
        return False
    return abs(round(area * pairs) / pairs - area) <= 0.5 * 10.0**-digits + 1e-12


def by_task(groups: Sequence[Published], admissions: int, positives: int | None) -> list[set[tuple[int, int]]]:
    """Possible (admissions, positives) of every group of a task.

    Args:
        groups: What is published of each.
        admissions: Sum of all groups' admissions.
        positives: Sum of their positives; None for a task that has none, whose positives are then 0.
    """
    total = (admissions, positives or 0)
    choices = []
    for group in groups:
        assert positives is not None or not group.aurocs
        counts = [group.admissions] if group.admissions is not None else range(admissions + 1)
        known = group.positives if positives is not None else 0
        pairs = [(n, p) for n in counts for p in ([known] if known is not None else range(min(n, total[1]) + 1))]
        choices.append(
            {
                (n, p)
                for n, p in pairs
                if p <= n and all(admissible(a, p, n - p, group.seeds, group.digits) for a in group.aurocs)
            }
        )
    before = [_reachable(choices[:place], total) for place in range(len(groups))]
    after = [_reachable(choices[place + 1 :], total) for place in range(len(groups))]
    return [
        {(n, p) for n, p in found if any((total[0] - n - a, total[1] - p - b) in right for a, b in left)}
        for found, left, right in zip(choices, before, after, strict=True)
    ]


def _reachable(choices: Sequence[set[tuple[int, int]]], total: tuple[int, int]) -> set[tuple[int, int]]:
    """Every sum of one choice each, no greater than the total."""
    grid = np.zeros((total[0] + 1, total[1] + 1), bool)
    grid[0, 0] = True
    for found in choices:
        moved = np.zeros_like(grid)
        for n, p in found:
            if n <= total[0] and p <= total[1]:
                moved[n:, p:] |= grid[: total[0] + 1 - n, : total[1] + 1 - p]
        grid = moved
    return {(int(n), int(p)) for n, p in np.argwhere(grid)}


@dataclass(frozen=True)
class Task:
    """Admissions of a task, and of a binary task its positive ones; `shown` by group, as published.

    The number of admissions is published, that of the positives where neither they nor the negatives are few.
    """

    everyone: frozenset[int]
    positive: frozenset[int] | None
    shown: Mapping[str, Published]

    @property
    def positives(self) -> int | None:
        """The published number of positives."""
        found = 0 if self.positive is None else len(self.positive)
        return found if min(found, len(self.everyone) - found) >= 10 else None


def by_admissions(tasks: Mapping[str, Task]) -> dict[tuple[str, str, str], tuple[int, int]]:
    """Least and greatest value of every hidden count, by task, group and kind (admissions, positives).

    The unknowns are, by group, the admissions of each kind that the tasks tell apart and that exists; published are
    the shown counts and the sums over groups.
    """
    groups = sorted({group for task in tasks.values() for group in task.shown})
    ids = frozenset().union(*(task.everyone for task in tasks.values()))
    found = {_kind(one, tasks) for one in ids}
    # Where the number of positives is hidden, he does not know that there are none, or no negatives.
    for number, task in enumerate(tasks.values()):
        if task.positive is not None and task.positives is None:
            found |= {kind[:number] + mark + kind[number + 1 :] for kind in found if kind[number] in "np" for mark in "np"}
    kinds = sorted(found)
    place = {key: number for number, key in enumerate(product(groups, kinds))}
    names = list(tasks)
    rows, values, wanted = [], [], {}
    for number, name in enumerate(names):
        task = tasks[name]
        for count, marks, total in (
            ("admissions", "np", len(task.everyone)),
            ("positives", "p", task.positives),
        ):
            if count == "positives" and task.positive is None:
                continue
            sums = {group: _row(place, group, number, marks) for group in groups}
            if total is not None:
                rows.append(sum(sums.values()))
                values.append(total)
            for group, shown in task.shown.items():
                known = getattr(shown, count)
                if known is None:
                    wanted[name, group, count] = sums[group]
                else:
                    rows.append(sums[group])
                    values.append(known)
    constraint = LinearConstraint(np.array(rows), values, values)
    return {key: tuple(_extreme(row, sign, constraint) for sign in (1, -1)) for key, row in wanted.items()}


def _kind(one: int, tasks: Mapping[str, Task]) -> str:
    """A letter per task: outside, positive, or inside and not positive."""
    return "".join(
        "-" if one not in task.everyone else "p" if task.positive is not None and one in task.positive else "n"
        for task in tasks.values()
    )


def _row(place: Mapping[tuple[str, str], int], group: str, number: int, marks: str) -> np.ndarray:
    row = np.zeros(len(place))
    for (name, kind), column in place.items():
        row[column] = name == group and kind[number] in marks
    return row


def _extreme(row: np.ndarray, sign: int, constraint: LinearConstraint) -> int:
    found = milp(sign * row, integrality=np.ones(len(row)), bounds=Bounds(0, np.inf), constraints=constraint)
    assert found.success, found.message
    return round(float(row @ found.x))
