"""The table of intervals of ventilation, of either database."""

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from clinical_peft.data.note_table import parquet_writer
from clinical_peft.data.tables import INTEGER, TEXT, TIME, read_table
from clinical_peft.errors import DataError

VENTILATION_PROCEDURE = 225792  # invasive ventilation as an interval, in both versions of MIMIC
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


def procedure_intervals(path: Path, stay: str) -> pd.DataFrame:
    """Return the intervals of invasive ventilation that are recorded as procedures.

    Args:
        path: PROCEDUREEVENTS_MV of MIMIC-III, or procedureevents of MIMIC-IV.
        stay: The table's column of the ICU stay, in lower case.

    Returns:
        The stay's column, starttime, endtime, ordered by all three.

    Raises:
        DataError: The table is malformed.
    """
    columns = {stay.upper(): INTEGER, "STARTTIME": TIME, "ENDTIME": TIME, "ITEMID": INTEGER, "STATUSDESCRIPTION": TEXT}
    rows = read_table(path, columns)
    replaced = rows["STATUSDESCRIPTION"].str.strip() == "Rewritten"  # an order that a later row states again
    rows = rows[(rows["ITEMID"] == VENTILATION_PROCEDURE) & ~replaced].rename(columns=str.lower)
    rows = rows.dropna(subset=[stay, "starttime", "endtime"])
    rows = rows[rows["starttime"] < rows["endtime"]][[stay, "starttime", "endtime"]].astype({stay: "int64"})
    return rows.sort_values([stay, "starttime", "endtime"], ignore_index=True)


def seconds_since_1970(rows: pa.RecordBatch, column: str, path: Path) -> pa.Array:
    """Return a column of times, read as text because few rows of a large table are wanted, as int64; null stays null.

    Raises:
        DataError: A value is not a time; the message names ``path``.
    """
    try:
        return pc.cast(pc.cast(rows[column], TIME), INTEGER)
    except pa.ArrowInvalid:
        raise DataError(
            f"{path}: column {column}: expected times as YYYY-MM-DD HH:MM:SS, found another value"
        ) from None
