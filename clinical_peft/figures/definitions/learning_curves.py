"""Perplexity of the validation notes while each adapter is trained."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from clinical_peft.figures.adapter_drawing import adapter_drawings, adapter_figure
from clinical_peft.figures.marks import mark
from clinical_peft.figures.study_figure import StudyFigure
from clinical_peft.figures.style import legend_below, legend_height, line_style, log_scale, marker, short_count
from clinical_peft.tables.adapter_records import AdapterFile
from clinical_peft.tables.form import Labels, label_of


def learning_curves(adapters: Sequence[AdapterFile], labels: Labels, output: Path) -> None:
    """Validation perplexity by tokens trained on: a panel per base, a line per adapter.

    Args:
        adapters: Perplexity files in the order of drawing.
        labels: As for `clinical_peft.tables.study_results.StudyResults`.
        output: SVG file to write.
    """
    from matplotlib.ticker import FuncFormatter

    bases = sorted({one.base for one in adapters})
    size = (max(6.6, 4.2 * len(bases)), 3.1 + legend_height([one.adapter for one in adapters]))
    with adapter_figure(adapters, size, output) as figure:
        panels: Any = figure.subplots(1, len(bases), squeeze=False)[0] if bases else []
        for base, axes in zip(bases, panels, strict=True):
            for position, one in enumerate(adapters):
                tokens, values = _points(one) if one.base == base else ([], [])
                style = {"marker": marker(position), "markersize": 3.5, **line_style(position)}
                label = label_of(one.adapter, labels)
                title = f"{label}\n{short_count(one.trainable_parameters)} trained parameters"
                for line in axes.plot(tokens, values, label=label, **style):
                    mark(line, title, series=one.adapter)
            log_scale(axes, "y")
            axes.set(title=base, xlabel="training tokens", ylabel="validation perplexity")
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short_count(value)))
        if bases:
            legend_below(figure, panels[0])


def _points(adapter: AdapterFile) -> tuple[list[float], list[float]]:
    points: list[tuple[float, float]] = [
        (point.tokens, point.validation_perplexity)
        for point in adapter.curve
        if point.validation_perplexity is not None
    ]
    before = adapter.perplexity.before.get("validation")
    if before is not None and (not points or points[0][0] > 0):
        points.insert(0, (0, before))
    return [point[0] for point in points], [point[1] for point in points]


FIGURE = StudyFigure(
    name="learning_curves",
    place=1,
    section="adaptation",
    needs=("perplexities",),
    caption=(
        "Perplexity of the validation notes while each adapter is trained, by tokens seen. The first point is the "
        "base without the adapter. The axis of perplexity is logarithmic; perplexities of bases with different "
        "tokenizers do not share a unit."
    ),
    drawings=adapter_drawings("learning_curves", learning_curves, of_training=True),
    small=True,
    has_choice=True,
)
