"""What a table of a study declares: its columns, what it needs, and where it stands in the report."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from clinical_peft.metrics.metric import Metric
from clinical_peft.tables.declared import check_declared
from clinical_peft.tables.form import Record, Table
from clinical_peft.tables.study_column import Column
from clinical_peft.tables.study_results import StudyResults


@dataclass(frozen=True)
class Layout:
    """The form for readers of a table whose rows are not its records.

    Attributes:
        header: Column titles.
        rows: Cells as text.
        bold: Row and column of the cells to print in bold.
        row_names: The model of each row, or none.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    bold: frozenset[tuple[int, int]] = frozenset()
    row_names: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class StudyTable:
    """A table that every study has whose results it needs.

    Attributes:
        name: File stem.
        place: Order among the tables of a section.
        section: Name of the report's section that shows it; see `clinical_peft.tables.sections`.
        needs: Fields of `StudyResults` that it is built from.
        columns: Columns of the machine-readable form, in order; a function of the compared metric where its name
            stands in one.
        rows: What its records are made from, one object each, in order.
        caption: One sentence that says what the numbers are.
        notes: Remarks to print below.
        shown: Fields in the order of the form for readers, those of them that a study's columns have; not used with a
            `layout`.
        layout: The form for readers, where a row of it is not a record.
        text_columns: How many columns of the form for readers hold text, from the left.
        bold: Field to print in bold in a record, or None.
        row_name: Field that names the model or adapter of a row.
        run: Identity of the MLflow run of a row, with `{}` for the row's name; empty for rows without a run.
        folded: Line that unfolds the table in the report; empty for a table that is shown at once.
        is_of_paper: Whether only a study that has a task or a corpus of the paper's has it.
        shows_published: Whether readers of a study see the paper's values beside ours; the CSV file has them always.
    """

    name: str
    place: int
    section: str
    needs: tuple[str, ...]
    columns: Sequence[Column] | Callable[[Metric], Sequence[Column]]
    rows: Callable[[StudyResults], Iterable[Any]]
    caption: Callable[[StudyResults, Sequence[Record]], str]
    notes: Callable[[StudyResults, Sequence[Record]], Iterable[str]] = lambda *_: ()
    shown: tuple[str, ...] = ()
    layout: Callable[[StudyResults, Sequence[Record]], Layout] | None = None
    text_columns: int = 1
    bold: Callable[[Record], str | None] = lambda _: None
    row_name: str | None = None
    run: str = ""
    folded: str = ""
    is_of_paper: bool = False
    shows_published: Callable[[StudyResults], bool] = lambda results: results.shows_published

    def __post_init__(self) -> None:
        check_declared(f"table {self.name}", self.section, self.needs)
        if not self.shown and self.layout is None:
            raise ValueError(f"table {self.name}: says neither which columns readers see (shown) nor another layout")
        if not callable(self.columns):
            fields = [column.field for column in self.columns]
            if unknown := sorted(set(self.shown) - set(fields)):
                raise ValueError(f"table {self.name}: shows {unknown[0]}, expected one of its columns {fields}")
            if len(set(fields)) < len(fields):
                raise ValueError(f"table {self.name}: two columns have one name among {fields}")

    def columns_for(self, metric: Metric, *, beside_paper: bool = True, of_hospital: bool = True) -> tuple[Column, ...]:
        """The columns of a study.

        Args:
            metric: The metric by which it compares models.
            beside_paper: Whether it has something of the paper's.
            of_hospital: Whether it has something of MIMIC's.
        """
        columns = self.columns(metric) if callable(self.columns) else self.columns
        return tuple(
            column
            for column in columns
            if (beside_paper or not column.is_published) and (of_hospital or not column.is_of_hospital)
        )

    def build(self, results: StudyResults) -> Table:
        """Build the table.

        Args:
            results: A study's results, those among them that the table needs.

        Raises:
            ConfigError: The rule does not give a result that the table needs.
            DataError: Results do not belong together.
        """
        results.check_given(f"table {self.name}", self.needs)
        columns = self.columns_for(
            results.metric, beside_paper=results.is_beside_paper, of_hospital=results.is_of_hospital
        )
        rows = list(self.rows(results))
        records = tuple({column.field: column.value(row) for column in columns} for row in rows)
        layout = self.layout(results, records) if self.layout else self._layout(columns, records, rows, results)
        return Table(
            name=self.name,
            caption=self.caption(results, records),
            fields=tuple(column.field for column in columns),
            records=records,
            header=layout.header,
            rows=layout.rows,
            notes=tuple(self.notes(results, records)),
            text_columns=self.text_columns,
            bold=layout.bold,
            row_names=layout.row_names,
        )

    def _layout(
        self, columns: Sequence[Column], records: Sequence[Record], rows: Sequence[Any], results: StudyResults
    ) -> Layout:
        """A row per record, of the columns shown."""
        by_field = {
            column.field: column for column in columns if not column.is_published or self.shows_published(results)
        }
        fields = [field for field in self.shown if field in by_field]
        shown = [by_field[field] for field in fields]
        return Layout(
            header=tuple((column.title or "").format(**results.words) for column in shown),
            rows=tuple(
                tuple(column.written(record, row, results.tasks) for column in shown)
                for record, row in zip(records, rows, strict=True)
            ),
            bold=frozenset(
                (place, fields.index(field))
                for place, record in enumerate(records)
                if (field := self.bold(record)) is not None
            ),
            row_names=tuple(record[self.row_name] for record in records) if self.row_name else (),
        )
