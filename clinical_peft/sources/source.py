"""Properties of a kind of hospital, in one record; imports no table library."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from clinical_peft.errors import ConfigError
from clinical_peft.tasks import Task
from clinical_peft.tasks.task import Columns

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from clinical_peft.data.outcomes import Outcomes

HasTable = Callable[[str], bool]
"""Whether the folder of a source's tables holds a table."""
ReadNotes = Callable[[Path], "Iterator[pa.RecordBatch]"]
"""Reads a table of notes as batches of `clinical_peft.data.note_table.NOTE_SCHEMA`, and whether each is_error."""

_NO_VENTILATION = "cohorts.source: {} has no tables of ventilation; drop tasks that need them from matrix.tasks"
_NO_TABLES: Mapping[str, Mapping[str, Columns]] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True)
class Table:
    """Columns of a table that a job reads.

    Attributes:
        key: Key of a study's section `data` that names the table's folder.
        name: Name of the file, without its ending, in any letter case.
        columns: Columns that are read, and what stands in them.
        optional: Whether the job does without the table.
        has_notes: Whether it is a table of notes, which may not be empty.
    """

    key: str
    name: str
    columns: Columns
    optional: bool = False
    has_notes: bool = False


@dataclass(frozen=True, kw_only=True)
class NoteTable(Table):
    """A table of notes, from which a corpus is extracted.

    Attributes:
        read: Reads the file.
        release: Name and version of the published release, and its rows; None if the release is not known.
        summaries: How many of the release's rows are discharge summaries, for plans.
    """

    has_notes: bool = True
    read: ReadNotes
    release: tuple[str, int] | None = None
    summaries: int = 0


@dataclass(frozen=True, kw_only=True)
class OutcomeFiles:
    """What the outcomes of a source are read from.

    Attributes:
        folder: Folder of the source's tables.
        ventilation: Derived intervals of ventilation; None to derive them anew where a task needs them.
        pmv_labels: A published list of ventilated admissions.
        icd: `cohorts.icd` of the study.
        icd_map: `cohorts.icd_map` of the study.
        ventilation_adjusted: `cohorts.ventilation` of the study, where intervals are derived anew.
    """

    folder: Path
    ventilation: Path | None = None
    pmv_labels: Path | None = None
    icd: str = "separate"
    icd_map: Path | None = None
    ventilation_adjusted: bool = False


@dataclass(frozen=True, kw_only=True)
class AdmissionRequest:
    """What admission notes are built from.

    Attributes:
        folder: Folder of the source's tables.
        note_folder: Folder of its notes, often the same.
        output: Parquet file to write: hadm_id, subject_id, text.
        switches: Switches of stage `admission`; True means as the original does.
    """

    folder: Path
    note_folder: Path
    output: Path
    switches: Mapping[str, bool]


@dataclass(frozen=True, kw_only=True)
class Source:
    """A kind of hospital: where its notes, admissions and outcomes stand, and how they are read.

    Functions import what they need when they are called.

    Attributes:
        name: Key in a study, and name of the corpus of all its notes.
        title: Name for readers.
        folders: Keys of a study's section `data` that name its folders, each with a description.
        key: The one of the folder of admissions and outcomes.
        note_key: The one of the folder of notes.
        note_tables: Tables of the corpus of its notes, in their order.
        admission_tables: Tables that admission notes are built from.
        attribute_tables: Tables that say who a patient is.
        task_tables: Tables of a task's labels, by its name, for a task that does not list those of this source.
        ventilation_tables: Tables that intervals of ventilation are derived from, by what the folder holds; None where
            there are none.
        list_tables: Tables that are read with a published list of ventilated admissions (`data.pmv_split: beep`); empty
            where no list is of this source.
        carevue_tables: Tables that show approximately which patients are in the CareVue subset; empty where the source
            has none.
        carevue_absent_from: Corpus in which the patients of that subset do not stand.
        cohort_keys: Keys of a study's section `cohorts` that have a meaning for this source.
        is_synthesised: Whether the synthetic hospital has its tables.
        build_admission_notes: Writes the admission notes and returns the steps of their attrition.
        outcomes: Opens the outcomes.
        find_ventilation: Derives intervals of ventilation from a folder, with a folder for temporary files and whether
            `cohorts.ventilation` is adjusted; returns them and the name of the table that they come from.
        patient_attributes: Reads who the patients of a folder are: hadm_id, the attributes of
            `clinical_peft.data.subgroups` except the age band, and age in years.
        read_year_groups: Reads around which real years the stays of each patient lie, which a temporal split goes by;
            None where a source does not say.
    """

    name: str
    title: str
    folders: Mapping[str, str]
    key: str
    note_key: str
    note_tables: tuple[NoteTable, ...]
    admission_tables: tuple[Table, ...]
    attribute_tables: tuple[Table, ...]
    task_tables: Mapping[str, Mapping[str, Columns]] = field(default_factory=lambda: _NO_TABLES)
    ventilation_tables: Callable[[HasTable], tuple[Table, ...]] | None = None
    list_tables: tuple[Table, ...] = ()
    carevue_tables: tuple[Table, ...] = ()
    carevue_absent_from: str | None = None
    cohort_keys: frozenset[str] = frozenset()
    is_synthesised: bool = False
    build_admission_notes: Callable[[AdmissionRequest], list[dict[str, object]]]
    outcomes: "Callable[[OutcomeFiles], Outcomes]"
    find_ventilation: "Callable[[Path, Path | None, bool], tuple[pd.DataFrame, str]] | None" = None
    patient_attributes: "Callable[[Path], pd.DataFrame]"
    read_year_groups: Callable[[Path], Mapping[int, str | None]] | None = None

    def __post_init__(self) -> None:
        tables = (*self.note_tables, *self.admission_tables, *self.attribute_tables)
        for key in (self.key, self.note_key, *(table.key for table in tables)):
            if key not in self.folders:
                raise ValueError(f"source {self.name}: expected one of {', '.join(self.folders)} as key, found {key}")

    @property
    def has_carevue(self) -> bool:
        """Whether patients may be divided by whether they are in the CareVue subset."""
        return bool(self.carevue_tables)

    @property
    def has_list(self) -> bool:
        """Whether a published list of ventilated admissions is of this source."""
        return bool(self.list_tables)

    @property
    def release_rows(self) -> int:
        """Notes of the published releases, for plans."""
        return sum(table.release[1] for table in self.note_tables if table.release is not None)

    @property
    def release_summaries(self) -> int:
        """Discharge summaries of the published releases, for plans."""
        return sum(table.summaries for table in self.note_tables)

    def has_task(self, task: Task) -> bool:
        """Whether the labels of a task can be read here."""
        return task.name in self.task_tables or self.name in task.tables

    def label_tables(self, task: Task, *, by_list: bool = False) -> tuple[Table, ...]:
        """Tables that the labels of a task come from.

        Args:
            task: The task.
            by_list: Whether members and labels come from a published list, if it is a task of which there is one.

        Raises:
            ConfigError: The source has no tables for the task.
        """
        if by_list and task.has_own_split:
            return self.list_tables
        if not self.has_task(task):
            raise ConfigError(
                f"task {task.name}: has no tables of source {self.name}; drop the task from matrix.tasks, or add its "
                "tables to the source or to the task"
            )
        tables = self.task_tables.get(task.name) or task.tables[self.name]
        return tuple(Table(key=self.key, name=name, columns=columns) for name, columns in tables.items())

    def tables_of_ventilation(self, has_table: HasTable) -> tuple[Table, ...]:
        """Tables that intervals of ventilation are derived from.

        Args:
            has_table: Whether the folder holds a table.

        Raises:
            ConfigError: The source has no such tables.
        """
        if self.ventilation_tables is None:
            raise ConfigError(_NO_VENTILATION.format(self.name))
        return self.ventilation_tables(has_table)

    def derive_ventilation(
        self, folder: Path, *, work: Path | None = None, adjusted: bool = False
    ) -> "tuple[pd.DataFrame, str]":
        """Derive intervals of ventilation.

        Args:
            folder: Folder of the source's tables.
            work: Folder for temporary files; None to keep charted rows in memory.
            adjusted: Whether `cohorts.ventilation` is adjusted.

        Returns:
            The intervals, the id of the ICU stay first, and the name of the table that they come from.

        Raises:
            ConfigError: The source has no such tables.
            DataError: A table is missing or malformed.
        """
        if self.find_ventilation is None:
            raise ConfigError(_NO_VENTILATION.format(self.name))
        return self.find_ventilation(folder, work, adjusted)

    def year_groups(self, folder: Path) -> Mapping[int, str | None]:
        """Read around which real years the stays of each patient lie, by subject_id.

        Args:
            folder: Folder of the source's tables.

        Raises:
            ConfigError: The source does not say: its dates are shifted, by another number of days for each patient.
            DataError: A table is missing or malformed.
        """
        if self.read_year_groups is None:
            raise ConfigError(
                f"data.splits.temporal: {self.title} has no real years (dates are shifted per patient); use hash "
                "or lists"
            )
        return self.read_year_groups(folder)
