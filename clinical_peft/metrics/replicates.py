"""The replicates file of a run: its main metrics in every resample of the patients.

One float64 column per metric of `clinical_peft.metrics.registry.MAIN_METRICS` that the task has, null where it is
undefined, and a column `drawn`: `bootstrap` for resamples of the patients, `jackknife` for the metrics without each
group of patients. Its schema metadata names the run.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from clinical_peft.errors import DataError
from clinical_peft.files import atomic_path
from clinical_peft.metrics.metric import Metric
from clinical_peft.metrics.records import RunMetrics
from clinical_peft.metrics.registry import COMPARED

METADATA_KEY = b"run"
DRAWN = ("bootstrap", "jackknife")


def run_key(run: RunMetrics) -> str:
    """What a replicates file must agree on with its metrics file, as one line."""
    return f"{run.model} {run.task} seed {run.seed} predictions {run.predictions_sha256}"


def read_replicates(path: Path, run: RunMetrics, metric: Metric = COMPARED, *, drawn: str = "bootstrap") -> np.ndarray:
    """Read a metric's replicates, float64 of shape (R,), NaN where undefined.

    Args:
        path: File that `write_replicates` wrote beside a metrics file.
        run: That metrics file.
        metric: A main metric that the task has.
        drawn: `bootstrap`, or `jackknife` for the metric without each group of patients.

    Raises:
        DataError: The file is missing, belongs to another run, or lacks the metric.
    """
    if not Path(path).is_file():
        raise DataError(f"{path}: expected bootstrap replicates, found no file; evaluate the run again")
    names = pq.read_schema(path).names
    for name in ("drawn", metric.name):
        if name not in names:
            raise DataError(f"{path}: expected a column {name}, found none; evaluate the run again")
    table = pq.read_table(path, columns=[metric.name, "drawn"])
    found = (table.schema.metadata or {}).get(METADATA_KEY, b"").decode()
    if found != run_key(run):
        raise DataError(f"{path}: expected replicates of '{run_key(run)}', found '{found}'; evaluate the run again")
    column = table.filter(pc.equal(table["drawn"], drawn)).column(metric.name).to_numpy(zero_copy_only=False)
    return np.asarray(column, dtype=np.float64)


def write_replicates(
    path: Path, metrics: Sequence[Metric], parts: Sequence[Mapping[str, np.ndarray]], key: str
) -> None:
    """Write the main ones of a run's metrics in every resample.

    Args:
        path: Parquet file to write.
        metrics: Metrics of the run.
        parts: Values of shape (R,) by name, of the resamples and without each group of patients, as in `DRAWN`.
        key: What `run_key` says of the run.
    """
    main = [metric.name for metric in metrics if metric.is_main]
    values = {name: np.concatenate([part[name] for part in parts]) for name in main}
    lengths = [len(part[main[0]]) for part in parts]
    columns = {name: pa.array(value, mask=np.isnan(value)) for name, value in values.items()}
    table = pa.table({"drawn": np.repeat(DRAWN, lengths).tolist(), **columns})
    with atomic_path(path) as temporary:
        pq.write_table(table.replace_schema_metadata({METADATA_KEY: key}), temporary, compression="zstd")
