"""The compared metric on the validation split after each epoch of fine-tuning."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq

from clinical_peft.disclosure.counts import DIGITS, coarse, few
from clinical_peft.figures.marks import mark
from clinical_peft.figures.study_figure import Draw, StudyFigure
from clinical_peft.figures.style import NARROW_WIDTH, legend_below, legend_height, line_style, marker, new_figure, say
from clinical_peft.metrics.metric import Metric
from clinical_peft.metrics.predictions import read_classes
from clinical_peft.tables.form import Labels, in_order, label_of
from clinical_peft.tables.main_comparisons import drawn_labels
from clinical_peft.tables.study_results import StudyResults
from clinical_peft.tables.study_tasks import Tasks, listed_labels, task_label, task_order

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D


def validation_curves(
    histories: Sequence[Mapping[str, Any]],
    labels: Labels,
    output: Path,
    *,
    tasks: Tasks,
    metric: Metric,
    models: Sequence[str] = (),
    is_narrow: bool = False,
) -> None:
    """The compared metric by epoch: a panel per task, a line per model, the mean over its seeds.

    Args:
        histories: One mapping per run: model, task, seed, curve (one mapping per epoch: epoch, counted from 1, and
            `validation_` and the metric's name, a fraction or None where undefined).
        labels: As for `clinical_peft.tables.study_results.StudyResults`.
        output: SVG file to write.
        tasks: The study's tasks.
        metric: The compared metric, in percent.
        models: Other models of the study, without epochs; with them a model has one colour in all figures.
        is_narrow: Whether the panels stand below one another.
    """
    from matplotlib.ticker import MaxNLocator

    shown = [task for task in task_order(tasks) if any(row["task"] == task for row in histories)]
    trained = {row["model"] for row in histories}
    position_of = {model: place for place, model in enumerate(in_order([*models, *trained], labels))}
    drawn = [model for model in position_of if model in trained]
    columns = 1 if is_narrow else min(3, max(1, len(shown)))
    lines = -(-len(shown) // columns)
    legend_columns = 1 if is_narrow else 2
    width = NARROW_WIDTH if is_narrow else max(6.0, 2.9 * columns)
    with new_figure(output, (width, 2.2 * max(1, lines) + legend_height(drawn, legend_columns))) as figure:
        if not shown:
            say(figure, "No model was trained by epochs.")
        panels: Any = figure.subplots(lines, columns, squeeze=False).ravel() if shown else []
        for axes in panels[len(shown) :]:
            axes.set_visible(False)
        for task, axes in zip(shown, panels, strict=False):
            for model in drawn:
                runs = [row for row in histories if (row["model"], row["task"]) == (model, task)]
                for line in _epochs(axes, runs, metric, position_of[model], label_of(model, labels)):
                    mark(line, label_of(model, labels), series=model)
            axes.set(title=task_label(task, tasks), xlabel="epoch", ylabel=f"validation {metric.title} (%)")
            axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        if shown:
            legend_below(figure, panels[0], legend_columns)


def _epochs(
    axes: "Axes", runs: Sequence[Mapping[str, Any]], metric: Metric, position: int, label: str
) -> "list[Line2D]":
    if not runs:
        return axes.plot([], [], label=label, **line_style(position))
    length = min(len(run["curve"]) for run in runs)
    epochs = [point["epoch"] for point in runs[0]["curve"][:length]]
    values = [[point.get(f"validation_{metric.name}") for point in run["curve"][:length]] for run in runs]
    means = 100 * np.array(values, dtype=np.float64).mean(axis=0)
    return axes.plot(epochs, means, marker=marker(position), markersize=3.5, label=label, **line_style(position))


def _drawings(results: StudyResults, *, is_narrow: bool = False) -> dict[str, Draw]:
    histories = [record for record in results.training if all("epoch" in point for point in record["curve"])]
    if not histories:
        return {}
    rare = {task for task in {record["task"] for record in histories} if _has_few(results, task)}
    unsized = {row["task"] for row in results.statistics if row["validation"] is None}
    shown = [
        coarse(record) if record["task"] in rare else coarse(record, DIGITS) if record["task"] in unsized else record
        for record in histories
    ]
    models = [record["model"] for record in results.training]
    return {
        f"validation_{results.metric.name}": lambda output: validation_curves(
            shown,
            drawn_labels(results),
            output,
            tasks=results.tasks,
            models=models,
            metric=results.metric,
            is_narrow=is_narrow,
        )
    }


def _has_few(results: StudyResults, task: str) -> bool:
    """Whether the number of a class in a task's validation split is hidden."""
    if results.tasks[task].multilabel or task not in results.cohorts:
        return False
    table = pq.read_table(results.cohorts[task], columns=["label"], filters=[("split", "=", "validation")])
    labels = table["label"].to_numpy()
    return few(int((labels == label).sum()) for label in range(len(read_classes(results.classes[task]))))


def _caption(results: StudyResults) -> str:
    first = f"{results.metric.title} on the validation split after each epoch of fine-tuning, mean over seeds."
    tasks = results.printed_tasks
    over = {"multiclass": "classes", "multilabel": f"labels that have both kinds of {results.unit}"}
    by_type = {
        kind: [name for name in task_order(tasks) if name in tasks and tasks[name].type == kind] for kind in over
    }
    parts = [
        f"{listed_labels(names, tasks, last=' and ')} over {over[kind]}" for kind, names in by_type.items() if names
    ]
    if not parts:
        return first
    named = next(names for names in by_type.values() if names)
    verb = "is" if len(named) == 1 else "are"
    return f"{first} {', '.join(parts).replace(' over ', f' {verb} averaged over ', 1)}."


FIGURE = StudyFigure(
    name="validation",
    place=4,
    section="curves",
    needs=("training", "cohorts", "classes", "statistics", "comparison"),
    caption=_caption,
    drawings=_drawings,
    narrow=lambda results: _drawings(results, is_narrow=True),
    by_metric=True,
    has_choice=True,
)
