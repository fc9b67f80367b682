"""What each adapter costs: perplexity after training against parameters and time."""

from collections.abc import Sequence
from pathlib import Path

from clinical_peft.figures.adapter_drawing import adapter_drawings, adapter_figure
from clinical_peft.figures.study_figure import StudyFigure
from clinical_peft.figures.style import legend_below, legend_height, line_style, log_scale, marker
from clinical_peft.tables.adapter_records import AdapterFile
from clinical_peft.tables.form import Labels, label_of


def perplexity_cost(adapters: Sequence[AdapterFile], labels: Labels, output: Path) -> None:
    """Test perplexity after training against trainable parameters and against training time, a point per adapter.

    Args:
        adapters: Perplexity files in the order of drawing.
        labels: As for `clinical_peft.tables.study_results.StudyResults`.
        output: SVG file to write.
    """
    with adapter_figure(adapters, (7.4, 3.1 + legend_height([one.adapter for one in adapters])), output) as figure:
        if not adapters:
            return
        parameters, seconds = figure.subplots(1, 2, sharey=True)
        for position, one in enumerate(adapters):
            style = {"marker": marker(position), "markersize": 7, "color": line_style(position)["color"]}
            label, after = label_of(one.adapter, labels), one.perplexity.after["test"]
            for axes, cost in ((parameters, one.trainable_parameters), (seconds, one.seconds)):
                axes.plot([cost], [after], linestyle="", **style, label=label)
        for axes, title in ((parameters, "trainable parameters"), (seconds, "training time (s)")):
            low, high = axes.dataLim.intervalx
            axes.margins(x=0.15)
            log_scale(axes, "x", subdivided=bool(high < 10 * low))
            axes.set_xlabel(title)
        parameters.set_ylabel("test perplexity")
        parameters.margins(y=0.1)
        log_scale(parameters, "y")
        legend_below(figure, parameters)


FIGURE = StudyFigure(
    name="perplexity_cost",
    place=3,
    section="adaptation",
    needs=("perplexities",),
    caption=(
        "What each adapter costs: perplexity of the test notes after training, against the parameters that it trains "
        "and against the time that its training took. Lower and further to the left is better; the axes are "
        "logarithmic."
    ),
    drawings=adapter_drawings("perplexity_cost", perplexity_cost, of_training=True),
    small=True,
)
