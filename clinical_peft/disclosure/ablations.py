"""Counts that a run under a switch may publish beside those of the corrected runs of the same task.

Its cohort may have a few admissions or cases more or less than the corrected one: the difference of two sizes is a
count itself, such as that of the notes that state a death.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from clinical_peft.disclosure.counts import is_small


@dataclass(frozen=True)
class HiddenCounts:
    """Counts of a run that may not be published.

    Attributes:
        splits: Splits whose admissions and patients are hidden.
        positives: Splits of which the numbers of all classes are hidden, whatever they are.
    """

    splits: frozenset[str]
    positives: frozenset[str]


def hidden_counts(cohort: Path, cohorts: Sequence[Path], hidden: Mapping[str, Collection[str]]) -> HiddenCounts:
    """Decide which counts of a cohort are hidden.

    Args:
        cohort: The cohort that was predicted, `{task}.parquet`, or `{task}@{switch}.parquet` under a switch.
        cohorts: Cohorts of the study's tasks without a switch.
        hidden: Splits that these hide, from `clinical_peft.data.hidden_splits.hidden_splits`.

    Returns:
        What `hidden` says of a cohort without a switch. Of another also the splits that have few admissions, patients
        or cases of a class more or less than the corrected one.
    """
    task = cohort.stem.partition("@")[0]
    own = frozenset(hidden.get(task, ()))
    corrected = next((path for path in cohorts if path.stem == task), None)
    if corrected is None or corrected == cohort:
        return HiddenCounts(own, frozenset())
    before, after = _counts(corrected), _counts(cohort)
    both = before.keys() & after.keys()
    near_cases = frozenset(split for split in both if _is_near(before[split].cases, after[split].cases))
    near = {split for split in both if _is_near(before[split].sizes, after[split].sizes)}
    return HiddenCounts(own | near | near_cases, near_cases)


@dataclass(frozen=True)
class _SplitCounts:
    """Sizes of a split (admissions, patients), and admissions by class, those of all labels together among them."""

    sizes: Counter[str]
    cases: Counter[str]


def _counts(cohort: Path) -> dict[str, _SplitCounts]:
    table = pq.read_table(cohort, columns=["subject_id", "split", "label"])
    subjects, splits, labels = (table[name].to_pylist() for name in ("subject_id", "split", "label"))
    found = {}
    for split in sorted(set(splits)):
        rows = [row for row, name in enumerate(splits) if name == split]
        cases = Counter(str(label) for row in rows for label in _classes(labels[row]))
        sizes = Counter(admissions=len(rows), patients=len({subjects[row] for row in rows}))
        found[split] = _SplitCounts(sizes, cases + Counter({"all labels": cases.total()}))
    return found


def _classes(label: Any) -> Collection[Any]:
    return label if isinstance(label, list) else (label,)


def _is_near(before: Counter[str], after: Counter[str]) -> bool:
    """Whether any count has changed by few."""
    distances = (abs(before[name] - after[name]) for name in before.keys() | after.keys())
    return any(distance and is_small(distance) for distance in distances)
