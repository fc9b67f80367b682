"""MIMIC-IV 2.2 or 3.1 (hosp and icu tables) with MIMIC-IV-Note 2.2 (docs/mimic-iv.md)."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from clinical_peft.sources.source import AdmissionRequest, HasTable, NoteTable, OutcomeFiles, Source, Table
from clinical_peft.tasks.task import columns

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from clinical_peft.data.outcomes import Outcomes

KEY, NOTE_KEY = "mimic_iv", "mimic_iv_note"
_RELEASE = "MIMIC-IV-Note 2.2"
# The abstract of MIMIC-IV-Note, and the paper after it, give 331,794 discharge summaries; the file, and the counts that
# MIMIC's own validation script asserts, have one fewer.
_SUMMARIES = 331_793
_NOTE = columns(integer="subject_id hadm_id", time="charttime", text="note_id text")
_PATIENT = columns(integer="subject_id anchor_age anchor_year")
_CHARTED = columns(integer="stay_id itemid", text="charttime storetime value")
_INTERVALS = columns(integer="stay_id itemid", time="starttime endtime", text="statusdescription")
_ATTRIBUTES = columns(integer="hadm_id subject_id", time="admittime", text="insurance admission_type race")


def _read_notes(path: Path, *, kind: str) -> "Iterator[pa.RecordBatch]":
    from clinical_peft.sources.mimic_iv.notes import read_notes

    return read_notes(path, kind)


def _note_table(name: str, rows: int, summaries: int = 0) -> NoteTable:
    return NoteTable(
        key=NOTE_KEY,
        name=name,
        columns=_NOTE,
        read=partial(_read_notes, kind=name),
        release=(_RELEASE, rows),
        summaries=summaries,
    )


def _ventilation_tables(has_table: HasTable) -> tuple[Table, ...]:
    """Charted statuses, or recorded intervals where these alone are there."""
    if has_table("chartevents") or not has_table("procedureevents"):
        return (Table(key=KEY, name="chartevents", columns=_CHARTED),)
    return (Table(key=KEY, name="procedureevents", columns=_INTERVALS),)


def _build_admission_notes(request: AdmissionRequest) -> list[dict[str, object]]:
    from clinical_peft.recipes.switches import switch_on
    from clinical_peft.sources.mimic_iv.admission_notes import build_admission_notes

    addenda_searched = switch_on(request.switches, "addenda_searched")
    return build_admission_notes(request.folder, request.note_folder, request.output, addenda_searched=addenda_searched)


def _outcomes(files: OutcomeFiles) -> "Outcomes":
    from clinical_peft.sources.mimic_iv.codes import IcdCoding
    from clinical_peft.sources.mimic_iv.outcomes import MimicIV

    coding = IcdCoding(files.icd, files.icd_map)
    return MimicIV(files.folder, files.ventilation, coding, files.ventilation_adjusted)


def _find_ventilation(folder: Path, work: Path | None, adjusted: bool) -> "tuple[pd.DataFrame, str]":
    from clinical_peft.sources.mimic_iv.ventilation import find_periods

    return find_periods(folder, work, adjusted=adjusted)


def _patient_attributes(folder: Path) -> "pd.DataFrame":
    from clinical_peft.sources.mimic_iv.patients import patient_attributes

    return patient_attributes(folder)


def _year_groups(folder: Path) -> "dict[int, str | None]":
    from clinical_peft.sources.mimic_iv.patients import year_groups

    return year_groups(folder)


SOURCE = Source(
    name="mimic-iv",
    title="MIMIC-IV",
    folders={
        NOTE_KEY: "folder of MIMIC-IV-Note 2.2",
        KEY: "folder of MIMIC-IV 2.2 or 3.1, its hosp and icu tables",
    },
    key=KEY,
    note_key=NOTE_KEY,
    note_tables=(_note_table("discharge", _SUMMARIES, _SUMMARIES), _note_table("radiology", 2_321_355)),
    admission_tables=(
        Table(
            key=NOTE_KEY,
            name="discharge",
            columns=columns(integer="subject_id hadm_id note_seq", time="charttime", text="note_type text"),
        ),
        Table(
            key=KEY,
            name="admissions",
            columns=columns(integer="hadm_id subject_id", time="admittime"),
        ),
        Table(key=KEY, name="patients", columns=_PATIENT),
    ),
    attribute_tables=(
        Table(key=KEY, name="admissions", columns=_ATTRIBUTES),
        Table(
            key=KEY,
            name="patients",
            columns={**_PATIENT, **columns(text="gender anchor_year_group")},
            optional=True,
        ),
    ),
    ventilation_tables=_ventilation_tables,
    cohort_keys=frozenset({"icd", "icd_map", "ventilation"}),
    is_synthesised=True,
    build_admission_notes=_build_admission_notes,
    outcomes=_outcomes,
    find_ventilation=_find_ventilation,
    patient_attributes=_patient_attributes,
    read_year_groups=_year_groups,
)
