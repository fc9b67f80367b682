"""The table of intervals of ventilation, of either database."""

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from clinical_peft.data.note_table import parquet_writer
from clinical_peft.data.tables import INTEGER, TEXT, TIME

_KINDS = {"starttime": TIME, "endtime": TIME, "status": TEXT}


def write_intervals(output: Path, intervals: pd.DataFrame, source: str) -> dict[str, object]:
    """Write intervals of ventilation.

    Args:
        output: Parquet file to write.
        intervals: The id of the ICU stay first, then starttime, endtime and, for MIMIC-IV, status.
        source: The table that they come from, which the file's metadata names.

    Returns:
        source, intervals, stays (those with an interval).
    """
    stay = intervals.columns[0]
    schema = pa.schema([(name, _KINDS.get(name, INTEGER)) for name in intervals.columns])
    with parquet_writer(output, schema, {"source": source}) as writer:
        writer.write_table(pa.Table.from_pandas(intervals, schema=writer.schema, preserve_index=False))
    return {"source": source, "intervals": len(intervals), "stays": int(intervals[stay].nunique())}


def read_intervals(path: Path) -> pd.DataFrame:
    """Read what `write_intervals` wrote, times as ``datetime64[s]``."""
    return pq.read_table(path).to_pandas().astype({"starttime": "datetime64[s]", "endtime": "datetime64[s]"})
