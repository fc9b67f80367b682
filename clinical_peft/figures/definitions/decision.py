"""Net benefit of acting on predictions, by the risk from which one would act."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

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
)
from clinical_peft.metrics.calibration_records import DecisionCurve
from clinical_peft.tables.form import Labels, in_order, label_of
from clinical_peft.tables.main_comparisons import drawn_labels
from clinical_peft.tables.study_results import StudyResults
from clinical_peft.tasks import Task


@dataclass(frozen=True)
class DecisionCurves:
    """Net benefit at T risk thresholds (Vickers and Elkin 2006, Med Decis Making 26:565-574).

    Attributes:
        thresholds: Fractions of shape (T,).
        models: By model, net benefit of shape (T,): true positives less weighted false positives, per admission.
        treat_all: Net benefit of treating everybody, of shape (T,); treating nobody has none.
        bands: By model, lower and upper ends of shape (2, T); models may be missing.
    """

    thresholds: np.ndarray
    models: Mapping[str, np.ndarray]
    treat_all: np.ndarray
    bands: Mapping[str, np.ndarray]


def decision_curves_of(runs: Sequence[Mapping[str, Any]]) -> DecisionCurves | None:
    """Net benefit of isotonic scores, on average over seeds; None for a task that is not binary.

    Args:
        runs: As for `reliability_of`.
    """
    curves: dict[str, list[DecisionCurve]] = {}
    for run in runs:
        if run["decision_curve"] is not None:
            curves.setdefault(run["model"], []).append(DecisionCurve.of(run["decision_curve"]["isotonic"]))
    if not curves:
        return None
    first = next(iter(curves.values()))[0]
    means = {
        name: {
            model: np.mean([_between(one.thresholds, getattr(one, name)) for one in found], axis=0)
            for model, found in curves.items()
        }
        for name in ("net_benefit", "low", "high")
    }
    best = max(curves, key=lambda model: float(np.nan_to_num(means["net_benefit"][model]).mean()))
    return DecisionCurves(
        thresholds=np.array(first.thresholds),
        models=means["net_benefit"],
        treat_all=np.array(first.treat_all, dtype=np.float64),
        bands={best: np.stack([means["low"][best], means["high"][best]])},
    )


def _between(thresholds: Sequence[float], values: Sequence[float | None]) -> np.ndarray:
    """A curve over all thresholds, straight between those at which it may be published, NaN outside them."""
    known = np.array([value is not None for value in values])
    if not known.any():
        return np.full(len(values), np.nan)
    at, found = np.asarray(thresholds), np.array(values, dtype=np.float64)
    return np.interp(at, at[known], found[known], left=np.nan, right=np.nan)


def decision_curves(
    task: Task, curves: DecisionCurves, labels: Labels, output: Path, *, is_narrow: bool = False
) -> None:
    """Net benefit by risk threshold, a line per model, beside treating everybody and treating nobody.

    Args:
        task: The task.
        curves: Net benefits.
        labels: As for `clinical_peft.tables.study_results.StudyResults`.
        output: SVG file to write.
        is_narrow: Whether it is for a narrow screen.
    """
    names = in_order(list(curves.models), labels)
    columns = 1 if is_narrow else 2
    size = (NARROW_WIDTH, 2.9) if is_narrow else (7.4, 3.2)
    with new_figure(output, (size[0], size[1] + legend_height([*names, "all", "none"], columns))) as figure:
        axes = figure.subplots()
        for position, name in enumerate(names):
            label = label_of(name, labels)
            for line in axes.plot(curves.thresholds, curves.models[name], label=label, **line_style(position)):
                mark(line, label, series=name)
            if name in curves.bands:
                colour = line_style(position)["color"]
                fill = {"color": colour, "alpha": BAND_OPACITY, "linewidth": 0}
                mark(axes.fill_between(curves.thresholds, *curves.bands[name], **fill), series=name)
        (everybody,) = axes.plot(
            curves.thresholds, curves.treat_all, label="treat everybody", **{**GUIDE, "linestyle": "-"}
        )
        mark(everybody, "treat everybody")
        mark(axes.axhline(0, label="treat nobody", **GUIDE), "treat nobody")
        known = np.concatenate([*curves.models.values(), curves.treat_all])
        highest = float(np.nanmax(known, initial=0))
        axes.set(title=f"{task.short}: decision curves", xlabel="risk threshold", ylabel="net benefit")
        # Treating everybody does unlimited harm at high thresholds; the panel shows where the models are.
        axes.set_ylim(-0.25 * max(highest, 0.01), 1.1 * max(highest, 0.01))
        legend_below(figure, axes, columns)


def _drawings(results: StudyResults, *, is_narrow: bool = False) -> dict[str, Draw]:
    def draw(task: str, curves: DecisionCurves) -> Draw:
        return lambda output: decision_curves(
            results.tasks[task], curves, drawn_labels(results), output, is_narrow=is_narrow
        )

    runs = results.calibration["runs"]
    tasks = sorted({run["task"] for run in runs})
    found = {task: decision_curves_of([run for run in runs if run["task"] == task]) for task in tasks}
    return {f"decision_{task}": draw(task, curves) for task, curves in found.items() if curves is not None}


FIGURE = StudyFigure(
    name="decision",
    place=2,
    section="calibration",
    needs=("calibration", "comparison"),
    caption=(
        "Net benefit of acting on a prediction, by the risk from which one would act, on the test split, on average "
        "over seeds: true positives less false positives weighed by the odds of that risk, per {unit}. Scores are "
        "recalibrated by isotonic regression on validation. Points lie at least ten positives and ten negatives "
        "apart. The band, of the model with the most benefit over all risks, is an interval over patients. A model "
        "is of use where it lies above both treating everybody (grey) and treating nobody (dashed)."
    ),
    drawings=_drawings,
    narrow=lambda results: _drawings(results, is_narrow=True),
    by_task=True,
    has_choice=True,
)
