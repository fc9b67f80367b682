"""What each adapter costs: perplexity after training against parameters and time."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

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
)
from clinical_peft.tables.form import Labels, in_order, label_of


def perplexity_cost(perplexities: Sequence[Mapping[str, Any]], labels: Labels, output: Path) -> None:
    """Test perplexity after training against trainable parameters and against training time, a point per adapter.

    Args:
        perplexities: Content of the perplexity files.
        labels: As for `clinical_peft.tables.study_results.StudyResults`.
        output: SVG file to write.
    """
    by_name = {row["adapter"]: row for row in perplexities}
    names = in_order(list(by_name), labels)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.4, 3.1 + legend_height(names)), layout="constrained")
        if not names:
            say(figure, "No adapter was trained.")
            save(figure, output)
            return
        parameters, seconds = figure.subplots(1, 2, sharey=True)
        for position, name in enumerate(names):
            row = by_name[name]
            style = {"marker": marker(position), "markersize": 7, "color": line_style(position)["color"]}
            for axes, cost in ((parameters, row["trainable_parameters"]), (seconds, row["seconds"])):
                axes.plot(
                    [cost], [row["perplexity"]["after"]["test"]], linestyle="", **style, label=label_of(name, labels)
                )
        for axes, title in ((parameters, "trainable parameters"), (seconds, "training time (s)")):
            low, high = axes.dataLim.intervalx
            axes.margins(x=0.15)
            log_scale(axes, "x", subdivided=bool(high < 10 * low))
            axes.set_xlabel(title)
        parameters.set_ylabel("test perplexity")
        parameters.margins(y=0.1)
        log_scale(parameters, "y")
        legend_below(figure, parameters)
        save(figure, output)


FIGURE = StudyFigure(
    name="perplexity_cost",
    place=3,
    section="curves",
    needs=("perplexities",),
    caption=(
        "What each adapter costs: perplexity of the test notes after training, against the parameters that it trains "
        "and against the time that its training took. Lower and further to the left is better; the axes are "
        "logarithmic."
    ),
    drawings=lambda results: (
        {"perplexity_cost": lambda output: perplexity_cost(results.perplexities, results.labels, output)}
        if results.perplexities
        else {}
    ),
    small=True,
)
