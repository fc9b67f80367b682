"""The predictions file: one row per validation or test admission, with logits and scores per class."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from clinical_peft.data.patients import source_of, with_source
from clinical_peft.errors import TrainingError
from clinical_peft.files import atomic_path
from clinical_peft.training.task_data import TaskData


def write_predictions(path: Path, data: TaskData, rows: np.ndarray, logits: np.ndarray, scores: np.ndarray) -> None:
    """Write predictions, ordered by hadm_id; the same values give the same bytes.

    The file names the own table that the cohort comes from, as the cohort does.

    Args:
        path: Parquet file to write.
        data: The task's cohort.
        rows: Positions in the cohort's table, int64 of shape (M,), ascending.
        logits: Logits, float32 of shape (M, K).
        scores: Scores, float32 of shape (M, K).

    Raises:
        TrainingError: A logit or a score is not finite.
    """
    if not (np.isfinite(logits).all() and np.isfinite(scores).all()):
        raise TrainingError(f"{path}: predictions for {data.task} are not all finite; lower the learning rate")
    table = data.table.select(["hadm_id", "subject_id", "split", "label"]).take(rows)
    table = table.append_column("scores", _lists(scores)).append_column("logits", _lists(logits)).combine_chunks()
    described = with_source(table.schema.remove_metadata(), source_of(data.table.schema))
    with atomic_path(path) as temporary:
        pq.write_table(table.replace_schema_metadata(described.metadata), temporary, compression="zstd")


def _lists(values: np.ndarray) -> pa.Array:
    flat = pa.array(np.ascontiguousarray(values, dtype=np.float32).ravel())
    offsets = pa.array(np.arange(len(values) + 1, dtype=np.int32) * values.shape[1])
    return pa.ListArray.from_arrays(offsets, flat)
