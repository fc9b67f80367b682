"""The one place that decides which counts are published, for tables, files, figures, cards and MLflow.

The rules are those of statistical disclosure control for tables of counts (Hundepool et al. 2012, Statistical
Disclosure Control, Wiley, chapter 4; Griffiths et al. 2019, Handbook on Statistical Disclosure Control for Outputs):

- Primary suppression: no count below `SMALLEST_CELL` is published, zero included.
- Complementary suppression: the hidden cells of a margin, whose sum is known, sum to at least `SMALLEST_CELL` plus
  their number; otherwise the smallest of the others is hidden too.
- Readers do not see which of the two hid a cell: both read `HIDDEN`.
- A metric is published where every count that it rests on is, to `DIGITS` significant digits, so that the fraction
  behind it does not show its denominator.
- Metrics of a whole split with a hidden count of a class, which a study cannot do without, have `COARSE_DIGITS` digits.
  Those that are shares of its admissions stand in steps so wide that two counts of a class give the same ones to a
  model with one score for all, and without intervals; those that compare outcomes and scores in sum are hidden, and all
  of them where a class has next to no rows (`coarse_figures`).
- Shares of right decisions among several classes are published to `DIGITS` digits even so, as long as the decisions are
  right for at least `FEWEST_IN_PAIRS` classes: no class alone can be read from their sum.
- Metrics of a split whose number of rows is hidden have `DIGITS` digits, shares of it wider steps (`unsized_figures`).
- A figure of steps (a curve, a bar chart of shares) has no step of fewer than `SMALLEST_CELL` positives or negatives.

`clinical_peft.disclosure.groups` applies them to groups of patients over several tasks.
"""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cache
from typing import Any, Literal

import numpy as np

SMALLEST_CELL = 10
DIGITS = 3
COARSE_DIGITS = 2
FEWEST_IN_PAIRS = 3  # classes whose pairs an AUROC of a group is the mean of
FEWEST_RANKED = 2  # rows of each class for metrics of a split: their absence must not reveal that a class is empty
STEPS = (0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.08, 0.1, 0.12, 0.15, 0.2)  # of shares of the admissions of a split
STEPS_OF_ROWS = (0.001, 0.002, 0.005, *STEPS)  # where the number of rows is hidden
WhenFew = Literal["coarse", "decisions", "steps", "hidden"]
"""How a metric of a split with a hidden count is published."""
_when_few: dict[str, WhenFew] = {}
HIDDEN = f"fewer than {SMALLEST_CELL}, or would give away such a count"


def declare_metric(name: str, when_few: WhenFew) -> None:
    """Declare how a metric of a split with a hidden count is published.

    Args:
        name: Name of the metric.
        when_few: `coarse` (two digits) where it depends on how rows are ordered and spread and not on how many are
            positive, in `steps` where it is a share of rows, `decisions` where it is a share of right decisions,
            otherwise `hidden`.
    """
    _when_few[name] = when_few


def is_small(count: int | None) -> bool:
    """Whether a count is too small to be published."""
    return count is not None and count < SMALLEST_CELL


def few(counts: Iterable[int]) -> bool:
    """Whether any of some counts is too small to be published."""
    return any(is_small(count) for count in counts)


def shown(count: int | None) -> int | None:
    """A count that stands alone, None where it is too small to be published."""
    return None if is_small(count) else count


def shown_part(count: int, whole: int) -> int | None:
    """A count of some rows of a whole that is published, None where it is too small or what the whole has more is.

    Examples:
        >>> shown_part(100, 160), shown_part(100, 109), shown_part(100, 100)
        (100, None, None)
    """
    return None if is_small(count) or is_small(whole - count) else count


def shown_counts(counts: Mapping[str, int]) -> dict[str, int]:
    """The counts that may be published, each standing alone; the others are left out."""
    return {name: count for name, count in counts.items() if not is_small(count)}


def significant(value: float | None, digits: int = DIGITS) -> float | None:
    """Round a value to significant digits; None and values that are not finite do not change.

    Examples:
        >>> significant(0.756896551724138)
        0.757
        >>> significant(-12.345)
        -12.3
    """
    if value is None or not math.isfinite(value) or value == 0:
        return value
    return round(value, digits - 1 - math.floor(math.log10(abs(value))))


def coarse(value: Any, digits: int = COARSE_DIGITS) -> Any:
    """Round every number that is not whole to significant digits, at any depth."""
    if isinstance(value, Mapping):
        return {name: coarse(part, digits) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [coarse(part, digits) for part in value]
    return significant(value, digits) if isinstance(value, float) else value


def coarse_figures(
    figures: Mapping[str, Any], rows: int, *, rarest: int | None = None, is_spread: bool = False
) -> dict[str, Any]:
    """Metrics of a split of which a class has few rows, as they may be published.

    Where all scores are alike, AUPRC is the share of positives, accuracy and F1 follow from it, and Brier score,
    log-loss and calibration in the large from it and that score: each would reveal the count.

    Args:
        figures: By name of a declared metric, values, or intervals or mappings of them.
        rows: Rows of the split.
        rarest: Rows of the rarer class of a binary task; None for another task.
        is_spread: Whether decisions are right for so many classes that their share reveals none of them.

    Returns:
        As declared, to `COARSE_DIGITS` digits, or in steps of `step_of_shares` and without intervals; None where
        hidden.
    """
    if rarest is not None and rarest < FEWEST_RANKED:
        return {name: _in_steps(value, None) for name, value in figures.items()}
    step = step_of_shares(rows)

    def published(value: Any, when: WhenFew) -> Any:
        if when == "coarse":
            return coarse(value)
        if when == "decisions" and is_spread:
            return coarse(value, DIGITS)
        return _in_steps(value, None if when == "hidden" else step)

    return {name: published(value, _when_few[name]) for name, value in figures.items()}


def unsized_figures(figures: Mapping[str, Any], rows: int) -> dict[str, Any]:
    """Metrics of a split whose number of rows is hidden, as they may be published.

    Args:
        figures: By name of a declared metric, values, or intervals or mappings of them.
        rows: Rows of the split.

    Returns:
        Figures to `DIGITS` digits; shares of the rows in steps each of which is a share of any number of rows near the
        split's, None where there are no such steps.
    """
    step = next((one for one in STEPS_OF_ROWS if one * rows >= 1), None)
    return {
        name: _in_steps(value, step, with_intervals=True)
        if _when_few[name] in ("decisions", "steps")
        else coarse(value, DIGITS)
        for name, value in figures.items()
    }


def _in_steps(value: Any, step: float | None, *, with_intervals: bool = False) -> Any:
    if isinstance(value, Mapping):
        return {name: _in_steps(part, step, with_intervals=with_intervals) for name, part in value.items()}
    if isinstance(value, list | tuple):
        # The bounds of an interval reveal more of a share than the share itself.
        return [_in_steps(part, step) for part in value] if with_intervals and step is not None else None
    if not isinstance(value, float) or not math.isfinite(value):
        return value
    # The uppermost step may end beyond 1, the greatest share.
    return None if step is None else min(1.0, round(_steps(value, step) * step, 3))


def _steps(value: float, step: float) -> int:
    # Ties are recognised despite the error of the division.
    return round(round(value / step, 9))


@cache
def step_of_shares(rows: int) -> float | None:
    """The smallest step of `STEPS` in which no small count of a split is alone with the metrics of a constant score.

    Args:
        rows: Rows of the split.

    Returns:
        A step such that every hidden count from `FEWEST_RANKED` on, below which nothing is published, shares them with
        another; None where there is none.
    """

    def steps_of(count: int, step: float) -> list[int]:
        return [_steps(value, step) for value in _of_constant_score(count, rows)]

    hidden = range(FEWEST_RANKED, min(SMALLEST_CELL, rows))
    for step in STEPS:
        found = [steps_of(count, step) for count in hidden]
        if found and all(found.count(one) > 1 for one in found):
            return step
    return None


def _of_constant_score(positives: int, rows: int) -> tuple[float, ...]:
    """AUPRC, accuracy and macro F1 where all rows have one score, so that all or none are found positive."""
    negatives = rows - positives
    return positives / rows, negatives / rows, positives / (rows + positives), negatives / (rows + negatives)


def has_hidden(counts: Any) -> bool:
    """Whether a count of a split, alone or by class, is hidden."""
    return counts is None or (isinstance(counts, list | tuple) and None in counts)


def hidden_in_margin(counts: Sequence[int], hidden: Collection[int] = ()) -> frozenset[int]:
    """Choose the cells of a margin to hide: the small ones, and as many others as they need for cover.

    Args:
        counts: Cells whose sum is known.
        hidden: Places that are hidden anyway.

    Returns:
        Places of the hidden cells: none, or at least two that sum to `SMALLEST_CELL` plus their number, or all.

    Examples:
        >>> sorted(hidden_in_margin([50, 1, 1]))
        [0, 1, 2]
        >>> sorted(hidden_in_margin([50, 9, 20, 30]))
        [1, 2]
    """
    found = {place for place, count in enumerate(counts) if is_small(count)} | set(hidden)
    others = sorted(set(range(len(counts))) - found, key=lambda place: (counts[place], place))
    # One hidden cell is the sum less the others, however large it is.
    while found and others and (len(found) < 2 or sum(counts[place] for place in found) < SMALLEST_CELL + len(found)):
        found.add(others.pop(0))
    return frozenset(found)


def shown_margin(counts: Sequence[int], hidden: Collection[int] = ()) -> list[int | None]:
    """The cells of a margin, None where hidden; see `hidden_in_margin`."""
    hidden = hidden_in_margin(counts, hidden)
    return [None if place in hidden else count for place, count in enumerate(counts)]


def shown_totals(totals: Sequence[int]) -> list[bool]:
    """Choose the totals of a chain of steps to publish, so that no difference between two is a small count.

    A step that drops few is published together with its neighbours: the totals between them are hidden, and what they
    drop together is at least `SMALLEST_CELL` plus the number of such steps. The last total, which the chain is about,
    is kept, the first where that is possible, and as many of the others as may be.

    Args:
        totals: Rows or patients that each step leaves, falling.

    Examples:
        >>> shown_totals([1000, 997, 950])
        [True, False, True]
        >>> shown_totals([1000, 800, 797])
        [True, False, True]
        >>> shown_totals([1000, 997])
        [False, True]
    """
    # By place of the first total: the longest chain of totals from there to the last, its length and next place.
    longest: dict[int, tuple[int, int | None]] = {len(totals) - 1: (1, None)}
    for place in reversed(range(len(totals) - 1)):
        reached = [
            (longest[later][0] + 1, -later)
            for later in longest
            if totals[place] - totals[later] >= SMALLEST_CELL + (later - place if later > place + 1 else 0)
        ]
        if reached:
            length, later = max(reached)
            longest[place] = length, -later
    if not totals or is_small(totals[-1]):
        return [False] * len(totals)
    kept = []
    at: int | None = 0 if 0 in longest else min(longest, key=lambda place: (-longest[place][0], place))
    while at is not None:
        kept.append(at)
        at = longest[at][1]
    return [place in kept for place in range(len(totals))]


def whole_table(*cells: np.ndarray) -> np.ndarray:
    """Return where the cells of a table of counts are large enough, bool of the cells' shape."""
    return np.asarray(np.logical_and.reduce([np.asarray(cell) >= SMALLEST_CELL for cell in cells]))


def publishable_classes(target: np.ndarray, *, exclusive: bool) -> np.ndarray:
    """Classes of which both kinds of rows may be counted in public, bool of shape (K,).

    Args:
        target: True where a row has the class, of shape (N, K).
        exclusive: Whether a row has exactly one class, so that the classes sum to the rows.
    """
    positives = target.sum(axis=0)
    fine = whole_table(positives, len(target) - positives)
    if not exclusive:
        return fine
    covered = hidden_in_margin(positives.tolist(), np.flatnonzero(~fine).tolist())
    return np.array([place not in covered for place in range(target.shape[1])], dtype=bool)


def merged_ranges(positives: Sequence[int] | np.ndarray, negatives: Sequence[int] | np.ndarray) -> np.ndarray:
    """Join neighbouring ranges until each holds enough positives and negatives.

    Args:
        positives: Positives of each range, in order.
        negatives: Negatives of each range.

    Returns:
        The number of the joined range of each range, int64, rising from 0; empty where all of them together hold too
        few of either.
    """
    if min(np.sum(positives), np.sum(negatives)) < SMALLEST_CELL:
        return np.empty(0, np.int64)
    place, found = 0, np.zeros(len(positives), np.int64)
    counts = [0, 0]
    for index, pair in enumerate(zip(positives, negatives, strict=True)):
        found[index] = place
        counts = [before + int(more) for before, more in zip(counts, pair, strict=True)]
        if min(counts) >= SMALLEST_CELL:
            place, counts = place + 1, [0, 0]
    # What is left over at the end joins the last range that is full.
    return np.minimum(found, place - 1)


def rounded_interval(interval: Iterable[float] | None, digits: int = DIGITS) -> list[float | None] | None:
    """Both ends of an interval to significant digits."""
    return None if interval is None else [significant(end, digits) for end in interval]
