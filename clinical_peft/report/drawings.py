"""Drawings in the page: their SVG made fit to stand in it, and the lines that readers choose between."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from clinical_peft.errors import DataError
from clinical_peft.figures.marks import NOTHING
from clinical_peft.figures.study_figure import NARROW, StudyFigure
from clinical_peft.tables.form import label_of
from clinical_peft.tables.main_comparisons import compared_models
from clinical_peft.tables.study_results import StudyResults

MOST_AT_ONCE = 4
"""Lines that readers see at once where they choose."""
_SERIES = re.compile(r'<g class="mark" data-series="([^"]*)">')
_STROKE = re.compile(r"stroke: (#\w{6})")
_DASHES = re.compile(r"stroke-dasharray: ([\d., ]+)")
_LEGEND = re.compile(r'<g class="legend" data-height="([\d.]+)">')
_HEIGHT = re.compile(r'(<svg\b[^>]*?\bheight=")([\d.]+)(pt")')
_VIEW = re.compile(r'(<svg\b[^>]*?\bviewBox="0 0 [\d.]+ )([\d.]+)(")')
_TAG = re.compile(r"<[^>]*>")


@dataclass(frozen=True)
class Series:
    """A line that readers may choose: its model or adapter, label and look, and whether it is shown at first."""

    name: str
    label: str
    colour: str
    dashes: str
    is_on: bool


@dataclass(frozen=True)
class Drawing:
    """A figure in the page.

    Attributes:
        name: Its stem.
        svg: The drawing.
        narrow: The drawing for a narrow screen; None where there is no other.
        caption: What it shows.
        folded: Line that unfolds it, or empty.
        series: Lines to choose between; none where readers see all.
    """

    name: str
    svg: Markup
    narrow: Markup | None
    caption: str
    folded: str = ""
    series: Sequence[Series] = ()


def draw(stem: str, figure: StudyFigure, figures: Mapping[str, Path], results: StudyResults) -> Drawing | None:
    """Put a figure's SVG file into the page; None for one that only says why it is empty.

    Args:
        stem: The file's stem.
        figure: What the figure declares.
        figures: SVG files by stem.
        results: The study's labels and comparison.

    Raises:
        DataError: The file is missing, or would load something from outside.
    """
    text = _read(stem, figures[stem])
    if NOTHING in text:
        return None
    series = _series(text, results) if figure.has_choice else []
    shown = {one.name for one in series if one.is_on} if len(series) > 1 else None
    narrow = f"{stem}{NARROW}"
    return Drawing(
        name=stem,
        svg=_fit(stem, text, shown),
        narrow=_fit(f"{stem}-narrow", _read(narrow, figures[narrow]), shown) if narrow in figures else None,
        caption=figure.captioned(results),
        folded=figure.folded,
        series=series if len(series) > 1 else (),
    )


def _read(name: str, path: Path) -> str:
    """The drawing without prologue and namespaces, which HTML implies."""
    if not path.is_file():
        raise DataError(f"{path}: expected the figure {name!r}, found no file")
    text = path.read_text(encoding="utf-8")
    drawing = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", text[text.index("<svg") :])
    tags = " ".join(_TAG.findall(drawing))
    if re.search(r"https?:|<script|\son\w+=", tags):
        raise DataError(f"{path}: expected a drawing without scripts and outside addresses")
    return drawing


def _series(drawing: str, results: StudyResults) -> list[Series]:
    """The lines of a drawing, in its order; at first readers see the models of the answers, else the first ones."""
    looks: dict[str, tuple[str, str]] = {}
    for found in _SERIES.finditer(drawing):
        name = Markup(found[1]).unescape()
        part = drawing[found.end() : drawing.index("</g>", found.end())]
        if name not in looks and (stroke := _STROKE.search(part)):
            dashes = _DASHES.search(part)
            looks[name] = (stroke[1], dashes[1].strip() if dashes else "")
    names = [*looks]
    on = [name for name in compared_models(results) if name in looks] or names[:MOST_AT_ONCE]
    return [Series(name, label_of(name, results.labels), *looks[name], name in on) for name in names]


def _fit(name: str, drawing: str, shown: Collection[str] | None) -> Markup:
    """The drawing with ids that no other in the page has, without the lines and the legend that readers do not see."""
    drawing = re.sub(r'\bid="', f'id="{name}-', drawing)
    drawing = drawing.replace("url(#", f"url(#{name}-").replace('href="#', f'href="#{name}-')
    if shown is not None:
        drawing = _SERIES.sub(lambda found: _switched(found, shown), drawing)
        if legend := _LEGEND.search(drawing):
            share = float(legend[1])
            for size in (_HEIGHT, _VIEW):
                drawing = size.sub(lambda found: _without_legend(found, share), drawing, count=1)
    return Markup(drawing)


def _switched(found: re.Match[str], shown: Collection[str]) -> str:
    is_shown = Markup(found[1]).unescape() in shown
    return found[0] if is_shown else f'<g class="mark off" data-series="{found[1]}">'


def _without_legend(found: re.Match[str], share: float) -> str:
    """A height of a drawing whose legend, at its lower edge, is cut off."""
    return f"{found[1]}{float(found[2]) * (1 - share):.2f}{found[3]}"
