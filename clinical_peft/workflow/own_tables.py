"""What the jobs of a user's own tables read: files, how they are read and split, and the tasks in them."""

from pathlib import Path
from typing import Any

from clinical_peft.config import notes_in_use
from clinical_peft.config.ablations import plain
from clinical_peft.config.tables import FilesBySplit, GivenSplit, Table
from clinical_peft.errors import DataError
from clinical_peft.runtime.terminal import end_with_line
from clinical_peft.sources.table.spec import SplitSpec, TableSpec
from clinical_peft.tasks import OwnTask
from clinical_peft.workflow.corpora import CorpusFiles
from clinical_peft.workflow.study_folder import Wildcards


def spec_of(name: str, table: Table) -> TableSpec:
    """Return the description of an own table that its jobs read.

    Args:
        name: Its key in `data.tables`.
        table: What the study says of it.
    """
    given = table.path
    by_split = dict(given) if isinstance(given, FilesBySplit) else {}
    return TableSpec(
        name=name,
        paths={split: str(path) for split, path in (by_split or {"": given}).items()},
        id=table.id,
        text=table.columns_of_text,
        patient=table.patient,
        time=table.time,
        site=table.site,
        subgroups={column: tuple(values) for column, values in table.subgroups.items()},
        split=SplitSpec(kind="files") if by_split else _split(table.split),
    )


def _split(given: object) -> SplitSpec:
    if not isinstance(given, GivenSplit):
        return SplitSpec()
    if given.temporal is not None:
        days = given.temporal
        return SplitSpec(kind="temporal", validation=(days.validation.isoformat(),), test=(days.test.isoformat(),))
    if given.site is not None:
        return SplitSpec(kind="site", validation=tuple(given.site.validation), test=tuple(given.site.test))
    if given.lists is not None:
        return SplitSpec(kind="lists", folder=str(given.lists))
    return SplitSpec(kind="column", column=given.column)


class OwnTableFiles(CorpusFiles):
    """A user's own tables."""

    @property
    def tables_in_use(self) -> list[str]:
        """Own tables that the study reads."""
        return notes_in_use.tables_in_use(self.study)

    def own_table(self, name: str) -> TableSpec:
        """Return the description of an own table.

        Raises:
            ConfigError: There is no such table.
        """
        return spec_of(name, self._entry("table", name, self.study.data.tables))

    def own_tasks_of(self, table: str) -> list[OwnTask]:
        """Tasks of the matrix whose labels stand in an own table."""
        selected = (self.study.own_tasks.get(name) for name in self.study.matrix.tasks)
        return [task for task in selected if task is not None and task.table == table]

    # --- a table ---------------------------------------------------------------------------------------------------

    def table_spec(self, wildcards: Wildcards) -> dict[str, Any]:
        """How a table is read and split, as a record."""
        return self.own_table(wildcards.table).as_record()

    def table_sources(self, wildcards: Wildcards) -> list[str]:
        """Files that a table is imported from, lists of its split included."""
        spec = self.own_table(wildcards.table)
        return [str(path) for path in (*spec.files, *spec.split.lists.values())]

    def table_sources_present(self, wildcards: Wildcards) -> list[str]:
        """Files that a table is imported from, all of which are there unless it is imported already.

        Raises:
            SystemExit: One is missing; it is named in one line, where Snakemake would print several.
        """
        return self._present(wildcards.table, self.table_sources(wildcards), self._imported(wildcards.table))

    def gone_tables(self) -> list[str]:
        """Say which files of imported tables are gone, one line each."""
        return [
            f"data.tables.{name}: {path} is gone since its import, whose rows stay in use; changes that need the file "
            "again have no effect until it is back"
            for name in self.tables_in_use
            if Path(self._imported(name)).exists()
            for path in self.own_table(name).files
            if not Path(path).exists()
        ]

    def _imported(self, table: str) -> str:
        return f"{self.root}/imported/{table}.parquet"

    def _present(self, table: str, paths: list[str], made: str) -> list[str]:
        """Return files that a job reads, unless one is missing and what the job makes is not there."""
        missing = [path for path in paths if not Path(path).exists()]
        if missing and not Path(made).exists():
            found = "expected a file, found none; correct its path in the study"
            end_with_line(DataError(f"data.tables.{table}: {missing[0]}: {found}"))
        return paths

    def table_salt(self, wildcards: Wildcards) -> str:
        """What the hash split depends on; empty where another split is asked for."""
        return self.study.data.split_salt if self.own_table(wildcards.table).split.kind == "hash" else ""

    def table_repetition(self, wildcards: Wildcards) -> dict[str, float | int]:
        """What counts as a repeated note in a table that names no patients; empty for one that does."""
        if self.own_table(wildcards.table).patient is not None:
            return {}
        leakage = self.study.leakage
        return {
            "near_duplicate_threshold": leakage.near_duplicate_threshold,
            "shingle_words": leakage.shingle_words,
        }

    # --- a task of a table -----------------------------------------------------------------------------------------

    def _table_of(self, wildcards: Wildcards) -> TableSpec:
        return self.own_table(str(self.study.table_of(plain(wildcards.task))))

    def table_task_spec(self, wildcards: Wildcards) -> dict[str, Any]:
        """How the table is read that a task's labels stand in, as a record."""
        return self._table_of(wildcards).as_record()

    def table_task_files(self, wildcards: Wildcards) -> list[str]:
        """Files that a task's labels are read from."""
        return list(map(str, self._table_of(wildcards).files))

    def table_task_files_present(self, wildcards: Wildcards) -> list[str]:
        """Files that a task's labels are read from, all of which are there unless there is a cohort already.

        Raises:
            SystemExit: As for `table_sources_present`.
        """
        made = f"{self.root}/cohorts/{wildcards.task}.parquet"
        return self._present(self._table_of(wildcards).name, self.table_task_files(wildcards), made)

    def table_task_notes(self, wildcards: Wildcards) -> str:
        """The imported table that a task's notes are taken from."""
        return self._imported(self._table_of(wildcards).name)
