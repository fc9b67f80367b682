"""Figures of calibration and of clinical use: reliability diagrams and decision curves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from clinical_peft.figures.style import (
    BAND_OPACITY,
    GUIDE,
    STYLE,
    legend_below,
    legend_height,
    line_style,
    marker,
    save,
)
from clinical_peft.tables.form import TASK_LABELS, Labels, in_order, label_of

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


def decision_curves_of(runs: Sequence[Mapping[str, Any]]) -> DecisionCurves | None:
    """Net benefit of isotonic scores, on average over seeds; None for a task that is not binary.

    Args:
        runs: As for `reliability_of`.
    """
    curves: dict[str, list[Mapping[str, Any]]] = {}
    for run in runs:
        if run["decision_curve"] is not None:
            curves.setdefault(run["model"], []).append(run["decision_curve"]["isotonic"])
    if not curves:
        return None
    first = next(iter(curves.values()))[0]
    means = {
        name: {
            model: np.mean([_between(one["thresholds"], one[name]) for one in found], axis=0)
            for model, found in curves.items()
        }
        for name in ("net_benefit", "low", "high")
    }
    best = max(curves, key=lambda model: float(np.nan_to_num(means["net_benefit"][model]).mean()))
    return DecisionCurves(
        thresholds=np.array(first["thresholds"]),
        models=means["net_benefit"],
        treat_all=np.array(first["treat_all"], dtype=np.float64),
        bands={best: np.stack([means["low"][best], means["high"][best]])},
    )


def _between(thresholds: Sequence[float], values: Sequence[float | None]) -> np.ndarray:
    """A curve over all thresholds, straight between those at which it may be published, NaN outside them."""
    known = np.array([value is not None for value in values])
    if not known.any():
        return np.full(len(values), np.nan)
    at, found = np.asarray(thresholds), np.array(values, dtype=np.float64)
    return np.interp(at, at[known], found[known], left=np.nan, right=np.nan)


def reliability_diagram(
    task: str, panels: Mapping[str, Mapping[str, Reliability]], labels: Labels, output: Path
) -> None:
    """Observed share of outcomes against predicted risk, a line per model; on the diagonal a score is right on average.

    Args:
        task: Name of the task.
        panels: Bins by panel and model.
        labels: As for `clinical_peft.tables.paper_tables.build_tables`.
        output: SVG file to write.
    """
    names = in_order([name for models in panels.values() for name in models], labels)
    with matplotlib.rc_context(STYLE):
        size = (3.8 * len(panels), 4.0 + legend_height(names))
        figure = Figure(figsize=size, layout="constrained")
        row = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for axes, (panel, models) in zip(row, panels.items(), strict=True):
            axes.plot([0, 1], [0, 1], **GUIDE)
            for position, name in enumerate(names):
                if name in models:
                    _draw_bins(axes, models[name], position, label_of(name, labels))
            axes.set(title=f"{TASK_LABELS[task]}: {panel}", xlabel="predicted risk")
            axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
        row[0].set_ylabel("observed share")
        legend_below(figure, row[0])
        save(figure, output)


def _draw_bins(axes: Axes, bins: Reliability, position: int, label: str) -> None:
    style = {"marker": marker(position), "markersize": 4, **line_style(position)}
    axes.plot(bins.predicted, bins.observed, label=label, **style)
    if bins.interval is not None:
        axes.vlines(bins.predicted, *bins.interval, color=style["color"], linewidth=0.8, alpha=0.35)


def decision_curves(task: str, curves: DecisionCurves, labels: Labels, output: Path) -> None:
    """Net benefit by risk threshold, a line per model, beside treating everybody and treating nobody.

    Args:
        task: Name of the task.
        curves: Net benefits.
        labels: As for `clinical_peft.tables.paper_tables.build_tables`.
        output: SVG file to write.
    """
    names = in_order(list(curves.models), labels)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(8.8, 3.8 + legend_height([*names, "all", "none"])), layout="constrained")
        axes = figure.subplots()
        for position, name in enumerate(names):
            axes.plot(curves.thresholds, curves.models[name], label=label_of(name, labels), **line_style(position))
            if name in curves.bands:
                colour = line_style(position)["color"]
                axes.fill_between(curves.thresholds, *curves.bands[name], color=colour, alpha=BAND_OPACITY, linewidth=0)
        axes.plot(curves.thresholds, curves.treat_all, label="treat everybody", **{**GUIDE, "linestyle": "-"})
        axes.axhline(0, label="treat nobody", **GUIDE)
        known = np.concatenate([*curves.models.values(), curves.treat_all])
        highest = float(np.nanmax(known, initial=0))
        axes.set(title=f"{TASK_LABELS[task]}: decision curves", xlabel="risk threshold", ylabel="net benefit")
        # Treating everybody does unlimited harm at high thresholds; the panel shows where the models are.
        axes.set_ylim(-0.25 * max(highest, 0.01), 1.1 * max(highest, 0.01))
        legend_below(figure, axes)
        save(figure, output)
