"""Checks that every reader makes of a cohort file, whoever wrote it."""

from collections.abc import Collection
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from clinical_peft.data.patients import source_of
from clinical_peft.errors import DataError

IDS = ("hadm_id", "subject_id")
COHORT_COLUMNS = (*IDS, "split", "text", "label")


def check_cohort(path: Path) -> None:
    """Check a cohort file by its schema.

    Raises:
        DataError: The file is not Parquet, lacks a column, or holds ids of another type than `require_ids` takes.
    """
    try:
        schema = pq.read_schema(path)
    except (OSError, pa.ArrowInvalid):
        raise DataError(f"{path}: expected a cohort as Parquet, found something else; build it again") from None
    missing = [name for name in COHORT_COLUMNS if name not in schema.names]
    if missing:
        raise DataError(f"{path}: expected the columns {', '.join(COHORT_COLUMNS)}; missing: {', '.join(missing)}")
    require_ids(path, schema)


def require_ids(path: Path, schema: pa.Schema, columns: Collection[str] = IDS) -> None:
    """Refuse a table whose admissions or patients are not whole numbers, unless it comes from a study's own table.

    Ids of an own table are whole numbers or strings, as its file has them.

    Args:
        path: The file, for the message.
        schema: Its schema.
        columns: Columns that are read.

    Raises:
        DataError: A column of ids among them has another type.
    """
    is_own = source_of(schema) is not None
    for name in IDS:
        kind = schema.field(name).type if name in columns and name in schema.names else pa.int64()
        if not (pa.types.is_integer(kind) or (is_own and _is_text(kind))):
            raise DataError(
                f"{path}: column {name}: expected whole numbers, found {kind}; number the "
                "admissions and patients, and keep the list of both"
            )


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
