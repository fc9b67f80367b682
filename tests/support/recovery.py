"""An attacker: which values every hidden count of published groups can have, by exact search over whole numbers.

He knows what is published (counts, sums over groups, metrics to three digits), who of a task's admissions belong to
which other task, and that a count is a whole number. Two searches, each exact in what it uses: `by_task` walks over
the groups of one task with its metrics; `by_admissions` solves for the admissions of all tasks at once.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.signal import fftconvolve

WHOLE = "whole"


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
    grids = [_grid(found, total) for found in choices]
    before, after = [_grid({(0, 0)}, total)], [_grid({(0, 0)}, total)]
    for grid in grids[:-1]:
        before.append(_sums(before[-1], grid))
    for grid in grids[:0:-1]:
        after.insert(0, _sums(after[0], grid))
    others = [_sums(left, right) for left, right in zip(before, after, strict=True)]
    return [
        {(n, p) for n, p in found if n <= total[0] and p <= total[1] and other[total[0] - n, total[1] - p]}
        for found, other in zip(choices, others, strict=True)
    ]


def _grid(choices: set[tuple[int, int]], total: tuple[int, int]) -> np.ndarray:
    """Where the choices lie, bool over (admissions, positives), none greater than the total."""
    grid = np.zeros((total[0] + 1, total[1] + 1), bool)
    for n, p in choices:
        if n <= total[0] and p <= total[1]:
            grid[n, p] = True
    return grid


def _sums(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Sums of a choice of each, no greater than the total."""
    return fftconvolve(one.astype(float), other.astype(float))[: one.shape[0], : one.shape[1]] > 0.5


@dataclass(frozen=True)
class Task:
    """Admissions of a task, and of a binary task its positive ones; `shown` by group, as published.

    The number of admissions is published unless `is_total_shown` is False, that of the positives where neither they
    nor the negatives are few, unless `are_positives_shown` is False. `sums` are what is published of some groups
    together.
    """

    everyone: frozenset[int]
    positive: frozenset[int] | None
    shown: Mapping[str, Published]
    sums: Sequence[tuple[Collection[str], Published]] = ()
    is_total_shown: bool = True
    are_positives_shown: bool = True

    @property
    def positives(self) -> int | None:
        """The published number of positives."""
        found = 0 if self.positive is None else len(self.positive)
        return found if self.are_positives_shown and min(found, len(self.everyone) - found) >= 10 else None


def by_admissions(
    tasks: Mapping[str, Task], *, with_totals: bool = False
) -> dict[tuple[str, str, str], tuple[int, int]]:
    """Least and greatest value of every hidden count, by task, group and kind (admissions, positives).

    With totals, those that are hidden count as a group `WHOLE`. The unknowns are, by group, the admissions of each
    kind that the tasks tell apart and that exists; published are the shown counts and the sums over groups.
    """
    groups = sorted({group for task in tasks.values() for group in task.shown})
    ids = frozenset().union(*(task.everyone for task in tasks.values()))
    found = {_kind(one, tasks) for one in ids}
    # Where the number of positives is hidden, he does not know that there are none, or no negatives.
    for number, task in enumerate(tasks.values()):
        if task.positive is not None and task.positives is None:
            found |= {
                kind[:number] + mark + kind[number + 1 :] for kind in found if kind[number] in "np" for mark in "np"
            }
    kinds = sorted(found)
    place = {key: number for number, key in enumerate(product(groups, kinds))}
    names = list(tasks)
    rows, values, wanted = [], [], {}
    for number, name in enumerate(names):
        task = tasks[name]
        for count, marks, total in (
            ("admissions", "np", len(task.everyone) if task.is_total_shown else None),
            ("positives", "p", task.positives),
        ):
            if count == "positives" and task.positive is None:
                continue
            sums = {group: _row(place, group, number, marks) for group in groups}
            if total is not None:
                rows.append(sum(sums.values()))
                values.append(total)
            elif with_totals:
                wanted[name, WHOLE, count] = sum(sums.values())
            for members, shown in (*(((group,), one) for group, one in task.shown.items()), *task.sums):
                known, together = getattr(shown, count), sum(sums[group] for group in members)
                if known is None:
                    wanted[name, "+".join(members), count] = together
                else:
                    rows.append(together)
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


def published_groups(result: Mapping[str, Any], task: str, attribute: str) -> dict[str, Published]:
    """What a subgroups.json says of a task's groups: counts, and the AUROCs of every model to the digits they have."""
    found = {}
    for cell in result["cells"]:
        if (cell["task"], cell["attribute"]) != (task, attribute):
            continue
        rows = [
            row
            for row in result["gaps"]
            if (row["task"], row["attribute"], row["group"]) == (task, attribute, cell["group"]) and row["figures"]
        ]
        binary = any(one["positives"] is not None for one in result["cells"] if one["task"] == task)
        areas = tuple(row["figures"]["auroc"]["value"] for row in rows) if binary else ()
        seeds = rows[0]["seeds"] if rows else 1
        digits = min(12, max((len(repr(value).partition(".")[2]) for value in areas), default=0))
        found[cell["group"]] = Published(
            cell["admissions"], cell["positives"], cell["patients"], areas, seeds=seeds, digits=digits
        )
    return found


def recovered(
    result: Mapping[str, Any], tasks: Mapping[str, tuple[frozenset[int], frozenset[int] | None]]
) -> set[tuple[str, ...]]:
    """Hidden counts that one can tell from a subgroups.json and the numbers of whole tasks.

    Args:
        result: Content of the file.
        tasks: By task, its test admissions and, of a binary task, the positive ones.

    Returns:
        Attribute, task, group and count of each.
    """
    found = set()
    for attribute in sorted({cell["attribute"] for cell in result["cells"]}):
        shown = {
            name: Task(everyone, positive, published_groups(result, name, attribute))
            for name, (everyone, positive) in tasks.items()
        }
        found |= {(attribute, *key) for key, (low, high) in by_admissions(shown).items() if low == high}
        for name, task in shown.items():
            if task.positive is not None and task.positives is None:
                continue
            possible = by_task(list(task.shown.values()), len(task.everyone), task.positives)
            for (group, one), pairs in zip(task.shown.items(), possible, strict=True):
                if one.admissions is None and len({n for n, _ in pairs}) < 2:
                    found.add((attribute, name, group, "admissions"))
                if task.positive is not None and one.positives is None and len({p for _, p in pairs}) < 2:
                    found.add((attribute, name, group, "positives"))
    return found
