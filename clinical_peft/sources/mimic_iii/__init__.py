"""MIMIC-III 1.4: intensive care at one hospital from 2001 to 2012."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from clinical_peft.sources.source import AdmissionRequest, HasTable, NoteTable, OutcomeFiles, Source, Table
from clinical_peft.tasks.task import Columns, columns

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from clinical_peft.data.outcomes import Outcomes

KEY = "mimic_iii"
_NOTE = columns(integer="ROW_ID SUBJECT_ID HADM_ID", time="CHARTDATE", text="CATEGORY ISERROR TEXT")
_CHARTED = columns(integer="ICUSTAY_ID ITEMID", text="CHARTTIME VALUE ERROR")
_EXTUBATIONS = columns(integer="ICUSTAY_ID ITEMID", time="STARTTIME")
_INTERVALS: Columns = {**_EXTUBATIONS, **columns(time="ENDTIME", text="STATUSDESCRIPTION")}
_ATTRIBUTES = columns(integer="HADM_ID SUBJECT_ID", time="ADMITTIME", text="INSURANCE ADMISSION_TYPE ETHNICITY")


def _read_notes(path: Path) -> "Iterator[pa.RecordBatch]":
    from clinical_peft.sources.mimic_iii.notes import read_noteevents

    return read_noteevents(path)


def _ventilation_tables(has_table: HasTable) -> tuple[Table, ...]:
    """Procedures, of which extubations alone count where ventilator settings are charted."""
    procedures = _EXTUBATIONS if has_table("CHARTEVENTS") else _INTERVALS
    return (
        Table(key=KEY, name="PROCEDUREEVENTS_MV", columns=procedures),
        Table(key=KEY, name="CHARTEVENTS", columns=_CHARTED, optional=True),
    )


def _build_admission_notes(request: AdmissionRequest) -> list[dict[str, object]]:
    from clinical_peft.sources.mimic_iii.admission_notes import build_admission_notes

    return build_admission_notes(request.folder, request.output, **request.switches)


def _outcomes(files: OutcomeFiles) -> "Outcomes":
    from clinical_peft.sources.mimic_iii.outcomes import MimicIII

    return MimicIII(files.folder, files.ventilation, files.pmv_labels)


def _find_ventilation(folder: Path, work: Path | None, adjusted: bool) -> "tuple[pd.DataFrame, str]":
    from clinical_peft.sources.mimic_iii.ventilation import find_episodes

    return find_episodes(folder, work)


def _patient_attributes(folder: Path) -> "pd.DataFrame":
    from clinical_peft.sources.mimic_iii.patients import patient_attributes

    return patient_attributes(folder)


SOURCE = Source(
    name="mimic-iii",
    title="MIMIC-III",
    folders={KEY: "folder of MIMIC-III 1.4 tables (.csv or .csv.gz)"},
    key=KEY,
    note_key=KEY,
    note_tables=(
        NoteTable(
            key=KEY,
            name="NOTEEVENTS",
            columns={**_NOTE, **columns(time="CHARTTIME")},
            read=_read_notes,
            release=("MIMIC-III 1.4", 2_083_180),
            summaries=59_652,
        ),
    ),
    admission_tables=(
        Table(key=KEY, name="NOTEEVENTS", columns={**_NOTE, **columns(text="DESCRIPTION")}),
        Table(key=KEY, name="ADMISSIONS", columns=columns(integer="HADM_ID", text="ADMISSION_TYPE")),
    ),
    attribute_tables=(
        Table(key=KEY, name="ADMISSIONS", columns=_ATTRIBUTES),
        Table(
            key=KEY,
            name="PATIENTS",
            columns=columns(integer="SUBJECT_ID", time="DOB", text="GENDER"),
            optional=True,
        ),
        Table(key=KEY, name="ICUSTAYS", columns=columns(integer="HADM_ID", text="DBSOURCE"), optional=True),
    ),
    ventilation_tables=_ventilation_tables,
    list_tables=(Table(key=KEY, name="ADMISSIONS", columns=columns(integer="HADM_ID SUBJECT_ID")),),
    carevue_tables=(Table(key=KEY, name="ICUSTAYS", columns=columns(integer="SUBJECT_ID", text="DBSOURCE")),),
    carevue_absent_from="mimic-iv",
    is_synthesised=True,
    build_admission_notes=_build_admission_notes,
    outcomes=_outcomes,
    find_ventilation=_find_ventilation,
    patient_attributes=_patient_attributes,
)
