"""ROC and precision-recall curves of a task's models on the test split."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from clinical_peft.disclosure.counts import SMALLEST_CELL
from clinical_peft.figures.marks import mark
from clinical_peft.figures.study_figure import Draw, StudyFigure
from clinical_peft.figures.style import (
    BAND_OPACITY,
    GUIDE,
    NARROW_WIDTH,
    legend_below,
    legend_height,
    line_style,
    new_figure,
    say,
)
from clinical_peft.metrics.curve_bands import curve_bands
from clinical_peft.metrics.curves import GRID, Curves, mean_curves
from clinical_peft.models.scores import Links
from clinical_peft.tables.form import Labels, in_order, label_of
from clinical_peft.tables.main_comparisons import drawn_labels
from clinical_peft.tables.study_results import StudyResults
from clinical_peft.tables.study_tasks import unit_of
from clinical_peft.tasks import Task

BAND_RESAMPLES = 200
AVERAGING = {"binary": "", "multiclass": ", mean over classes", "multilabel": ", all labels pooled"}


def roc_pr(
    task: Task,
    predictions: Mapping[str, Sequence[Path]],
    classes: Path,
    labels: Labels,
    output: Path,
    *,
    bootstrap_seed: int = 0,
    level: float = 0.95,
    links: Links | None = None,
    is_sized: bool = True,
    titles: Mapping[str, str] | None = None,
    is_narrow: bool = False,
) -> None:
    """ROC and precision-recall curves on the test split, one line per model.

    Curves are averaged over seeds at equal false-positive rate and at equal recall. Binary: of the second class.
    Multiclass: mean over classes, each against the rest. Multilabel: all pairs of admission and class pooled (micro).
    The curves with the largest and the smallest area have bootstrap bands over patients; more would hide each other.

    Args:
        task: The task.
        predictions: Predictions files of each model's seeds.
        classes: JSON list, the ordered label space.
        labels: As for `clinical_peft.tables.study_results.StudyResults`.
        output: SVG file to write.
        bootstrap_seed: Seed of the study's bootstrap.
        level: Coverage of the bands.
        links: By model and task, as for `clinical_peft.metrics.predictions.read_predictions`.
        is_sized: Whether the number of test admissions may be published. Points of a curve are shares of positives and
            of negatives, from which it follows: without it there is none.
        titles: What the line of a model says; its label where nothing is given.
        is_narrow: Whether the panels stand below one another.
    """
    link_of_model = {model: (links or {}).get((model, task.name)) for model in predictions}
    drawn = {model: mean_curves(predictions[model], classes, task, link=link_of_model[model]) for model in predictions}
    curves = {model: curve for model, curve in drawn.items() if curve is not None}
    models = in_order(list(curves), labels)
    columns = 1 if is_narrow else 2
    size = (NARROW_WIDTH, 6.4) if is_narrow else (7.4, 3.5)
    with new_figure(output, (size[0], size[1] + legend_height(models, columns))) as figure:
        if not models or not is_sized:
            unit = unit_of([task])
            no_curve = f"No class has both outcomes among the test {unit}s."
            say(figure, no_curve if is_sized else f"A curve would tell the hidden number of test {unit}s.")
            return
        roc, precision = figure.subplots(2 // columns, columns)
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
            mark(roc.fill_between(GRID, *bands.true_positive_rate, **fill), series=model)
            mark(precision.fill_between(GRID[1:], *bands.precision[:, 1:], **fill), series=model)
        for position, model in enumerate(models):
            if model not in curves:
                continue
            label = label_of(model, labels)
            lines = roc.plot(GRID, curves[model].true_positive_rate, label=label, **line_style(position))
            lines += precision.plot(GRID[1:], curves[model].precision[1:], **line_style(position))
            for line in lines:
                mark(line, (titles or {}).get(model, label), series=model)
        roc.plot([0, 1], [0, 1], **GUIDE)
        precision.axhline(next((one.prevalence for one in curves.values()), 0.0), **GUIDE)
        suffix = AVERAGING[task.type]
        roc.set(title=f"{task.short}: ROC{suffix}", xlabel="false-positive rate", ylabel="true-positive rate")
        precision.set(title=f"Precision and recall{suffix}", xlabel="recall", ylabel="precision")
        for axes in (roc, precision):
            axes.set(xlim=(0, 1), ylim=(0, 1.01))
        if not curves:
            say(figure, f"Too few positives or negatives for points that lie {SMALLEST_CELL} of both apart.")
        else:
            legend_below(figure, roc, columns)


def _extremes(curves: Mapping[str, Curves]) -> list[str]:
    """The models with the smallest and the largest area under their ROC curve."""
    areas = {model: float(np.trapezoid(curve.true_positive_rate, GRID)) for model, curve in curves.items()}
    return list(dict.fromkeys([min(areas, key=areas.__getitem__), max(areas, key=areas.__getitem__)])) if areas else []


def links_of_runs(results: StudyResults) -> Links:
    """How scores come from logits, by model and task."""
    return {(run["model"], run["task"]): run["link"] for run in results.calibration["runs"]}


def titles_of(task: str, results: StudyResults) -> dict[str, str]:
    """What a model's line says on a task: its label, and its result with interval and the size of the test split."""
    titles = {}
    for row in results.comparison["summaries"]:
        if row["task"] == task and row[results.metric.name] is not None:
            interval = (
                "" if not row["interval"] else " [{:.1f}, {:.1f}]".format(*(100 * end for end in row["interval"]))
            )
            size = f", n = {row['n']:,}" if row.get("n") else ""
            value = f"{results.metric.title} {100 * row[results.metric.name]:.1f} %{interval}{size}"
            titles[row["model"]] = f"{label_of(row['model'], results.labels)}\n{value}"
    return titles


def _drawings(results: StudyResults, *, is_narrow: bool = False) -> dict[str, Draw]:
    unsized = {run["task"] for run in results.metrics if run["n"]["test"] is None}

    def draw(task: str) -> Draw:
        return lambda output: roc_pr(
            results.tasks[task],
            results.predictions[task],
            results.classes[task],
            drawn_labels(results),
            output,
            bootstrap_seed=results.bootstrap_seed,
            level=results.comparison["level"],
            links=links_of_runs(results),
            is_sized=task not in unsized,
            titles=titles_of(task, results),
            is_narrow=is_narrow,
        )

    return {f"roc_pr_{task}": draw(task) for task, by_model in results.predictions.items() if by_model}


FIGURE = StudyFigure(
    name="roc_pr",
    place=5,
    section="metrics",
    needs=("predictions", "classes", "comparison", "calibration", "metrics"),
    caption=(
        "ROC and precision-recall curves on the test split, averaged over seeds at equal false-positive rate and at "
        "equal recall. Points lie at least ten positives and ten negatives apart, lines between them show no single "
        "patient, so that a curve of few patients is coarse. Bands, of the models with the largest and the smallest "
        "area, are bootstrap intervals over patients at each point. Dashed: guessing."
    ),
    drawings=_drawings,
    narrow=lambda results: _drawings(results, is_narrow=True),
    by_task=True,
    has_choice=True,
)
