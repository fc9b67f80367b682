"""How figures look and how they are written: same inputs, same bytes; colours for colour-blind readers.

Matplotlib is imported by what draws: the start of every run reads what figures declare, and draws none.
"""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from clinical_peft.figures.marks import mark_legends, mark_nothing, with_marks
from clinical_peft.files import atomic_path
from clinical_peft.tables.form import one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette without its yellow, which vanishes on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES: tuple[Any, ...] = ("-", (0, (4, 1.5)), (0, (1, 1)), (0, (5, 1, 1, 1)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
GUIDE: dict[str, Any] = {"color": "#555555", "linewidth": 0.8, "linestyle": (0, (2, 2))}
BAND_OPACITY = 0.18
NARROW_WIDTH = 3.85  # inches of a drawing for a narrow screen
LONGEST_NAME = 40  # characters of a class in a legend

STYLE: dict[Any, Any] = {
    "svg.hashsalt": "clinical-peft",
    "svg.fonttype": "none",
    "text.parse_math": False,  # titles and names of classes may hold any character
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "lines.linewidth": 1.5,
}
# Without them matplotlib writes the date, its version and a licence address into the file.
NO_METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}


@contextmanager
def new_figure(
    output: Path, size: tuple[float, float], *, layout: Literal["constrained"] | None = "constrained"
) -> Iterator["Figure"]:
    """Open a figure in this project's style, and write it when the block ends without an error.

    It is written as SVG, whole or not at all, without what would differ between two runs.

    Args:
        output: SVG file to write.
        size: Width and height in inches.
        layout: What places the panels; None if the block does.
    """
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=size, layout=layout)
        yield figure
        with atomic_path(output) as temporary:
            mark_legends(figure)
            text = io.StringIO()
            figure.savefig(text, format="svg", metadata=NO_METADATA)
            temporary.write_text(with_marks(text.getvalue()), encoding="utf-8")


def line_style(position: int) -> dict[str, Any]:
    """Colour and dashes of the line at a position; the dashes change when the colours are used up."""
    return {"color": COLOURS[position % len(COLOURS)], "linestyle": DASHES[position // len(COLOURS) % len(DASHES)]}


def marker(position: int) -> str:
    """Marker of the line at a position."""
    return MARKERS[position % len(MARKERS)]


def legend_below(figure: "Figure", axes: "Axes", columns: int = 2) -> None:
    """Put the legend of one panel below all of them."""
    handles, names = axes.get_legend_handles_labels()
    if handles:
        figure.legend(handles, names, loc="outside lower center", ncols=columns)


def legend_height(names: Sequence[str], columns: int = 2) -> float:
    """Height in inches that `legend_below` takes."""
    return 0.2 * -(-len(names) // columns) + 0.2


def legend_text(name: object) -> str:
    """A name from a user's data as a legend shows it: in one line, not too long, and not hidden by its first character.

    Matplotlib leaves entries out of a legend that begin with an underscore.
    """
    text = one_line(name, LONGEST_NAME)
    return f"\u200b{text}" if text.startswith("_") else text


def say(figure: "Figure", text: str) -> None:
    """Write a sentence where a figure would be empty."""
    mark_nothing(figure.text(0.5, 0.5, text, ha="center", va="center"))


def log_scale(axes: "Axes", which: str, *, subdivided: bool = True) -> None:
    """Make an axis logarithmic, with plain numbers.

    Args:
        axes: Panel to change.
        which: `x` or `y`.
        subdivided: Whether numbers between the powers of ten are printed, for an axis that spans few of them.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set(**{f"{which}scale": "log"})
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if subdivided else (1.0,)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: short_count(value)))
    axis.set_minor_formatter(NullFormatter())


def short_count(value: float) -> str:
    """A count in thousands (k), millions (M) or billions (B)."""
    for size, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"
