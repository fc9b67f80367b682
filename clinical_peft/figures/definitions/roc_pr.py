"""ROC and precision-recall curves of a task's models on the test split."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from clinical_peft.disclosure.counts import SMALLEST_CELL
from clinical_peft.figures.study_figure import Draw, StudyFigure
from clinical_peft.figures.style import (
    BAND_OPACITY,
    GUIDE,
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
    """
    link_of_model = {model: (links or {}).get((model, task.name)) for model in predictions}
    drawn = {model: mean_curves(predictions[model], classes, task, link=link_of_model[model]) for model in predictions}
    curves = {model: curve for model, curve in drawn.items() if curve is not None}
    models = in_order(list(curves), labels)
    with new_figure(output, (7.4, 3.5 + legend_height(models))) as figure:
        if not models or not is_sized:
            unit = unit_of([task])
            no_curve = f"No class has both outcomes among the test {unit}s."
            say(figure, no_curve if is_sized else f"A curve would tell the hidden number of test {unit}s.")
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
        suffix = AVERAGING[task.type]
        roc.set(title=f"{task.short}: ROC{suffix}", xlabel="false-positive rate", ylabel="true-positive rate")
        precision.set(title=f"Precision and recall{suffix}", xlabel="recall", ylabel="precision")
        for axes in (roc, precision):
            axes.set(xlim=(0, 1), ylim=(0, 1.01))
        if not curves:
            say(figure, f"Too few positives or negatives for points that lie {SMALLEST_CELL} of both apart.")
        else:
            legend_below(figure, roc)


def _extremes(curves: Mapping[str, Curves]) -> list[str]:
    """The models with the smallest and the largest area under their ROC curve."""
    areas = {model: float(np.trapezoid(curve.true_positive_rate, GRID)) for model, curve in curves.items()}
    return list(dict.fromkeys([min(areas, key=areas.__getitem__), max(areas, key=areas.__getitem__)])) if areas else []


def links_of_runs(results: StudyResults) -> Links:
    """How scores come from logits, by model and task."""
    return {(run["model"], run["task"]): run["link"] for run in results.calibration["runs"]}


def _drawings(results: StudyResults) -> dict[str, Draw]:
    unsized = {run["task"] for run in results.metrics if run["n"]["test"] is None}

    def draw(task: str) -> Draw:
        return lambda output: roc_pr(
            results.tasks[task],
            results.predictions[task],
            results.classes[task],
            results.labels,
            output,
            bootstrap_seed=results.bootstrap_seed,
            level=results.comparison["level"],
            links=links_of_runs(results),
            is_sized=task not in unsized,
        )

    return {f"roc_pr_{task}": draw(task) for task, by_model in results.predictions.items() if by_model}


FIGURE = StudyFigure(
    name="roc_pr",
    place=5,
    section="curves",
    needs=("predictions", "classes", "comparison", "calibration", "metrics"),
    caption=(
        "ROC and precision-recall curves on the test split, averaged over seeds at equal false-positive rate and at "
        "equal recall. Points lie at least ten positives and ten negatives apart, lines between them show no single "
        "patient, so that a curve of few patients is coarse. Bands, of the models with the largest and the smallest "
        "area, are bootstrap intervals over patients at each point. Dashed: guessing."
    ),
    drawings=_drawings,
    by_task=True,
    heading="ROC and precision-recall curves",
)
