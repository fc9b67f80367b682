"""Sections of the report: which tables and figures each shows, of the whole study and of each task."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path

from clinical_peft.errors import DataError
from clinical_peft.figures.registry import all_figures
from clinical_peft.figures.study_figure import NARROW, StudyFigure
from clinical_peft.report.drawings import Drawing, draw
from clinical_peft.report.page_tables import falls_into_tasks, of_task, without_empty_columns, without_tasks
from clinical_peft.tables.form import Table, counted
from clinical_peft.tables.registry import all_tables
from clinical_peft.tables.sections import SECTIONS, Section
from clinical_peft.tables.study_results import StudyResults
from clinical_peft.tables.study_tasks import task_label, task_order


@dataclass(frozen=True)
class DrawingGroup:
    """Figures that stand side by side, or one alone."""

    drawings: Sequence[Drawing]
    is_grid: bool = False


@dataclass(frozen=True)
class FoldedTable:
    """A table in the page, the line that unfolds it, if it is folded, and its anchor."""

    table: Table
    folded: str
    anchor: str


@dataclass(frozen=True)
class PageSection:
    """A section with what it shows of a study or of a task."""

    section: Section
    groups: Sequence[DrawingGroup] = field(default=())
    tables: Sequence[FoldedTable] = field(default=())

    @property
    def is_all_folded(self) -> bool:
        """Whether readers see nothing of it before they unfold something."""
        lines = [one.folded for group in self.groups for one in group.drawings]
        return self.section.is_folded or all([*lines, *(one.folded for one in self.tables)])

    @property
    def summary(self) -> str:
        """The line that unfolds it."""
        counts = [
            counted(sum(len(group.drawings) for group in self.groups), "figure"),
            counted(len(self.tables), "table"),
        ]
        return f"Show {' and '.join(count for count in counts if not count.startswith('0'))}"

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to show."""
        return not (self.groups or self.tables)


@dataclass(frozen=True)
class TaskSection:
    """The section of a task: its name, and the parts that have something of it."""

    name: str
    parts: Sequence[PageSection]


def page_sections(
    tables: Mapping[str, Table], figures: Mapping[str, Path], results: StudyResults
) -> dict[str, PageSection]:
    """Sections of the whole study by name, in the order of the page, without what stands in those of tasks.

    Args:
        tables: The study's tables by name.
        figures: Its SVG files by stem.
        results: The study's tasks, metric, labels, comparison and perplexities.

    Raises:
        DataError: A figure is missing, not known, or would load something from outside.
    """
    _check_known(figures, results)
    labels = [task_label(task, results.tasks) for task in _tasks(results)]
    found = {}
    for section in _sections(results):
        declared = [one for one in _figures_of(section) if not (section.by_task and one.by_task)]
        shown = {name: tables[name] for name in _tables_of(section) if name in tables}
        if section.by_task:
            shown = {
                name: without_tasks(table, labels) if falls_into_tasks(table) else table
                for name, table in shown.items()
            }
        found[section.name] = PageSection(section, _groups(declared, figures, results), [*_folded(shown, suffix="")])
    return found


def task_sections(tables: Mapping[str, Table], figures: Mapping[str, Path], results: StudyResults) -> list[TaskSection]:
    """Sections of the tasks, in their order; arguments and errors as for `page_sections`."""
    found = []
    for task in _tasks(results):
        parts = []
        for section in _sections(results):
            if not section.by_task:
                continue
            declared = [one for one in _figures_of(section) if one.by_task]
            of_this = {stem: path for stem, path in figures.items() if _is_of(stem, task, declared)}
            shown = {
                name: of_task(tables[name], task_label(task, results.tasks))
                for name in _tables_of(section)
                if name in tables and falls_into_tasks(tables[name])
            }
            parts.append(
                PageSection(section, _groups(declared, of_this, results), [*_folded(shown, suffix=f"-{task}")])
            )
        if kept := [part for part in parts if not part.is_empty]:
            found.append(TaskSection(task, kept))
    return found


def _tasks(results: StudyResults) -> list[str]:
    return [task for task in task_order(results.tasks) if task in results.tasks]


def _sections(results: StudyResults) -> list[Section]:
    return [one if results.is_beside_paper else one.alone() for one in SECTIONS.values()]


def _figures_of(section: Section) -> list[StudyFigure]:
    return [one for one in all_figures().values() if one.section == section.name]


def _tables_of(section: Section) -> list[str]:
    return [table.name for table in all_tables().values() if table.section == section.name]


def _folded(tables: Mapping[str, Table], suffix: str) -> Iterable[FoldedTable]:
    """Tables that have a row, without their empty columns."""
    for name, table in tables.items():
        if table.rows:
            yield FoldedTable(without_empty_columns(table), all_tables()[name].folded, f"table-{name}{suffix}")


def _is_of(stem: str, task: str, declared: Sequence[StudyFigure]) -> bool:
    return stem.removesuffix(NARROW) in {f"{one.name}_{task}" for one in declared}


def _check_known(figures: Mapping[str, Path], results: StudyResults) -> None:
    known = {stem for figure in all_figures().values() for stem in figure.stems(results.tasks, results.metric)}
    if unknown := sorted(stem for stem in figures if stem.removesuffix(NARROW) not in known):
        raise DataError(f"{figures[unknown[0]]}: expected a figure that is declared, found another; draw them again")


def _groups(declared: Sequence[StudyFigure], figures: Mapping[str, Path], results: StudyResults) -> list[DrawingGroup]:
    drawn = {
        one.name: [stem for stem in one.stems(results.tasks, results.metric) if stem in figures] for one in declared
    }
    groups: list[DrawingGroup] = []
    for small, neighbours in groupby([one for one in declared if drawn[one.name]], lambda one: one.small):
        drawings = [draw(stem, one, figures, results) for one in neighbours for stem in drawn[one.name]]
        found = [one for one in drawings if one is not None]
        groups += [DrawingGroup(found, is_grid=True)] if small and found else [DrawingGroup([one]) for one in found]
    return groups


def without_first(section: PageSection) -> tuple[Drawing | None, PageSection]:
    """The first drawing of a section, if it has one, and the section without it."""
    if not section.groups:
        return None, section
    first, *rest = section.groups[0].drawings
    kept = [replace(section.groups[0], drawings=rest)] if rest else []
    return first, replace(section, groups=[*kept, *section.groups[1:]])
