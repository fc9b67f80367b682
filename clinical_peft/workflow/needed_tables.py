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
from clinical_peft.sources import Table, find_source, hospital_corpora, sources_of_corpus
from clinical_peft.tasks import find_task

_TYPES = {"integer": INTEGER, "text": TEXT, "time": TIME}


@dataclass(frozen=True)
class Need:
    """Columns of a table that one job reads.

    Attributes:
        table: The table.
        folder: The folder, or None where the study gives none.
    """

    table: Table
    folder: Path | None

    def files(self) -> list[Path]:
        """The table's files: one, unless it is missing or there twice."""
        return table_files(self.folder, self.table.name) if self.folder is not None else []

    def check(self) -> None:
        """Read the table's header and its first rows.

        Raises:
            ConfigError: The study names no folder.
            DataError: The table is missing, is there twice, lacks a column, is damaged in its first rows, or is a table
                of notes without any.
        """
        table = self.table
        if self.folder is None:
            raise ConfigError(f"data.{table.key}: expected a folder with the table {table.name}, found null")
        path = (locate_table if table.optional else find_table)(self.folder, table.name)
        columns = {name: _TYPES[kind] for name, kind in table.columns.items()}
        if path is not None and check_table(path, columns) == 0 and table.has_notes:
            raise DataError(f"{path}: expected notes, found a header alone; fetch the whole table")


def check_table(path: Path, columns: Mapping[str, pa.DataType]) -> int:
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
    found: list[Need] = []
    for table in chain(_corpus_tables(study), _outcome_tables(study)):
        need = Need(table, study.data.folder(table.key))
        if need not in found:
            found.append(need)
    return found


def _corpus_tables(study: Study) -> Iterator[Table]:
    corpora = {plain(corpus) for corpus in (*corpora_in_use(study), *further(study).corpora)}
    if corpora & set(study.paired_corpora):
        corpora.add(study.cohorts.source)
    for corpus in hospital_corpora():
        for source in sources_of_corpus(corpus) if corpus in corpora else ():
            yield from source.note_tables


def _outcome_tables(study: Study) -> Iterator[Table]:
    source, by_list = find_source(study.cohorts.source), study.data.pmv_split == "beep"
    folder = study.data.folder(source.key)

    def has_table(name: str) -> bool:
        return folder is not None and bool(table_files(folder, name))

    if study.matrix.tasks:
        yield from source.admission_tables
    for task in map(find_task, study.matrix.tasks):
        yield from source.label_tables(task, by_list=by_list)
        if task.reads_ventilation and not (by_list and task.has_own_split):
            yield from source.tables_of_ventilation(has_table)
    if runs_in_use(study):
        yield from source.attribute_tables
    if study.divides_carevue and study.data.carevue_patients is None:
        yield from source.carevue_tables
