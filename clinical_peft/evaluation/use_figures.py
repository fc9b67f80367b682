"""Figures of calibration and of clinical use: reliability diagrams and decision curves, from plain arrays."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from clinical_peft.evaluation.style import (
    BAND_OPACITY,
    GUIDE,
    STYLE,
    legend_below,
    legend_height,
    line_style,
    marker,
    save,
)
from clinical_peft.evaluation.tables import TASK_LABELS, Labels, in_order, label_of


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


def reliability_diagram(task: str, models: Mapping[str, Reliability], labels: Labels, output: Path) -> None:
    """Observed share of outcomes against predicted risk, a line per model; on the diagonal a score is right on average.

    Args:
        task: Name of the task.
        models: Bins by model.
        labels: As for `clinical_peft.evaluation.paper_tables.build_tables`.
        output: SVG file to write.
    """
    names = in_order(list(models), labels)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(4.4, 4.0 + legend_height(names)), layout="constrained")
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], **GUIDE)
        for position, name in enumerate(names):
            bins = models[name]
            style = {"marker": marker(position), "markersize": 4, **line_style(position)}
            axes.plot(bins.predicted, bins.observed, label=label_of(name, labels), **style)
            if bins.interval is not None:
                axes.vlines(bins.predicted, *bins.interval, color=style["color"], linewidth=0.8, alpha=0.6)
        axes.set(title=f"{TASK_LABELS[task]}: reliability", xlabel="predicted risk", ylabel="observed share")
        axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
        legend_below(figure, axes)
        save(figure, output)


def decision_curves(task: str, curves: DecisionCurves, labels: Labels, output: Path) -> None:
    """Net benefit by risk threshold, a line per model, beside treating everybody and treating nobody.

    Args:
        task: Name of the task.
        curves: Net benefits.
        labels: As for `clinical_peft.evaluation.paper_tables.build_tables`.
        output: SVG file to write.
    """
    names = in_order(list(curves.models), labels)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(5.2, 3.4 + legend_height([*names, "all", "none"])), layout="constrained")
        axes = figure.subplots()
        for position, name in enumerate(names):
            axes.plot(curves.thresholds, curves.models[name], label=label_of(name, labels), **line_style(position))
            if name in curves.bands:
                colour = line_style(position)["color"]
                axes.fill_between(curves.thresholds, *curves.bands[name], color=colour, alpha=BAND_OPACITY, linewidth=0)
        axes.plot(curves.thresholds, curves.treat_all, label="treat everybody", **{**GUIDE, "linestyle": "-"})
        axes.axhline(0, label="treat nobody", **GUIDE)
        highest = max([float(np.max(values)) for values in curves.models.values()] + [float(curves.treat_all.max())])
        axes.set(title=f"{TASK_LABELS[task]}: decision curves", xlabel="risk threshold", ylabel="net benefit")
        # Treating everybody does unlimited harm at high thresholds; the panel shows where the models are.
        axes.set_ylim(-0.25 * max(highest, 0.01), 1.1 * max(highest, 0.01))
        legend_below(figure, axes)
        save(figure, output)
