"""Figures of the models' predictions: the main result, validation by epoch, ROC and precision-recall curves."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from clinical_peft.disclosure.counts import SMALLEST_CELL
from clinical_peft.figures.style import (
    BAND_OPACITY,
    COLOURS,
    GUIDE,
    STYLE,
    legend_below,
    legend_height,
    line_style,
    marker,
    save,
    say,
)
from clinical_peft.metrics.aggregate import MACRO
from clinical_peft.metrics.curve_bands import curve_bands
from clinical_peft.metrics.curves import GRID, Curves, mean_curves
from clinical_peft.models.scores import Links
from clinical_peft.tables.form import TASK_LABELS, Labels, in_order, label_of
from clinical_peft.tasks import CONTROL, PAPER_TASKS, find_task

BAND_RESAMPLES = 200


def downstream_auroc(aggregate: Mapping[str, Any], labels: Labels, output: Path) -> None:
    """Test AUROC of every model: a panel per task, macro average and control, a row per model, with intervals.

    Args:
        aggregate: What `clinical_peft.metrics.aggregate.aggregate` returned.
        labels: As for `clinical_peft.tables.paper_tables.build_tables`.
        output: SVG file to write.
    """
    found = {(row["model"], row["task"]): row for row in aggregate["summaries"]}
    models = in_order([model for model, _ in found], labels)
    tasks = [task for task in (*PAPER_TASKS, MACRO, CONTROL) if any(key[1] == task for key in found)]
    with matplotlib.rc_context(STYLE):
        longest = max((len(label_of(model, labels)) for model in models), default=0)
        size = (0.5 + 0.066 * longest + 1.2 * len(tasks), 1.1 + 0.32 * len(models))
        figure = Figure(figsize=size, layout="constrained")
        if not tasks:
            say(figure, "No model was fine-tuned.")
            save(figure, output)
            return
        panels = figure.subplots(1, len(tasks), sharey=True, sharex=True, squeeze=False)[0]
        for task, axes in zip(tasks, panels, strict=True):
            axes.axvline(50, **GUIDE)
            for place, model in enumerate(models):
                if (row := found.get((model, task))) is not None and row["auroc"] is not None:
                    _interval_point(axes, row, place)
            title = TASK_LABELS[task].replace(" ", "\n")
            axes.set_title(title, fontweight="bold" if task == MACRO else "normal")
            axes.grid(visible=False, axis="y")
            axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        panels[0].set_yticks(range(len(models)), [label_of(model, labels) for model in models])
        panels[0].set_ylim(len(models) - 0.5, -0.5)
        figure.supxlabel(
            f"AUROC (%), {aggregate['level']:.0%} interval over patients alone, not seeds; dashed: chance", fontsize=9
        )
        save(figure, output)


def _interval_point(axes: Axes, row: Mapping[str, Any], place: int) -> None:
    colour = "#777777" if row["task"] == CONTROL else COLOURS[0]
    if row["interval"]:
        axes.plot([100 * end for end in row["interval"]], [place, place], color=colour, linewidth=1.6)
    axes.plot([100 * row["auroc"]], [place], marker="o", markersize=4.5, color=colour)


def validation_curves(
    histories: Sequence[Mapping[str, Any]], labels: Labels, output: Path, *, models: Sequence[str] = ()
) -> None:
    """Validation AUROC by epoch: a panel per task, a line per model, the mean over its seeds.

    Args:
        histories: One mapping per run: model, task, seed, curve (one mapping per epoch: epoch, counted from 1, and
            validation_auroc, a fraction or None where undefined).
        labels: As for `clinical_peft.tables.paper_tables.build_tables`.
        output: SVG file to write.
        models: Further models of the study, without epochs; with them a model has one colour in all figures.
    """
    tasks = [task for task in TASK_LABELS if any(row["task"] == task for row in histories)]
    trained = {row["model"] for row in histories}
    position_of = {model: place for place, model in enumerate(in_order([*models, *trained], labels))}
    drawn = [model for model in position_of if model in trained]
    columns = min(3, max(1, len(tasks)))
    lines = -(-len(tasks) // columns)
    with matplotlib.rc_context(STYLE):
        size = (2.9 * columns, 2.2 * max(1, lines) + legend_height(drawn))
        figure = Figure(figsize=(max(6.0, size[0]), size[1]), layout="constrained")
        if not tasks:
            say(figure, "No model was trained by epochs.")
        panels: Any = figure.subplots(lines, columns, squeeze=False).ravel() if tasks else []
        for axes in panels[len(tasks) :]:
            axes.set_visible(False)
        for task, axes in zip(tasks, panels, strict=False):
            for model in drawn:
                runs = [row for row in histories if (row["model"], row["task"]) == (model, task)]
                _epochs(axes, runs, position_of[model], label_of(model, labels))
            axes.set(title=TASK_LABELS[task], xlabel="epoch", ylabel="validation AUROC (%)")
            axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        if tasks:
            legend_below(figure, panels[0])
        save(figure, output)


def _epochs(axes: Axes, runs: Sequence[Mapping[str, Any]], position: int, label: str) -> None:
    if not runs:
        axes.plot([], [], label=label, **line_style(position))
        return
    length = min(len(run["curve"]) for run in runs)
    epochs = [point["epoch"] for point in runs[0]["curve"][:length]]
    values = [[point["validation_auroc"] for point in run["curve"][:length]] for run in runs]
    means = 100 * np.array(values, dtype=np.float64).mean(axis=0)
    axes.plot(epochs, means, marker=marker(position), markersize=3.5, label=label, **line_style(position))


def roc_pr(
    task: str,
    predictions: Mapping[str, Sequence[Path]],
    classes: Path,
    labels: Labels,
    output: Path,
    *,
    bootstrap_seed: int = 0,
    level: float = 0.95,
    links: Links | None = None,
) -> None:
    """ROC and precision-recall curves on the test split, one line per model.

    Curves are averaged over seeds at equal false-positive rate and at equal recall. Binary: of the second class.
    Multiclass: mean over classes, each against the rest. Multilabel: all pairs of admission and class pooled (micro).
    The curves with the largest and the smallest area have bootstrap bands over patients; more would hide each other.

    Args:
        task: Name of the task.
        predictions: Predictions files of each model's seeds.
        classes: JSON list, the ordered label space.
        labels: As for `clinical_peft.tables.paper_tables.build_tables`.
        output: SVG file to write.
        bootstrap_seed: Seed of the study's bootstrap.
        level: Coverage of the bands.
        links: By model and task, as for `clinical_peft.metrics.predictions.read_predictions`.
    """
    link_of_model = {model: (links or {}).get((model, task)) for model in predictions}
    drawn = {model: mean_curves(predictions[model], classes, task, link=link_of_model[model]) for model in predictions}
    curves = {model: curve for model, curve in drawn.items() if curve is not None}
    models = in_order(list(curves), labels)
    averaging = {"binary": "", "multiclass": ", mean over classes", "multilabel": ", all labels pooled"}
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.4, 3.5 + legend_height(models)), layout="constrained")
        if not models:
            say(figure, "No class has both outcomes among the test admissions.")
            save(figure, output)
            return
        roc, precision = figure.subplots(1, 2)
        for model in _extremes(curves):
            bands = curve_bands(
                predictions[model],
                classes,
                task,
                resamples=BAND_RESAMPLES,
                seed=bootstrap_seed,
                level=level,
                link=link_of_model[model],
            )
            fill = {"color": line_style(models.index(model))["color"], "alpha": BAND_OPACITY, "linewidth": 0}
            roc.fill_between(GRID, *bands.true_positive_rate, **fill)
            precision.fill_between(GRID[1:], *bands.precision[:, 1:], **fill)
        for position, model in enumerate(models):
            if model not in curves:
                continue
            roc.plot(GRID, curves[model].true_positive_rate, label=label_of(model, labels), **line_style(position))
            precision.plot(GRID[1:], curves[model].precision[1:], **line_style(position))
        roc.plot([0, 1], [0, 1], **GUIDE)
        precision.axhline(next((one.prevalence for one in curves.values()), 0.0), **GUIDE)
        suffix = averaging[find_task(task).type]
        roc.set(title=f"{TASK_LABELS[task]}: ROC{suffix}", xlabel="false-positive rate", ylabel="true-positive rate")
        precision.set(title=f"Precision and recall{suffix}", xlabel="recall", ylabel="precision")
        for axes in (roc, precision):
            axes.set(xlim=(0, 1), ylim=(0, 1.01))
        if not curves:
            say(figure, f"Too few positives or negatives for points that lie {SMALLEST_CELL} of both apart.")
        else:
            legend_below(figure, roc)
        save(figure, output)


def _extremes(curves: Mapping[str, Curves]) -> list[str]:
    """The models with the smallest and the largest area under their ROC curve."""
    areas = {model: float(np.trapezoid(curve.true_positive_rate, GRID)) for model, curve in curves.items()}
    return list(dict.fromkeys([min(areas, key=areas.__getitem__), max(areas, key=areas.__getitem__)])) if areas else []
