"""Test results of every model: a panel per task, with intervals."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinical_peft.figures.marks import mark
from clinical_peft.figures.study_figure import Draw, StudyFigure
from clinical_peft.figures.style import COLOURS, GUIDE, NARROW_WIDTH, new_figure, say
from clinical_peft.metrics.aggregate import MACRO
from clinical_peft.metrics.metric import Metric
from clinical_peft.tables.form import Labels, counted, in_order, label_of, number
from clinical_peft.tables.main_comparisons import compared_models
from clinical_peft.tables.study_results import StudyResults
from clinical_peft.tables.study_tasks import Tasks, task_label, task_order

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

OTHERS = "#6b6b6b"
LABEL_WIDTH = 32  # characters of a line of a label
NARROW_ROW, NARROW_GAP = 0.14, 0.45  # inches, and rows
NARROW_LABEL = 13
MOST_NARROW = 4  # models of the narrow figure where none are compared


@dataclass(frozen=True)
class Results:
    """What the figure shows.

    Attributes:
        found: Summary by model and task.
        labels: As for `clinical_peft.tables.study_results.StudyResults`.
        tasks: The study's tasks.
        metric: The compared metric, in percent.
        level: Coverage of the intervals.
        compared: Models in colour, at most as many as there are colours; the others are grey.
    """

    found: Mapping[tuple[str, str], Mapping[str, Any]]
    labels: Labels
    tasks: Tasks
    metric: Metric
    level: float
    compared: Sequence[str] = ()

    @property
    def models(self) -> list[str]:
        """All models in order."""
        return in_order([model for model, _ in self.found], self.labels)

    @property
    def shown_tasks(self) -> list[str]:
        """Tasks with a result, the macro average first."""
        order = sorted(task_order(self.tasks), key=lambda task: task != MACRO)
        return [task for task in order if any(key[1] == task for key in self.found)]

    def colour(self, model: str) -> str:
        """Colour of a model."""
        if not self.compared:
            return COLOURS[0]
        return COLOURS[self.compared.index(model)] if model in self.compared else OTHERS

    def describe(self, model: str, task: str) -> str:
        """What a point says: the model, its result with interval, and what it rests on."""
        row = self.found[model, task]
        interval = "" if not row["interval"] else " [{:.1f}, {:.1f}]".format(*(100 * end for end in row["interval"]))
        value = number(100 * row[self.metric.name], 1)
        size = f", n = {row['n']:,}" if row.get("n") else ""
        return (
            f"{label_of(model, self.labels)}\n{task_label(task, self.tasks)}: {self.metric.title} {value} %{interval}"
            f"{size}, {counted(row['seeds'], 'seed')}"
        )

    def has_value(self, model: str, task: str) -> bool:
        """Whether a model has a defined result on a task."""
        row = self.found.get((model, task))
        return row is not None and row[self.metric.name] is not None


def downstream_results(results: Results, output: Path) -> None:
    """Test results of every model: a panel per task and macro average, a row per model, with intervals.

    Args:
        results: What to draw.
        output: SVG file to write.
    """
    from matplotlib.ticker import MaxNLocator

    models, shown = results.models, results.shown_tasks
    names = [textwrap.fill(label_of(model, results.labels), LABEL_WIDTH) for model in models]
    longest = max((len(line) for name in names for line in name.split("\n")), default=0)
    lines = sum(name.count("\n") + 1 for name in names)
    size = (0.5 + 0.07 * longest + 1.2 * len(shown), 1.0 + 0.16 * len(models) + 0.14 * lines)
    with new_figure(output, (max(size[0], 5.0), size[1])) as figure:
        if not shown:
            say(figure, "No model was fine-tuned.")
            return
        panels = figure.subplots(1, len(shown), sharey=True, sharex=True, squeeze=False)[0]
        for task, axes in zip(shown, panels, strict=True):
            for place, model in enumerate(models):
                _draw_point(axes, results, model, task, place)
            title = task_label(task, results.tasks).replace(" ", "\n")
            axes.set_title(title, fontweight="bold" if task == MACRO else "normal")
            axes.xaxis.set_major_locator(MaxNLocator(3, integer=True))
        panels[0].set_yticks(range(len(models)), names)
        for text, model in zip(panels[0].get_yticklabels(), models, strict=True):
            text.set_color(results.colour(model) if results.compared else "black")
            text.set_fontweight("bold" if model in results.compared else "normal")
        panels[0].set_ylim(len(models) - 0.5, -0.5)
        _name_axis(figure, results)


def narrow_results(results: Results, output: Path) -> None:
    """The compared models alone, task by task below one another, for a narrow screen.

    Args:
        results: What to draw.
        output: SVG file to write.
    """
    models = list(results.compared) or results.models[:MOST_NARROW]
    shown = [task for task in results.shown_tasks if any(results.has_value(model, task) for model in models)]
    step = len(models) + NARROW_GAP
    height = 0.75 + 0.16 * len(models) + NARROW_ROW * step * max(1, len(shown))
    with new_figure(output, (NARROW_WIDTH, height)) as figure:
        if not shown:
            say(figure, "No model was fine-tuned.")
            return
        axes = figure.subplots()
        for place, task in enumerate(shown):
            for row, model in enumerate(models):
                _draw_point(axes, results, model, task, place * step + row)
        middles = [place * step + (len(models) - 1) / 2 for place in range(len(shown))]
        axes.set_yticks(middles, [textwrap.fill(task_label(task, results.tasks), NARROW_LABEL) for task in shown])
        for text, task in zip(axes.get_yticklabels(), shown, strict=True):
            text.set_fontweight("bold" if task == MACRO else "normal")
        axes.set_ylim(len(shown) * step - NARROW_GAP - 0.3, -0.7)
        axes.tick_params(axis="y", length=0)
        for model in models:
            axes.plot([], [], marker="o", color=results.colour(model), label=label_of(model, results.labels))
        figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left", fontsize=8, borderpad=0)
        _name_axis(figure, results)


def _draw_point(axes: "Axes", results: Results, model: str, task: str, place: float) -> None:
    """A model's result in its row, with an area as high as the row that says what it is."""
    axes.grid(visible=False, axis="y")
    if results.metric.chance is not None and not axes.lines:
        axes.axvline(100 * results.metric.chance, **GUIDE)
    if not results.has_value(model, task):
        return
    row, colour = results.found[model, task], results.colour(model)
    if row["interval"]:
        axes.plot([100 * end for end in row["interval"]], [place, place], color=colour, linewidth=1.8)
    axes.plot([100 * row[results.metric.name]], [place], marker="o", markersize=4.8, color=colour)
    mark(axes.axhspan(place - 0.5, place + 0.5, alpha=0), results.describe(model, task))


def _name_axis(figure: "Figure", results: Results) -> None:
    chance = "" if results.metric.chance is None else "; dashed: chance"
    figure.supxlabel(f"test {results.metric.title} (%), {results.level:.0%} interval{chance}", fontsize=9)


def _caption(results: StudyResults) -> str:
    chance = "" if results.metric.chance is None else " Dashed: chance."
    is_coloured = bool(results.comparison) and bool(compared_models(results))
    return (
        f"Test {results.metric.title} of every model: means over seeds with bootstrap intervals over patients; seed "
        f"variation is not included.{' In colour: the models of the answers.' if is_coloured else ''}{chance}"
    )


def _drawings(results: StudyResults, draw: Any = downstream_results) -> dict[str, Draw]:
    if not results.comparison["summaries"]:
        return {}
    shown = Results(
        found={(row["model"], row["task"]): row for row in results.comparison["summaries"]},
        labels=results.labels,
        tasks=results.tasks,
        metric=results.metric,
        level=results.comparison["level"],
        compared=compared_models(results),
    )
    return {f"downstream_{results.metric.name}": lambda output: draw(shown, output)}


FIGURE = StudyFigure(
    name="downstream",
    place=1,
    section="result",
    needs=("comparison",),
    caption=_caption,
    drawings=_drawings,
    narrow=lambda results: _drawings(results, narrow_results),
    by_metric=True,
)
