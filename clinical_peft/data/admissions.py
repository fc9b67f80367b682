"""The admissions of MIMIC-III or MIMIC-IV: whose they are, how they ended, and when."""

from pathlib import Path

import pandas as pd
import pyarrow as pa

from clinical_peft.data.consistency import read_keyed_table
from clinical_peft.data.table_files import find_table
from clinical_peft.data.tables import FLAG, INTEGER, TIME
from clinical_peft.errors import DataError


def read_admissions(folder: Path, *, times: bool) -> pd.DataFrame:
    """Read the table of admissions.

    Args:
        folder: Folder with ADMISSIONS.
        times: Whether to read when an admission began and ended.

    Returns:
        hadm_id, subject_id (int64), died (nullable boolean) and, if asked for, admittime and dischtime; a row per
        admission of a patient, in the table's order.

    Raises:
        DataError: The table is missing or malformed, names an admission twice, or lacks an asked time of a survivor.
    """
    columns: dict[str, pa.DataType] = {"HADM_ID": INTEGER, "SUBJECT_ID": INTEGER, "HOSPITAL_EXPIRE_FLAG": FLAG}
    rows = read_keyed_table(folder, "ADMISSIONS", columns | ({"ADMITTIME": TIME, "DISCHTIME": TIME} if times else {}))
    rows = rows.dropna(subset=["hadm_id", "subject_id"]).rename(columns={"hospital_expire_flag": "died"})
    alive = rows["died"].eq(False).fillna(False).astype(bool)
    missing = int(rows.loc[alive, ["admittime", "dischtime"]].isna().any(axis=1).sum()) if times else 0
    if missing:
        path = find_table(folder, "ADMISSIONS")
        raise DataError(f"{path}: expected ADMITTIME and DISCHTIME in every row, found {missing} rows without")
    return rows.astype({"hadm_id": "int64", "subject_id": "int64"})
