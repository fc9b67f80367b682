"""Which test patients belong to the CareVue subset of MIMIC-III: patients of 2001 to 2008, who are not in MIMIC-IV."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa

from clinical_peft.data.held_out import read_rows
from clinical_peft.data.note_table import parquet_writer
from clinical_peft.data.table_files import find_table
from clinical_peft.data.tables import INTEGER, TEXT, read_table
from clinical_peft.errors import DataError
from clinical_peft.files import write_json

FROM_LIST = "patient list"
FROM_STAYS = "ICUSTAYS.DBSOURCE"
SCHEMA = pa.schema([("subject_id", pa.int64()), ("in_subset", pa.bool_())])


def mark_carevue_patients(
    cohorts: Iterable[Path], output: Path, summary: Path, *, carevue_patients: Path | None, mimic_iii: Path | None
) -> dict[str, Any]:
    """Write which test patients belong to the CareVue subset.

    Args:
        cohorts: Files ``{task}.parquet``.
        output: Parquet file to write: subject_id, in_subset, a row per patient in the test split of any cohort,
            ordered by subject_id.
        summary: JSON file to write: ``source``, ``approximate`` and counts of test patients and admissions by task.
        carevue_patients: PATIENTS of PhysioNet's mimic3-carevue. Without it membership is approximated: every ICU
            stay of the patient was charted in CareVue. Such a patient may have come back later, without a stay in
            intensive care, and then be in MIMIC-IV too.
        mimic_iii: Folder with ICUSTAYS; needed without ``carevue_patients``.

    Returns:
        What ``summary`` holds.

    Raises:
        DataError: A file is missing or malformed, or the test patients are all in the subset or all outside.
    """
    if carevue_patients is None:
        path = find_table(Path(str(mimic_iii)), "ICUSTAYS")
        subset = _charted_in_carevue_alone(path)
    else:
        path = carevue_patients
        subset = set(read_table(path, {"SUBJECT_ID": INTEGER})["SUBJECT_ID"].dropna().astype(int))
    tested: dict[int, bool] = {}
    tasks: dict[str, dict[str, int]] = {}
    for cohort in map(Path, cohorts):
        subjects = [subject for subject, split in read_rows(cohort, ["subject_id", "split"]) if split == "test"]
        tested |= {subject: subject in subset for subject in subjects}
        inside = [subject for subject in subjects if tested[subject]]
        tasks[cohort.stem] = {
            "admissions": len(subjects),
            "admissions_in_subset": len(inside),
            "patients": len(set(subjects)),
            "patients_in_subset": len(set(inside)),
        }
    found = sum(tested.values())
    if found in (0, len(tested)):
        raise DataError(
            f"{path}: expected test patients inside and outside the CareVue subset, found {found} of {len(tested)} "
            "inside; check that the file belongs to this MIMIC-III"
        )
    source = FROM_STAYS if carevue_patients is None else FROM_LIST
    with parquet_writer(output, SCHEMA, {"source": source}) as writer:
        table = pa.table({"subject_id": sorted(tested), "in_subset": [tested[one] for one in sorted(tested)]})
        writer.write_table(table.cast(writer.schema))
    record = {
        "source": source,
        "approximate": carevue_patients is None,
        "patients": len(tested),
        "patients_in_subset": found,
        "tasks": tasks,
    }
    write_json(summary, record)
    return record


def _charted_in_carevue_alone(icustays: Path) -> set[int]:
    stays = read_table(icustays, {"SUBJECT_ID": INTEGER, "DBSOURCE": TEXT}).dropna(subset=["SUBJECT_ID"])
    in_carevue = (stays["DBSOURCE"].str.strip() == "carevue").groupby(stays["SUBJECT_ID"]).all()
    return set(in_carevue[in_carevue].index.astype(int))
