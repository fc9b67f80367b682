"""Perplexity of the test notes before and after training each adapter."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from clinical_peft.figures.study_figure import StudyFigure
from clinical_peft.figures.style import (
    COLOURS,
    STYLE,
    log_scale,
    save,
    say,
)
from clinical_peft.tables.form import Labels, in_order, label_of


def perplexity_change(perplexities: Sequence[Mapping[str, Any]], labels: Labels, output: Path) -> None:
    """Test perplexity before and after training, one row per adapter, on a logarithmic axis.

    Args:
        perplexities: Content of the perplexity files.
        labels: As for `clinical_peft.tables.study_results.StudyResults`.
        output: SVG file to write.
    """
    by_name = {row["adapter"]: row for row in perplexities}
    names = in_order(list(by_name), labels)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(5.2, 1.2 + 0.34 * max(2, len(names))), layout="constrained")
        if not names:
            say(figure, "No adapter was trained.")
        else:
            axes = figure.subplots()
            log_scale(axes, "x")
            for place, name in enumerate(names):
                ends = [by_name[name]["perplexity"][when]["test"] for when in ("before", "after")]
                axes.plot(ends, [place, place], color="#999999", linewidth=1.2)
                axes.plot(ends[:1], [place], "o", markerfacecolor="white", color=COLOURS[0], label="before")
                axes.plot(ends[1:], [place], "o", color=COLOURS[0], label="after")
            axes.set_yticks(range(len(names)), [label_of(name, labels) for name in names])
            axes.set_ylim(len(names) - 0.5, -0.5)
            axes.grid(visible=False, axis="y")
            axes.set_xlabel("test perplexity")
            handles, texts = axes.get_legend_handles_labels()
            figure.legend(handles[:2], texts[:2], loc="outside upper right", ncols=2)
        save(figure, output)


FIGURE = StudyFigure(
    name="perplexity_change",
    place=2,
    section="curves",
    needs=("perplexities",),
    caption=(
        "Perplexity of the test notes before (open) and after (filled) training each adapter, on a logarithmic axis."
    ),
    drawings=lambda results: (
        {"perplexity_change": lambda output: perplexity_change(results.perplexities, results.labels, output)}
        if results.perplexities
        else {}
    ),
    small=True,
)
