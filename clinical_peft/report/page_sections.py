"""Sections of the report: which tables and figures each shows, in which order, and the figures' drawings."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from markupsafe import Markup

from clinical_peft.errors import DataError
from clinical_peft.figures.registry import all_figures
from clinical_peft.figures.study_figure import StudyFigure
from clinical_peft.tables.form import Table
from clinical_peft.tables.registry import all_tables
from clinical_peft.tables.sections import SECTIONS, Section
from clinical_peft.tables.study_results import StudyResults


@dataclass(frozen=True)
class Drawing:
    """A figure in the page."""

    name: str
    svg: Markup
    caption: str


@dataclass(frozen=True)
class DrawingGroup:
    """Figures that stand side by side, or one alone.

    Attributes:
        drawings: The figures.
        heading: Heading above them, or empty.
        caption: Caption of all of them, or empty where each has its own.
        grid: Class of the grid that they stand in; None for a figure alone.
    """

    drawings: Sequence[Drawing]
    heading: str = ""
    caption: str = ""
    grid: str | None = None


@dataclass(frozen=True)
class FoldedTable:
    """A table in the page, and the line that unfolds it, if it is folded."""

    table: Table
    folded: str


@dataclass(frozen=True)
class PageSection:
    """A section with what it shows of a study."""

    section: Section
    groups: Sequence[DrawingGroup] = field(default=())
    tables: Sequence[FoldedTable] = field(default=())

    @property
    def is_empty(self) -> bool:
        """Whether the study has none of its tables and figures."""
        return not (self.groups or self.tables)


def page_sections(
    tables: Mapping[str, Table], figures: Mapping[str, Path], results: StudyResults
) -> dict[str, PageSection]:
    """Sections by name, in the order of the page.

    Args:
        tables: The study's tables by name.
        figures: Its SVG files by stem.
        results: The study's tasks, metric and perplexities.

    Raises:
        DataError: A figure is missing, not known, or would load something from outside.
    """
    known = {stem for figure in all_figures().values() for stem in figure.stems(results.tasks, results.metric)}
    if unknown := sorted(set(figures) - known):
        raise DataError(f"{figures[unknown[0]]}: expected a figure that is declared, found another; draw them again")
    return {
        name: PageSection(
            section if results.is_beside_paper else section.alone(),
            groups=_groups([one for one in all_figures().values() if one.section == name], figures, results),
            tables=[
                FoldedTable(tables[table.name], table.folded)
                for table in all_tables().values()
                if table.section == name and table.name in tables
            ],
        )
        for name, section in SECTIONS.items()
    }


def _groups(declared: Sequence[StudyFigure], figures: Mapping[str, Path], results: StudyResults) -> list[DrawingGroup]:
    drawn = {
        one.name: [stem for stem in one.stems(results.tasks, results.metric) if stem in figures] for one in declared
    }
    groups = []
    for small, neighbours in groupby([one for one in declared if drawn[one.name]], lambda one: one.small):
        if small:
            together = [
                _drawing(stem, figures, one.captioned(results)) for one in neighbours for stem in drawn[one.name]
            ]
            groups.append(DrawingGroup(together, grid=""))
            continue
        for one in neighbours:
            drawings = [_drawing(stem, figures, one.captioned(results)) for stem in drawn[one.name]]
            shared = {"caption": one.captioned(results), "grid": one.name} if one.by_task else {}
            groups.append(DrawingGroup(drawings, one.heading, **shared))
    return groups


def _drawing(stem: str, figures: Mapping[str, Path], caption: str) -> Drawing:
    return Drawing(stem, _inline_svg(stem, figures[stem]), caption)


def _inline_svg(name: str, path: Path) -> Markup:
    """The drawing without prologue and namespaces (HTML implies them), its ids made unique in the page."""
    if not path.is_file():
        raise DataError(f"{path}: expected the figure {name!r}, found no file")
    text = path.read_text(encoding="utf-8")
    drawing = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", text[text.index("<svg") :])
    drawing = re.sub(r'\bid="', f'id="{name}-', drawing)
    drawing = drawing.replace("url(#", f"url(#{name}-").replace('href="#', f'href="#{name}-')
    if re.search(r"https?:|<script|\son\w+=", drawing):
        raise DataError(f"{path}: expected a drawing without scripts and outside addresses")
    return Markup(drawing)
