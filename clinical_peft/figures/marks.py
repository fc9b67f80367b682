"""Marks of a drawing: parts that readers point at, which say what they show, and lines that they choose between.

A mark is an SVG group with a `title`, which every browser shows beside the pointer and a screen reader reads. A line of
a model is also a series: its group names the model, so that a page can show some lines and hide others. The drawing is
complete without any script.
"""

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from markupsafe import escape

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Matplotlib writes an artist's gid as the id of its group; this one is replaced when the file is written.
_MARK, _LEGEND, _NOTHING = "mark", "legend", "nothing"
NOTHING = '<g class="nothing">'
"""Stands in a drawing that only says why it is empty."""
_WRITTEN = re.compile(r'<g id="(mark|legend|nothing)!([^"!]*)!([^"!]*)">')


def mark(artist: Any, title: str = "", *, series: str = "") -> None:
    """Make an artist a mark.

    Args:
        artist: Any artist of matplotlib.
        title: What it says; empty for a part of a series that says nothing.
        series: Model or adapter whose line it is part of; empty for none.
    """
    artist.set_gid(f"{_MARK}!{quote(series, safe='')}!{quote(title, safe='')}")


def mark_nothing(artist: Any) -> None:
    """Mark a sentence that stands where a figure would be empty."""
    artist.set_gid(f"{_NOTHING}!!")


def mark_legends(figure: "Figure") -> None:
    """Mark the legends below the panels of a figure, with the share of its height that they take.

    A page that offers the lines to choose from names them itself, and cuts the legend off.
    """
    if figure.legends:
        figure.draw_without_rendering()
    for legend in figure.legends:
        top = legend.get_window_extent().y1 / figure.bbox.height
        legend.set_gid(f"{_LEGEND}!{top:.4f}!")


def with_marks(svg: str) -> str:
    """The text of a drawing with its marks as a browser reads them."""
    return _WRITTEN.sub(_group, svg)


def _group(found: re.Match[str]) -> str:
    kind, first, second = found[1], unquote(found[2]), unquote(found[3])
    if kind == _NOTHING:
        return NOTHING
    if kind == _LEGEND:
        return f'<g class="legend" data-height="{first}">'
    series = f' data-series="{escape(first)}"' if first else ""
    title = f"<title>{escape(second)}</title>" if second else ""
    return f'<g class="mark"{series}>{title}'
