"""Decide which sizes of a study's splits may be published.

Every number needs its n, so a split hides its size only where it is small itself, or where the size would tell how many
have an outcome: admissions of `mortality` less those of `los` are deaths. The splits of such tasks are groups like any
other, decided together. That two cohorts differ by a few admissions of all outcomes hides nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from clinical_peft.data.patients import distinct_ids, source_of
from clinical_peft.disclosure.counts import SMALLEST_CELL, few, hidden_in_margin
from clinical_peft.disclosure.groups import Decision, Members, decide
from clinical_peft.errors import DataError
from clinical_peft.tasks import Task

WHOLE = "whole"
"""Stands for a whole cohort among the names of its splits."""


@dataclass(frozen=True, eq=False)
class Cohort:
    """A task's cohort, N admissions.

    Attributes:
        members: Its admissions, by split.
        labels: Label of each admission, of shape (N,); None where an admission has no single one.
    """

    members: Members
    labels: np.ndarray | None


def hidden_splits(cohorts: Sequence[Path], tasks: Mapping[str, Task]) -> dict[str, frozenset[str]]:
    """Decide which splits of each cohort hide their admissions and patients.

    Args:
        cohorts: Files ``{task}.parquet``, all of a study.
        tasks: The study's tasks, by name.

    Returns:
        By task, names of splits. Where few have an outcome in all splits together, all of a task's splits and `WHOLE`:
        the task does not say how many admissions it has at all.

    Raises:
        DataError: A file is missing or is no cohort, or is of no task of the study.
    """
    found = {Path(path).stem: _read(Path(path), tasks) for path in cohorts}
    together = _related(found)
    decisions: dict[str, Decision] = decide({task: found[task].members for task in together})
    for task in found.keys() - together:
        decisions |= decide({task: found[task].members})
    hidden = {task: frozenset(one.groups) - one.counts for task, one in decisions.items()}
    for whole, part in _pairs_that_tell_outcomes(found):
        apart = _splits_apart(found[whole], found[part])
        alike = [task for task, cohort in found.items() if cohort.members.everyone == found[part].members.everyone]
        hidden |= {task: hidden[task] | apart for task in alike}
    return hidden


def _related(tasks: Mapping[str, Cohort]) -> set[str]:
    """Return tasks whose sizes reveal a number of outcomes, and tasks of the same admissions."""
    found = {task for pair in _pairs_that_tell_outcomes(tasks) for task in pair}
    everyone = [tasks[task].members.everyone for task in found]
    return {task for task, cohort in tasks.items() if cohort.members.everyone in everyone}


def _pairs_that_tell_outcomes(tasks: Mapping[str, Cohort]) -> list[tuple[str, str]]:
    """Tasks and others whose admissions are all of theirs but those with a certain outcome."""
    return [(whole, part) for whole, part in permutations(tasks, 2) if _differ_by_outcome(tasks[whole], tasks[part])]


def _splits_apart(whole: Cohort, part: Cohort) -> frozenset[str]:
    """Splits that a task hides because another has few admissions with an outcome beside its own.

    Metrics show how many have the outcome in a held-out split where these are not few: such a split covers no other. So
    all are hidden, and `WHOLE` where those that metrics do not show have few together.
    """
    assert whole.labels is not None
    splits, labels = whole.members.groups, whole.labels
    beside = ~np.isin(whole.members.admissions, part.members.admissions)
    outcome = int(np.flatnonzero(np.unique(labels) == labels[beside][0])[0])
    counts = {
        split: [int((splits == split)[labels == one].sum()) for one in np.unique(labels)] for split in set(splits)
    }
    if not few(cells[outcome] for cells in counts.values()):
        return frozenset()
    untold = [
        cells[outcome] for split, cells in counts.items() if split == "train" or outcome in hidden_in_margin(cells)
    ]
    is_untold = sum(untold) < SMALLEST_CELL + len(untold)
    return frozenset((*map(str, counts), *([WHOLE] if is_untold else [])))


def _differ_by_outcome(whole: Cohort, part: Cohort) -> bool:
    """Whether a cohort has all admissions of another, and all that it has beside them share one label."""
    if whole.labels is None or not part.members.everyone < whole.members.everyone:
        return False
    beside = ~np.isin(whole.members.admissions, part.members.admissions)
    return len(np.unique(whole.labels[beside])) == 1


def _read(path: Path, tasks: Mapping[str, Task]) -> Cohort:
    if path.stem not in tasks:
        raise DataError(f"{path}: expected the cohort of one of the tasks {', '.join(tasks)}, found another")
    try:
        table = pq.read_table(path, columns=["hadm_id", "subject_id", "split", "label"])
    except (FileNotFoundError, pa.ArrowInvalid):
        raise DataError(f"{path}: expected a cohort (hadm_id, subject_id, split, label, text), found none") from None
    source, task = source_of(table.schema), tasks[path.stem]
    admissions, patients = (
        np.asarray(distinct_ids(table[name].to_pylist(), source)) for name in ("hadm_id", "subject_id")
    )
    splits = np.asarray(table["split"].to_pylist())
    has_outcome = task.type != "multilabel" and not task.is_random
    return Cohort(
        Members(admissions, patients, splits, is_published=task.is_published, is_random=task.is_random),
        np.asarray(table["label"].to_pylist()) if has_outcome else None,
    )
