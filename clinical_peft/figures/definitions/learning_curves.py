"""Perplexity of the validation notes while each adapter is trained."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from clinical_peft.figures.study_figure import StudyFigure
from clinical_peft.figures.style import (
    STYLE,
    legend_below,
    legend_height,
    line_style,
    log_scale,
    marker,
    save,
    say,
    short_count,
)
from clinical_peft.tables.form import Labels, in_order, label_of


def learning_curves(perplexities: Sequence[Mapping[str, Any]], labels: Labels, output: Path) -> None:
    """Validation perplexity by tokens trained on: a panel per base, a line per adapter.

    Args:
        perplexities: Content of the perplexity files.
        labels: As for `clinical_peft.tables.study_results.StudyResults`.
        output: SVG file to write.
    """
    by_name = {row["adapter"]: row for row in perplexities}
    names = in_order(list(by_name), labels)
    bases = sorted({row["base"] for row in perplexities})
    with matplotlib.rc_context(STYLE):
        size = (max(6.6, 4.2 * len(bases)), 3.1 + legend_height(names))
        figure = Figure(figsize=size, layout="constrained")
        if not bases:
            say(figure, "No adapter was trained.")
        panels: Any = figure.subplots(1, max(1, len(bases)), squeeze=False)[0] if bases else []
        for base, axes in zip(bases, panels, strict=True):
            for position, name in enumerate(names):
                tokens, values = _points(by_name[name]) if by_name[name]["base"] == base else ([], [])
                style = {"marker": marker(position), "markersize": 3.5, **line_style(position)}
                axes.plot(tokens, values, label=label_of(name, labels), **style)
            log_scale(axes, "y")
            axes.set(title=base, xlabel="training tokens", ylabel="validation perplexity")
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short_count(value)))
        if bases:
            legend_below(figure, panels[0])
        save(figure, output)


def _points(row: Mapping[str, Any]) -> tuple[list[float], list[float]]:
    points = [
        (point["tokens"], point["validation_perplexity"])
        for point in row["curve"]
        if point.get("validation_perplexity") is not None
    ]
    before = row["perplexity"]["before"].get("validation")
    if before is not None and (not points or points[0][0] > 0):
        points.insert(0, (0, before))
    return [point[0] for point in points], [point[1] for point in points]


FIGURE = StudyFigure(
    name="learning_curves",
    place=1,
    section="curves",
    needs=("perplexities",),
    caption=(
        "Perplexity of the validation notes while each adapter is trained, by tokens seen. The first point is the "
        "base without the adapter. The axis of perplexity is logarithmic; perplexities of bases with different "
        "tokenizers do not share a unit."
    ),
    drawings=lambda results: (
        {"learning_curves": lambda output: learning_curves(results.perplexities, results.labels, output)}
        if results.perplexities
        else {}
    ),
    small=True,
)
