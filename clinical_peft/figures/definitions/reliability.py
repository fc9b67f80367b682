"""Observed share of outcomes by predicted risk."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clinical_peft.figures.marks import mark
from clinical_peft.figures.study_figure import Draw, StudyFigure
from clinical_peft.figures.style import GUIDE, NARROW_WIDTH, legend_below, legend_height, line_style, marker, new_figure
from clinical_peft.tables.form import Labels, in_order, label_of
from clinical_peft.tables.study_results import StudyResults
from clinical_peft.tasks import Task

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LABEL_WIDTH = 26  # characters of a line of a title
TICKS = (0, 0.5, 1)
PANELS = {"raw": "scores as they are", "temperature": "at one temperature", "isotonic": "after isotonic regression"}


@dataclass(frozen=True)
class Reliability:
    """One model's bins of predicted risk, by rising risk; B bins.

    Attributes:
        predicted: Mean score of each bin, fractions of shape (B,).
        observed: Share of outcomes in each bin, fractions of shape (B,).
        interval: Lower and upper end of `observed`, of shape (2, B), or None.
    """

    predicted: np.ndarray
    observed: np.ndarray
    interval: np.ndarray | None = None


def reliability_of(runs: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Reliability]]:
    """Bins of each model, pooled over its seeds, by panel and model.

    Args:
        runs: Of one task, runs of `clinical_peft.metrics.calibrate.calibrate`, by model and seed.
    """
    by_model: dict[str, list[Mapping[str, Any]]] = {}
    for run in runs:
        by_model.setdefault(run["model"], []).append(run["reliability"])
    return {
        panel: {
            model: _pooled([seed[scores] for seed in seeds])
            for model, seeds in by_model.items()
            if any(seed[scores] for seed in seeds)
        }
        for scores, panel in PANELS.items()
    }


def _pooled(seeds: Sequence[Sequence[Mapping[str, Any]]]) -> Reliability:
    """The bins of all seeds by rising score, neighbours joined into as many bins as one seed has at most.

    A joined bin holds means weighted by the number of pairs; so are the ends of its interval, since the seeds predict
    the same patients.
    """
    found = sorted((one for seed in seeds for one in seed), key=lambda one: float(one["mean_score"]))
    pairs = np.array([one["pairs"] for one in found], dtype=np.float64)
    if len(seeds) == 1:
        place = np.arange(len(found))
    else:
        most = max(len(seed) for seed in seeds)
        place = np.floor(most * (np.cumsum(pairs) - pairs / 2) / pairs.sum()).astype(np.int64)
    known = all(one["interval"] is not None for one in found)
    columns = np.array([[one["mean_score"], one["observed"], *(one["interval"] if known else ())] for one in found])
    means = np.stack(
        [np.average(columns[place == index], axis=0, weights=pairs[place == index]) for index in np.unique(place)]
    )
    return Reliability(means[:, 0], means[:, 1], means[:, 2:].T if known else None)


def reliability_diagram(
    task: Task,
    panels: Mapping[str, Mapping[str, Reliability]],
    labels: Labels,
    output: Path,
    *,
    is_narrow: bool = False,
) -> None:
    """Observed share of outcomes against predicted risk, a panel per model; on the diagonal a score is right.

    Args:
        task: The task.
        panels: Bins by kind of score and model.
        labels: As for `clinical_peft.tables.study_results.StudyResults`.
        output: SVG file to write.
        is_narrow: Whether it is for a narrow screen.
    """
    names = in_order([name for models in panels.values() for name in models], labels)
    most, width = (2, NARROW_WIDTH / 2) if is_narrow else (4, 2.3)
    columns = min(most, max(1, len(names)))
    rows = max(1, -(-len(names) // columns))
    legend_columns = 1 if is_narrow else len(panels)
    height = (width + 0.35) * rows + 0.25 + legend_height([*panels], legend_columns)
    with new_figure(output, (max(width * columns, NARROW_WIDTH), height)) as figure:
        axes_of_all: Any = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
        for axes in axes_of_all[len(names) :]:
            axes.set_visible(False)
        for axes, name in zip(axes_of_all, names, strict=False):
            axes.plot([0, 1], [0, 1], **GUIDE)
            for position, (panel, models) in enumerate(panels.items()):
                if name in models:
                    _draw_bins(axes, models[name], position, panel, label_of(name, labels))
                else:
                    axes.plot([], [], label=panel, marker=marker(position), markersize=4, **line_style(position))
            axes.set_title(textwrap.fill(label_of(name, labels), LABEL_WIDTH), fontsize=8)
            axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xticks=TICKS, yticks=TICKS)
        figure.supxlabel(f"{task.short}: predicted risk", fontsize=9)
        figure.supylabel("observed share", fontsize=9)
        if names:
            legend_below(figure, axes_of_all[0], legend_columns)


def _draw_bins(axes: "Axes", bins: Reliability, position: int, panel: str, label: str) -> None:
    style = {"marker": marker(position), "markersize": 4, **line_style(position)}
    (line,) = axes.plot(bins.predicted, bins.observed, label=panel, **style)
    mark(line, f"{label}\n{panel}")
    if bins.interval is not None:
        axes.vlines(bins.predicted, *bins.interval, color=style["color"], linewidth=0.8, alpha=0.5)


def _drawings(results: StudyResults, *, is_narrow: bool = False) -> dict[str, Draw]:
    def draw(task: str) -> Draw:
        runs = [run for run in results.calibration["runs"] if run["task"] == task]
        return lambda output: reliability_diagram(
            results.tasks[task], reliability_of(runs), results.labels, output, is_narrow=is_narrow
        )

    return {f"reliability_{task}": draw(task) for task in sorted({run["task"] for run in results.calibration["runs"]})}


FIGURE = StudyFigure(
    name="reliability",
    place=1,
    section="calibration",
    needs=("calibration",),
    caption=(
        "Observed share of outcomes by predicted risk on the test split, a panel per model. Bins hold equally many "
        "{units}, joined until each has at least ten with the outcome and ten without, and are pooled over seeds. "
        "Scores stand as they are, divided by one temperature, and after isotonic regression; both are fitted on "
        "validation. On the diagonal (dashed) a score is right on average; below it, too high."
    ),
    drawings=_drawings,
    narrow=lambda results: _drawings(results, is_narrow=True),
    by_task=True,
)
