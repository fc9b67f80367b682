"""What the drawings of adapters share: the adapters in their order, the frame of a figure, and when it is drawn."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from clinical_peft.figures.study_figure import Draw
from clinical_peft.figures.style import new_figure, say
from clinical_peft.tables.adapter_records import AdapterFile
from clinical_peft.tables.form import Labels
from clinical_peft.tables.study_results import StudyResults

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DrawAdapters = Callable[[Sequence[AdapterFile], Labels, Path], None]


@contextmanager
def adapter_figure(adapters: Sequence[AdapterFile], size: tuple[float, float], output: Path) -> Iterator["Figure"]:
    """Open a figure of adapters, and write it at the end; without an adapter it says so.

    Args:
        adapters: The adapters, in the order of drawing.
        size: Width and height in inches.
        output: SVG file to write.
    """
    with new_figure(output, size) as figure:
        if not adapters:
            say(figure, "No adapter was trained.")
        yield figure


def adapter_drawings(
    stem: str, draw: DrawAdapters, *, of_training: bool = False
) -> Callable[[StudyResults], Mapping[str, Draw]]:
    """Declare the drawing of a figure that every study with adapters has.

    Args:
        stem: File stem.
        draw: From adapters and labels to an SVG file.
        of_training: Whether it is of adapters that the study trained alone.
    """

    def drawings(results: StudyResults) -> dict[str, Draw]:
        adapters = [one for one in results.adapters if one.trained or not of_training]
        return {stem: lambda output: draw(adapters, results.labels, output)} if adapters else {}

    return drawings
