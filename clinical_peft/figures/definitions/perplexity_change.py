"""Perplexity of the test notes before and after training each adapter."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from clinical_peft.figures.adapter_drawing import adapter_drawings, adapter_figure
from clinical_peft.figures.study_figure import StudyFigure
from clinical_peft.figures.style import COLOURS, log_scale
from clinical_peft.tables.adapter_records import AdapterFile
from clinical_peft.tables.form import Labels, label_of


def perplexity_change(adapters: Sequence[AdapterFile], labels: Labels, output: Path) -> None:
    """Test perplexity before and after training, one row per adapter, on a logarithmic axis.

    Args:
        adapters: Perplexity files in the order of drawing.
        labels: As for `clinical_peft.tables.study_results.StudyResults`.
        output: SVG file to write.
    """
    with adapter_figure(adapters, (5.2, 1.2 + 0.34 * max(2, len(adapters))), output) as figure:
        if not adapters:
            return
        axes = figure.subplots()
        log_scale(axes, "x")
        for place, one in enumerate(adapters):
            ends: list[Any] = [split["test"] for split in (one.perplexity.before, one.perplexity.after)]
            axes.plot(ends, [place, place], color="#999999", linewidth=1.2)
            axes.plot(ends[:1], [place], "o", markerfacecolor="white", color=COLOURS[0], label="before")
            axes.plot(ends[1:], [place], "o", color=COLOURS[0], label="after")
        axes.set_yticks(range(len(adapters)), [label_of(one.adapter, labels) for one in adapters])
        axes.set_ylim(len(adapters) - 0.5, -0.5)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("test perplexity")
        handles, texts = axes.get_legend_handles_labels()
        figure.legend(handles[:2], texts[:2], loc="outside upper right", ncols=2)


FIGURE = StudyFigure(
    name="perplexity_change",
    place=2,
    section="adaptation",
    needs=("perplexities",),
    caption=(
        "Perplexity of the test notes before (open) and after (filled) training each adapter, on a logarithmic axis."
    ),
    drawings=adapter_drawings("perplexity_change", perplexity_change),
    small=True,
)
