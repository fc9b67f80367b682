"""Which columns of which tables a study reads, so that all of them can be looked at before the first job."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from clinical_peft.config.ablations import ablation_inputs, plain
from clinical_peft.config.experiments import corpora_in_use, runs_in_use
from clinical_peft.config.study import Study
from clinical_peft.data.table_files import find_table, locate_table, table_files
from clinical_peft.data.tables import INTEGER, TEXT, TIME, stream_table
from clinical_peft.errors import ConfigError, DataError
from clinical_peft.sources import Table, hospital_corpora, sources_of_corpus
from clinical_peft.workflow.cohorts import CohortFiles

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
            raise DataError(f"{path}: expected notes, found only a header; fetch the whole table")


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
    files = CohortFiles(study)
    needs = [Need(table, study.data.folder(table.key)) for table in _tables(files)]
    return [need for number, need in enumerate(needs) if need not in needs[:number]]


def _tables(files: CohortFiles) -> Iterator[Table]:
    study, source = files.study, files.source
    for corpus in _hospital_corpora(study):
        for each in sources_of_corpus(corpus):
            yield from each.note_tables
    if study.hospital_tasks:
        yield from source.admission_tables
    for task in map(study.task_of, study.hospital_tasks):
        yield from files.label_tables(task)
        if task.reads_ventilation and not files.is_labelled_by_list(task):
            yield from source.tables_of_ventilation(files.has_table)
    if any(study.table_of(task) is None for _, task in runs_in_use(study)):
        yield from source.attribute_tables
    if study.divides_carevue and study.data.carevue_patients is None:
        yield from source.carevue_tables


def _hospital_corpora(study: Study) -> list[str]:
    corpora = dict.fromkeys(plain(corpus) for corpus in (*corpora_in_use(study), *ablation_inputs(study).corpora))
    if corpora.keys() & set(study.paired_corpora):
        corpora[study.cohorts.source] = None
    return [corpus for corpus in corpora if corpus in hospital_corpora()]
