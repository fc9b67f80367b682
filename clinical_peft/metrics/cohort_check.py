"""Whether predictions are those of the cohort, all of it and nothing else; and how often labels occur in training."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from clinical_peft.data.patients import id_array
from clinical_peft.errors import DataError
from clinical_peft.metrics.predictions import Predictions, target_of

COLUMNS = ["hadm_id", "subject_id", "split", "label"]


def read_cohort(path: Path) -> pa.Table:
    """Read what a cohort says of its admissions, ordered by hadm_id.

    Args:
        path: Parquet file of the cohort.

    Returns:
        The columns hadm_id, subject_id, split and label.

    Raises:
        DataError: The file is missing, is not a cohort, or holds an admission twice.
    """
    try:
        table = pq.read_table(path, columns=COLUMNS).sort_by("hadm_id")
    except (FileNotFoundError, pa.ArrowInvalid):
        raise DataError(f"{path}: expected a cohort ({', '.join(COLUMNS)}, text), found none") from None
    ids = id_array(table["hadm_id"])
    repeated = int((ids[1:] == ids[:-1]).sum())
    if repeated:
        raise DataError(f"{path}: expected every admission once, found {repeated} repeated; build the cohort again")
    return table


def check_against_cohort(splits: Mapping[str, Predictions], cohort: pa.Table, place: Path) -> None:
    """Check that predictions cover the cohort's validation and test admissions, with its patients and labels.

    Args:
        splits: What `read_predictions` returned.
        cohort: What `read_cohort` returned.
        place: The predictions file, for the message.

    Raises:
        DataError: Admissions are missing or too many, or belong to other patients, or have other labels.
    """
    for split, data in splits.items():
        expected = cohort.filter(pc.equal(cohort["split"], split))
        ids = id_array(expected["hadm_id"])
        if not np.array_equal(ids, data.hadm_id):
            missing, more = (len(np.setdiff1d(*pair)) for pair in ((ids, data.hadm_id), (data.hadm_id, ids)))
            raise DataError(
                f"{place}, split {split}: expected the {len(ids):,} admissions of the cohort, found {len(data):,} "
                f"({missing} missing, {more} of no cohort); predict the split again"
            )
        if not np.array_equal(id_array(expected["subject_id"]), data.subject_id):
            raise DataError(f"{place}, split {split}: expected the cohort's subject_id, found others; predict it again")
        target, _ = target_of(expected["label"], data.classes, data.type, f"{place}, cohort")
        if not np.array_equal(target, data.target):
            wrong = int((target != data.target).any(axis=1).sum())
            raise DataError(
                f"{place}, split {split}: expected the cohort's labels, found others for {wrong} admissions; the "
                "predictions are of another cohort: predict it again"
            )


def train_positives(cohort: pa.Table, classes: Sequence[Any], place: str) -> np.ndarray:
    """Admissions of the training split with each label of a multilabel task, int64 of shape (K,).

    Args:
        cohort: What `read_cohort` returned.
        classes: Ordered label space of length K.
        place: The cohort, for the message of an error.

    Raises:
        DataError: A row has no list of labels.
    """
    train = cohort.filter(pc.equal(cohort["split"], "train"))
    target, _ = target_of(train["label"], tuple(classes), "multilabel", place)
    return np.asarray(target.sum(axis=0))
