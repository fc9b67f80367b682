"""Test results by training size: a panel per task, a line per model."""

import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinical_peft.figures.study_figure import StudyFigure
from clinical_peft.figures.style import line_style, marker, new_figure
from clinical_peft.metrics.metric import Metric
from clinical_peft.tables.definitions.training_size import WHOLE, parts_in_order
from clinical_peft.tables.form import Labels, label_of, number
from clinical_peft.tables.study_results import StudyResults
from clinical_peft.tables.study_tasks import Tasks, task_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMNS = 2
PANEL_WIDTH, PANEL_HEIGHT = 4.6, 2.9
LABEL_WIDTH = 26  # characters of a line of a label
LINE_SHARE = 0.062  # of a panel's height that a line of a label takes
DODGE = 0.02  # decades between the bars of two models
BEYOND = 2.0  # where the whole split stands when its size is hidden, in multiples of the largest part

Part = Mapping[str, Any]


def training_size(parts: Sequence[Part], labels: Labels, tasks: Tasks, output: Path, *, metric: Metric) -> None:
    """The compared metric by training rows, with intervals: a panel per task, a line per model, named at its end.

    Args:
        parts: Rows of `clinical_peft.metrics.training_size.measure_training_size`, in order.
        labels: As for `clinical_peft.tables.study_results.StudyResults`.
        tasks: The study's tasks.
        output: SVG file to write.
        metric: The compared metric, in percent.
    """
    names = list(dict.fromkeys(row["task"] for row in parts))
    models = list(dict.fromkeys(row["model"] for row in parts))
    columns = min(COLUMNS, len(names))
    rows = math.ceil(len(names) / columns)
    with new_figure(output, (PANEL_WIDTH * columns, PANEL_HEIGHT * rows)) as figure:
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for task, axes in zip(names, panels, strict=False):
            of_task = [row for row in parts if row["task"] == task]
            ends = {
                model: _line(axes, [row for row in of_task if row["model"] == model], position, len(models), metric)
                for position, model in enumerate(models)
            }
            _axis_of_sizes(axes, of_task)
            axes.set(title=task_label(task, tasks), ylabel=f"test {metric.title} (%)")
            _name_lines(axes, {label_of(model, labels): end for model, end in ends.items() if end}, models, labels)
        for axes in panels[len(names) :]:
            axes.set_visible(False)


def _place(row: Part, parts: Sequence[Part]) -> float:
    """Where a part stands on the axis: at its rows, or the rows asked for where the former are hidden."""
    if row["train_rows"] is not None:
        return float(row["train_rows"])
    if row["size"] is not None:
        return float(row["size"])
    return BEYOND * max((part["size"] for part in parts if part["size"] is not None), default=1)


def _line(
    axes: "Axes", parts: Sequence[Part], position: int, models: int, metric: Metric
) -> tuple[float, float, str] | None:
    """Draw a model's metric by training rows; returns its last point with its colour, None where it has none."""
    style = line_style(position)
    shift = 10 ** (DODGE * (position - (models - 1) / 2))
    points = []
    for row in parts:
        value, interval = row["mean"][metric.name], row["mean"]["interval"]
        if value is None:
            continue
        place = shift * _place(row, parts)
        points.append((place, 100 * value))
        if interval:
            axes.plot([place, place], [100 * end for end in interval], color=style["color"], linewidth=1.0)
    if not points:
        return None
    axes.plot(*zip(*points, strict=True), marker=marker(position), markersize=4, **style)
    return (*points[-1], style["color"])


def _axis_of_sizes(axes: "Axes", parts: Sequence[Part]) -> None:
    """A logarithmic axis with a tick at every size."""
    from matplotlib.ticker import FixedLocator, NullLocator

    ticks = {_place(row, parts): WHOLE if row["size"] is None else number(row["size"]) for row in parts}
    whole = next((row["train_rows"] for row in parts if row["size"] is None), None)
    axes.set(xscale="log", xlabel="training rows" + ("" if whole is None else f" ({WHOLE}: {number(whole)})"))
    axes.xaxis.set_major_locator(FixedLocator(sorted(ticks)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(sorted(ticks), [ticks[place] for place in sorted(ticks)])


def _name_lines(
    axes: "Axes", ends: Mapping[str, tuple[float, float, str]], models: Sequence[str], labels: Labels
) -> None:
    """Write each model's name beside the end of its line, those that would overlap apart."""
    low, high = axes.get_ylim()
    named = sorted(ends.items(), key=lambda item: item[1][1])
    wrapped = [textwrap.wrap(name, LABEL_WIDTH) for name, _ in named]
    heights = [LINE_SHARE * len(lines) for lines in wrapped]
    places = spread_apart([(end[1] - low) / (high - low) for _, end in named], heights)
    for (_, (_, value, colour)), lines, place in zip(named, wrapped, places, strict=True):
        axes.annotate(
            "\n".join(lines),
            xy=(1.0, (value - low) / (high - low)),
            xytext=(1.03, place),
            xycoords="axes fraction",
            textcoords="axes fraction",
            color=colour,
            fontsize=7.5,
            va="center",
            annotation_clip=False,
        )


def spread_apart(places: Sequence[float], heights: Sequence[float]) -> list[float]:
    """Move labels apart that would overlap, upwards from the lowest and then back below the top where there is room.

    Args:
        places: Middle of each label, rising, as a share of the panel's height.
        heights: Height of each.

    Returns:
        Middles in the same order, each at least half of both heights above the one before.
    """
    found: list[float] = []
    for place, height in zip(places, heights, strict=True):
        least = found[-1] + (heights[len(found) - 1] + height) / 2 if found else place
        found.append(max(place, least))
    top = 1.0
    for index in reversed(range(len(found))):
        found[index] = min(found[index], top - heights[index] / 2)
        top = found[index] - heights[index] / 2
    return found


def _drawings(results: StudyResults) -> dict[str, Any]:
    parts = parts_in_order(results)
    if not parts:
        return {}
    return {
        "training_size": lambda output: training_size(
            parts, results.labels, results.tasks, output, metric=results.metric
        ),
    }


FIGURE = StudyFigure(
    name="training_size",
    place=1,
    section="training_size",
    needs=("training_size",),
    caption=(
        "Test {metric} of every model by the number of training rows, on a logarithmic axis. Points are means over "
        "seeds, each of which draws patients of its own to learn from; bars are percentile intervals over "
        "resampled test patients alone. The last point is the study's own run on the whole training split."
    ),
    drawings=_drawings,
)
