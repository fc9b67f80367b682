"""A study's predictions -> calibration.json: scores as they are, recalibrated on validation, and what they are worth.

Layout: level, resamples, bins, sensitivities, `runs`: a list by model, task and seed of
    model, task, seed, task_type, protocol, cohort_sha256, predictions_sha256, link (of logits to scores: softmax or
        sigmoid), temperature (fitted on validation),
    figures.{raw, temperature, isotonic}.{auroc, brier, log_loss, ece, calibration_slope, calibration_intercept}, each
        {value, interval} on test, null where undefined, and undefined (resamples that the interval leaves out; null
        where their number would tell a hidden count),
    reliability.{raw, temperature, isotonic}: bins by rising score, each {pairs, low, high, mean_score, observed,
        interval}; pairs of row and class if multilabel, the predicted class if multiclass; joined until each may be
        published (`clinical_peft.disclosure.counts`), and to three digits,
and of binary tasks, null for the others:
    decision_curve.{raw, temperature, isotonic}.{thresholds, net_benefit, low, high, treat_all} (lists),
    alert_burden: see `clinical_peft.metrics.decisions.alert_burden`; thresholds are of scores as they are. Of both,
    what `published_curve` and `published_alerts` leave. Bins, curves and alerts of a binary task divide one ranking:
    `clinical_peft.disclosure.cuts` decides on them together. A test split whose number of admissions is hidden has
    none.
Figures of a split with a hidden count are those of `clinical_peft.disclosure.counts.coarse_figures` or
`unsized_figures`.
Intervals are percentile bootstraps over patients, with the map that was fitted held fixed.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from clinical_peft.disclosure.counts import (
    coarse,
    coarse_figures,
    is_unsized,
    publishable_classes,
    rounded_interval,
    significant,
    unsized_figures,
)
from clinical_peft.disclosure.cuts import Cuts
from clinical_peft.files import write_json
from clinical_peft.metrics.areas import area_figures
from clinical_peft.metrics.calibration import BINS, calibration_figures, reliability_bins
from clinical_peft.metrics.decisions import (
    SENSITIVITIES,
    alert_burden,
    decision_curve,
    published_alerts,
    published_curve,
)
from clinical_peft.metrics.evaluate import is_nearly_empty, rarest_class
from clinical_peft.metrics.predictions import Predictions
from clinical_peft.metrics.recalibration import fit_temperature, isotonic_map, temperature_map
from clinical_peft.metrics.resampling import patient_weights, percentile_interval, undefined
from clinical_peft.metrics.runs import read_runs
from clinical_peft.metrics.weighting import Weighting
from clinical_peft.tasks.scores import link_of

FIGURES = ("auroc", "brier", "log_loss", "ece", "calibration_slope", "calibration_intercept")
SCORES = ("raw", "temperature", "isotonic")


def calibrate(
    metrics: Sequence[Path],
    predictions: Sequence[Path],
    classes: Mapping[str, Path],
    *,
    resamples: int,
    bootstrap_seed: int,
    output: Path,
    level: float = 0.95,
) -> dict[str, Any]:
    """Measure and recalibrate every run of a study.

    Args:
        metrics: Metrics files of all runs.
        predictions: Predictions files in the same order.
        classes: Label space of each task, a JSON list.
        resamples: Bootstrap resamples of the test patients.
        bootstrap_seed: Seed of the resamples.
        output: JSON file to write.
        level: Coverage of the intervals.

    Returns:
        What the file holds; the module's description says what that is.

    Raises:
        DataError: A predictions file is malformed or not the one that was scored, or runs may not stand in one table
            (`clinical_peft.metrics.runs.check_comparable`).
    """
    runs = []
    draws: dict[bytes, np.ndarray] = {}
    for run, splits in read_runs(metrics, predictions, classes):
        test = splits["test"]
        key = test.subject_id.tobytes()
        if key not in draws:
            draws[key] = patient_weights(test.subject_id, resamples=resamples, seed=bootstrap_seed)
        names = ("model", "task", "seed", "task_type", "protocol", "cohort_sha256", "predictions_sha256")
        link = {"link": link_of(run["task_type"], run["recipe"].get("switches", {}))}
        runs.append(
            {name: run[name] for name in names}
            | link
            | _describe(splits, Weighting(draws[key]), level, is_sized=not is_unsized(run))
        )
    result = {
        "level": level,
        "resamples": resamples,
        "bins": BINS,
        "sensitivities": list(SENSITIVITIES),
        "runs": sorted(runs, key=lambda run: (run["model"], run["task"], run["seed"])),
    }
    write_json(output, result)
    return result


def _describe(
    splits: Mapping[str, Predictions], weighting: Weighting, level: float, *, is_sized: bool
) -> dict[str, Any]:
    validation, test = splits["validation"], splits["test"]
    temperature = fit_temperature(validation)
    versions = {
        "raw": test,
        "temperature": temperature_map(temperature)(test),
        "isotonic": isotonic_map(validation)(test),
    }
    binary = test.type == "binary"
    figures = {name: _figures(data, weighting, level) for name, data in versions.items()}
    few = {name: _has_few(data) for name, data in splits.items()}
    few["test"] |= test.type == "multiclass" and not is_sized
    if few["test"]:
        # A resample lacks a rare class as often as the class is rare.
        figures = {name: {k: v | {"undefined": None} for k, v in one.items()} for name, one in figures.items()}
        figures = {name: coarse_figures(one, len(test), rarest=rarest_class(test)) for name, one in figures.items()}
    elif not is_sized:
        figures = {name: unsized_figures(one, len(test)) for name, one in figures.items()}
    hidden: tuple[str, ...] = () if is_sized else SCORES
    if is_nearly_empty(validation):
        # Its map sends all scores to one where validation has no positives.
        hidden = hidden or ("isotonic",)
        figures["isotonic"] = coarse_figures(figures["isotonic"], len(test), rarest=0)
    cuts = Cuts(test.target[:, 1], is_open=is_sized) if binary else None
    closed = Cuts(test.target[:, 1], is_open=False)
    # What comes first may cut the ranking first.
    alerts = published_alerts(alert_burden(validation, test, weighting, level), test, cuts) if cuts else None
    return {
        "temperature": coarse(temperature) if few["validation"] else temperature,
        "figures": figures,
        "reliability": {
            name: _bins(data, weighting, level, cuts) if name not in hidden else [] for name, data in versions.items()
        },
        "alert_burden": alerts,
        "decision_curve": {
            name: published_curve(decision_curve(data, weighting, level), data, closed if name in hidden else cuts)
            for name, data in versions.items()
        }
        if cuts
        else None,
    }


def _has_few(data: Predictions) -> bool:
    """Whether the number of a class of a split is hidden."""
    return data.type != "multilabel" and not publishable_classes(data.target, exclusive=True).all()


def _figures(data: Predictions, weighting: Weighting, level: float) -> dict[str, dict[str, Any]]:
    once = Weighting(np.ones((len(data), 1), np.uint8))
    values = calibration_figures(data, once) | area_figures(data, once)
    replicates = calibration_figures(data, weighting)
    return {
        name: {
            "value": float(values[name][0]) if np.isfinite(values[name][0]) else None,
            "interval": percentile_interval(replicates[name], level) if name in replicates else None,
            "undefined": undefined(replicates[name]) if name in replicates else None,
        }
        for name in FIGURES
    }


def _bins(data: Predictions, weighting: Weighting, level: float, cuts: Cuts | None) -> list[dict[str, Any]]:
    bins = reliability_bins(data, weighting, joined=True, cuts=cuts)
    for row in bins:
        row["interval"] = rounded_interval(percentile_interval(row.pop("observed_replicates"), level))
        row |= {name: significant(row[name]) for name in ("low", "high", "mean_score", "observed")}
    return bins
