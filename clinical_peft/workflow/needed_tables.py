"""Which columns of which tables a study reads, so that all of them can be looked at before the first job."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import pyarrow as pa

from clinical_peft.config.arms import further, plain
from clinical_peft.config.experiments import corpora_in_use, runs_in_use
from clinical_peft.config.study import Study
from clinical_peft.data.table_files import find_table, locate_table, table_files
from clinical_peft.data.tables import INTEGER, TEXT, TIME, stream_table
from clinical_peft.errors import ConfigError, DataError
from clinical_peft.tasks import find_task, task

Columns = Mapping[str, pa.DataType]

_TYPES = {"integer": INTEGER, "text": TEXT, "time": TIME}
_NOTES_IV = {"note_id": TEXT, "subject_id": INTEGER, "hadm_id": INTEGER, "charttime": TEXT, "text": TEXT}
_ADULTS_IV: dict[str, Columns] = {
    "admissions": {"hadm_id": INTEGER, "subject_id": INTEGER, "admittime": TIME},
    "patients": {"subject_id": INTEGER, "anchor_age": INTEGER, "anchor_year": INTEGER},
}
_CORPUS_III: dict[str, Columns] = {
    "NOTEEVENTS": dict.fromkeys(("ROW_ID", "CHARTDATE", "CHARTTIME", "CATEGORY", "ISERROR", "TEXT"), TEXT)
    | {"SUBJECT_ID": INTEGER, "HADM_ID": INTEGER}
}
_CORPUS_IV: dict[str, Columns] = {"discharge": _NOTES_IV, "radiology": _NOTES_IV}
_ADMISSION_III: dict[str, Columns] = {
    "NOTEEVENTS": {"ROW_ID": INTEGER, "SUBJECT_ID": INTEGER, "HADM_ID": INTEGER}
    | dict.fromkeys(("CHARTDATE", "CATEGORY", "DESCRIPTION", "ISERROR", "TEXT"), TEXT),
    "ADMISSIONS": {"HADM_ID": INTEGER, "ADMISSION_TYPE": TEXT},
}
_ADMISSION_IV: dict[str, Columns] = {
    "discharge": {"subject_id": INTEGER, "hadm_id": INTEGER, "note_type": TEXT, "note_seq": INTEGER}
    | {"charttime": TEXT, "text": TEXT}
}
_BY_LIST: dict[str, Columns] = {"ADMISSIONS": {"HADM_ID": INTEGER, "SUBJECT_ID": INTEGER}}
_CHARTED_III: Columns = {
    "ICUSTAY_ID": INTEGER, "ITEMID": INTEGER, "CHARTTIME": TEXT, "VALUE": TEXT, "ERROR": TEXT
}  # fmt: skip
_CHARTED_IV: Columns = {"stay_id": INTEGER, "itemid": INTEGER, "charttime": TEXT, "storetime": TEXT, "value": TEXT}
_EXTUBATIONS: Columns = {"ICUSTAY_ID": INTEGER, "STARTTIME": TIME, "ITEMID": INTEGER}
_PROCEDURES: Columns = {"STARTTIME": TIME, "ENDTIME": TIME, "ITEMID": INTEGER, "STATUSDESCRIPTION": TEXT}
_CARDS = {"HADM_ID": INTEGER, "SUBJECT_ID": INTEGER, "ADMITTIME": TIME, "INSURANCE": TEXT, "ADMISSION_TYPE": TEXT}
_PATIENTS_III: Columns = {"SUBJECT_ID": INTEGER, "GENDER": TEXT, "DOB": TIME}
_PATIENTS_IV: Columns = {**_ADULTS_IV["patients"], "gender": TEXT, "anchor_year_group": TEXT}
_SYSTEMS: Columns = {"HADM_ID": INTEGER, "DBSOURCE": TEXT}
_SUBSET: Columns = {"SUBJECT_ID": INTEGER, "DBSOURCE": TEXT}


@dataclass(frozen=True)
class Need:
    """Columns of a table that one job reads.

    Attributes:
        key: Key of the study's section `data` that names the folder.
        folder: The folder, or None where the study gives none.
        table: Name of the table.
        columns: Columns by type.
        optional: Whether the job does without the table.
        notes: Whether it is a table of notes, which may not be empty.
    """

    key: str
    folder: Path | None
    table: str
    columns: Columns
    optional: bool = False
    notes: bool = False

    def files(self) -> list[Path]:
        """The table's files: one, unless it is missing or there twice."""
        return table_files(self.folder, self.table) if self.folder is not None else []

    def check(self) -> None:
        """Read the table's header and its first rows.

        Raises:
            ConfigError: The study names no folder.
            DataError: The table is missing, is there twice, lacks a column, is damaged in its first rows, or is a table
                of notes without any.
        """
        if self.folder is None:
            raise ConfigError(f"data.{self.key}: expected a folder with the table {self.table}, found null")
        path = locate_table(self.folder, self.table) if self.optional else find_table(self.folder, self.table)
        if path is not None and check_table(path, self.columns) == 0 and self.notes:
            raise DataError(f"{path}: expected notes, found a header alone; fetch the whole table")


def check_table(path: Path, columns: Columns) -> int:
    """Read a table's header and its first rows.

    Args:
        path: CSV file, gzipped or not.
        columns: Columns by type.

    Returns:
        The number of rows that were read.

    Raises:
        DataError: See `clinical_peft.data.tables.stream_table`.
    """
    batches = stream_table(path, columns)
    first = next(batches, None)
    return first.num_rows if first is not None else 0


def needed_tables(study: Study) -> list[Need]:
    """List what the selected jobs read of a hospital's tables; nothing for the synthetic hospital.

    Args:
        study: The study.

    Returns:
        Needs, each once.
    """
    if study.data.synthetic:
        return []
    from_iv = study.cohorts.source == "mimic-iv"
    needs = chain(_of_corpora(study), *([_of_mimic_iv(study)] if from_iv else [_of_mimic_iii(study)]))
    found: list[Need] = []
    for need in needs:
        if need not in found:
            found.append(need)
    return found


def _of_corpora(study: Study) -> Iterator[Need]:
    corpora = {plain(corpus) for corpus in (*corpora_in_use(study), *further(study).corpora)}
    if corpora & set(study.paired_corpora):
        corpora.add(study.cohorts.source)
    if corpora & {"mimic-iii", "combined"}:
        yield from _needs("mimic_iii", study.data.mimic_iii, _CORPUS_III, notes=True)
    if corpora & {"mimic-iv", "combined"}:
        yield from _needs("mimic_iv_note", study.data.mimic_iv_note, _CORPUS_IV, notes=True)


def _of_mimic_iii(study: Study) -> Iterator[Need]:
    key, folder, tasks = "mimic_iii", study.data.mimic_iii, study.matrix.tasks
    if tasks:
        yield from _needs(key, folder, _ADMISSION_III)
    for kind in map(find_task, tasks):
        listed = kind.has_own_split and study.data.pmv_split == "beep"
        yield from _needs(key, folder, _BY_LIST if listed else _columns(kind.tables["mimic-iii"]))
        if kind.reads_ventilation and not listed:
            charted = folder is not None and bool(table_files(folder, "CHARTEVENTS"))
            procedures = _EXTUBATIONS if charted else {"ICUSTAY_ID": INTEGER, **_PROCEDURES}
            yield Need(key, folder, "PROCEDUREEVENTS_MV", procedures)
            yield Need(key, folder, "CHARTEVENTS", _CHARTED_III, optional=True)
    if runs_in_use(study):
        yield Need(key, folder, "ADMISSIONS", _CARDS | {"ETHNICITY": TEXT})
        yield Need(key, folder, "PATIENTS", _PATIENTS_III, optional=True)
        yield Need(key, folder, "ICUSTAYS", _SYSTEMS, optional=True)
    if study.divides_carevue and study.data.carevue_patients is None:
        yield Need(key, folder, "ICUSTAYS", _SUBSET)


def _of_mimic_iv(study: Study) -> Iterator[Need]:
    key, folder, tasks = "mimic_iv", study.data.mimic_iv, study.matrix.tasks
    if tasks:
        yield from _needs("mimic_iv_note", study.data.mimic_iv_note, _ADMISSION_IV)
        yield from _needs(key, folder, _ADULTS_IV)
    for kind in map(find_task, tasks):
        yield from _needs(key, folder, _columns(kind.tables["mimic-iv"]))
        if kind.reads_ventilation:
            charted = folder is not None and bool(table_files(folder, "chartevents"))
            recorded = folder is not None and bool(table_files(folder, "procedureevents"))
            if charted or not recorded:
                yield Need(key, folder, "chartevents", _CHARTED_IV)
            else:
                yield Need(key, folder, "procedureevents", {"stay_id": INTEGER, **_PROCEDURES})
    if runs_in_use(study):
        yield Need(key, folder, "admissions", _CARDS | {"race": TEXT})
        yield Need(key, folder, "patients", _PATIENTS_IV, optional=True)


def _columns(tables: Mapping[str, task.Columns]) -> dict[str, Columns]:
    return {table: {name: _TYPES[kind] for name, kind in columns.items()} for table, columns in tables.items()}


def _needs(key: str, folder: Path | None, tables: Mapping[str, Columns], *, notes: bool = False) -> Iterator[Need]:
    for table, columns in tables.items():
        yield Need(key, folder, table, columns, notes=notes)
