"""Which numbers of admissions of a study's splits may be published.

The splits of its cohorts are groups like any other: one of few is hidden with another that covers it, and so is one
whose size would reveal, with that of another task, how many few admissions the one has and the other lacks.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from clinical_peft.disclosure.groups import Members, decide
from clinical_peft.errors import DataError
from clinical_peft.tasks import find_task


def hidden_splits(cohorts: Sequence[Path]) -> dict[str, frozenset[str]]:
    """Decide which splits of each cohort hide their admissions and patients.

    Args:
        cohorts: Files ``{task}.parquet``, all of a study.

    Returns:
        By task, names of splits.

    Raises:
        DataError: A file is missing or is no cohort.
    """
    tasks = {Path(path).stem: _members(Path(path)) for path in cohorts}
    return {task: frozenset(decision.groups) - decision.counts for task, decision in decide(tasks).items()}


def _members(path: Path) -> Members:
    try:
        table = pq.read_table(path, columns=["hadm_id", "subject_id", "split"])
    except (FileNotFoundError, pa.ArrowInvalid):
        raise DataError(f"{path}: expected a cohort (hadm_id, subject_id, split, label, text), found none") from None
    admissions, patients, splits = (np.asarray(column.to_pylist()) for column in table.columns)
    task = find_task(path.stem)
    return Members(admissions, patients, splits, is_published=task.is_published, is_random=task.is_random)
