"""Test results of every model: a panel per task, with intervals."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinical_peft.figures.study_figure import Draw, StudyFigure
from clinical_peft.figures.style import COLOURS, GUIDE, new_figure, say
from clinical_peft.metrics.aggregate import MACRO
from clinical_peft.metrics.metric import Metric
from clinical_peft.tables.form import Labels, in_order, label_of
from clinical_peft.tables.study_results import StudyResults
from clinical_peft.tables.study_tasks import Tasks, task_label, task_order

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def downstream_results(
    aggregate: Mapping[str, Any], labels: Labels, output: Path, *, tasks: Tasks, metric: Metric
) -> None:
    """Test results of every model: a panel per task and macro average, a row per model, with intervals.

    Args:
        aggregate: What `clinical_peft.metrics.aggregate.aggregate` returned.
        labels: As for `clinical_peft.tables.study_results.StudyResults`.
        output: SVG file to write.
        tasks: The study's tasks.
        metric: The compared metric, in percent.
    """
    from matplotlib.ticker import MaxNLocator

    found = {(row["model"], row["task"]): row for row in aggregate["summaries"]}
    models = in_order([model for model, _ in found], labels)
    shown = [task for task in task_order(tasks) if any(key[1] == task for key in found)]
    longest = max((len(label_of(model, labels)) for model in models), default=0)
    size = (0.5 + 0.066 * longest + 1.2 * len(shown), 1.1 + 0.32 * len(models))
    with new_figure(output, size) as figure:
        if not shown:
            say(figure, "No model was fine-tuned.")
            return
        panels = figure.subplots(1, len(shown), sharey=True, sharex=True, squeeze=False)[0]
        for task, axes in zip(shown, panels, strict=True):
            if metric.chance is not None:
                axes.axvline(100 * metric.chance, **GUIDE)
            for place, model in enumerate(models):
                if (row := found.get((model, task))) is not None and row[metric.name] is not None:
                    is_control = task != MACRO and tasks[task].is_control
                    _interval_point(axes, row, place, metric, "#777777" if is_control else COLOURS[0])
            title = task_label(task, tasks).replace(" ", "\n")
            axes.set_title(title, fontweight="bold" if task == MACRO else "normal")
            axes.grid(visible=False, axis="y")
            axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        panels[0].set_yticks(range(len(models)), [label_of(model, labels) for model in models])
        panels[0].set_ylim(len(models) - 0.5, -0.5)
        figure.supxlabel(
            f"{metric.title} (%), {aggregate['level']:.0%} interval over patients alone, not seeds"
            f"{'' if metric.chance is None else '; dashed: chance'}",
            fontsize=9,
        )


def _interval_point(axes: "Axes", row: Mapping[str, Any], place: int, metric: Metric, colour: str) -> None:
    if row["interval"]:
        axes.plot([100 * end for end in row["interval"]], [place, place], color=colour, linewidth=1.6)
    axes.plot([100 * row[metric.name]], [place], marker="o", markersize=4.5, color=colour)


def _caption(results: StudyResults) -> str:
    chance = "" if results.metric.chance is None else "; the dashed line is chance"
    return (
        f"Test {results.metric.title} of every model on every task, with the macro average where there are several "
        "and the signal-free control where the study has one. Points are means over seeds, bars percentile intervals "
        f"of a bootstrap over patients alone, which leave out what another seed would change{chance}."
    )


def _drawings(results: StudyResults) -> dict[str, Draw]:
    if not results.comparison["summaries"]:
        return {}
    return {
        f"downstream_{results.metric.name}": lambda output: downstream_results(
            results.comparison, results.labels, output, tasks=results.tasks, metric=results.metric
        )
    }


FIGURE = StudyFigure(
    name="downstream",
    place=1,
    section="result",
    needs=("comparison",),
    caption=_caption,
    drawings=_drawings,
    by_metric=True,
)
