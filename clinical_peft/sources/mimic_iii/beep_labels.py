"""The label file of BEEP: who was ventilated for long, and each admission's split.

BEEP (Naik et al., "Literature-Augmented Clinical Outcome Prediction", NAACL Findings 2022) publishes the cohort of
prolonged mechanical ventilation as a pickle: a dict from HADM_ID to a sequence whose first entry is the label and whose
last is the split. The paper's cohort has these members.
"""

from pathlib import Path
from typing import Any

import pandas as pd

from clinical_peft.data.attrition import Attrition
from clinical_peft.data.consistency import check_key
from clinical_peft.data.plain_pickle import load_plain_pickle
from clinical_peft.data.table_files import find_table
from clinical_peft.data.tables import INTEGER, read_table
from clinical_peft.data.whole_numbers import whole_number
from clinical_peft.errors import DataError

_SPLITS = {"train": "train", "val": "validation", "test": "test"}


def read_beep_labels(path: Path) -> pd.DataFrame:
    """Read the label file; nothing in it is run.

    Returns:
        hadm_id, label (int64), split; ordered by hadm_id.

    Raises:
        DataError: The file is missing, holds more than plain values, or is not such a dict.
    """
    labels = load_plain_pickle(path)
    if not isinstance(labels, dict) or not labels:
        raise DataError(f"{path}: expected a dict with an entry per HADM_ID, found {_described(labels)}")
    rows = [_row(path, number, *entry) for number, entry in enumerate(labels.items(), start=1)]
    table = pd.DataFrame(rows, columns=["hadm_id", "label", "split"])
    return table.sort_values("hadm_id", ignore_index=True)


def beep_admissions(path: Path, mimic_iii: Path, attrition: Attrition) -> tuple[pd.DataFrame, dict[int, str]]:
    """Return the labelled admissions and the file's split of them.

    Args:
        path: BEEP's label file.
        mimic_iii: Folder with ADMISSIONS, which tells each admission's patient.
        attrition: Gets the steps.

    Returns:
        hadm_id, subject_id, label, ordered by hadm_id; and the split of each hadm_id.

    Raises:
        DataError: A file is missing or malformed, or no admission of the label file is in ADMISSIONS.
    """
    labels = read_beep_labels(path)
    table = find_table(mimic_iii, "ADMISSIONS")
    admissions = check_key(read_table(table, {"HADM_ID": INTEGER, "SUBJECT_ID": INTEGER}), "HADM_ID", table)
    admissions = admissions.dropna().rename(columns=str.lower).astype("int64")
    labels = attrition.record("in the label file of BEEP", labels.merge(admissions, on="hadm_id", how="left"))
    labels = attrition.record("in ADMISSIONS", labels.dropna(subset=["subject_id"]).astype({"subject_id": "int64"}))
    return labels[["hadm_id", "subject_id", "label"]], dict(zip(labels["hadm_id"], labels["split"], strict=True))


def _row(path: Path, number: int, key: Any, entry: Any) -> tuple[int, int, str]:
    hadm_id = None if isinstance(key, str) else whole_number(key)
    if hadm_id is None or hadm_id <= 0:
        raise DataError(f"{path}: entry {number}: expected a HADM_ID as key, found {_described(key)}")
    if not isinstance(entry, tuple | list) or len(entry) < 2:
        raise DataError(f"{path}: entry {number}: expected (label, ..., split), found {_described(entry)}")
    label, split = whole_number(entry[0]), entry[-1]
    if label not in (0, 1):
        raise DataError(f"{path}: entry {number}: expected the label 0 or 1 first, found {_described(entry[0])}")
    if not isinstance(split, str) or split not in _SPLITS:
        raise DataError(f"{path}: entry {number}: expected one of {', '.join(_SPLITS)} last, found {_described(split)}")
    return hadm_id, label, _SPLITS[split]


def _described(value: Any) -> str:
    """A value's type and size, never its content."""
    size = f" of {len(value)}" if isinstance(value, dict | list | tuple | str | bytes) else ""
    return f"{type(value).__name__}{size}"
