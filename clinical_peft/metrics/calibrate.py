"""A study's predictions -> calibration.json: scores as they are, recalibrated on validation, and what they are worth.

Intervals are percentile bootstraps over patients, with the map that was fitted held fixed. Metrics of a split with a
hidden count of a class are those of `clinical_peft.disclosure.counts.coarse_figures`, and `undefined` is None.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from clinical_peft.disclosure.counts import coarse, coarse_figures, publishable_classes, rounded_interval, significant
from clinical_peft.files import write_json
from clinical_peft.metrics.calibration import BINS, reliability_bins
from clinical_peft.metrics.calibration_records import Calibration, ReliabilityBin, RunCalibration, ScoreMetric
from clinical_peft.metrics.decisions import (
    SENSITIVITIES,
    alert_burden,
    decision_curve,
    published_alerts,
    published_curve,
)
from clinical_peft.metrics.predictions import Predictions
from clinical_peft.metrics.recalibration import fit_temperature, isotonic_map, temperature_map
from clinical_peft.metrics.records import RunMetrics
from clinical_peft.metrics.registry import COMPARED, METRICS, compute_metrics
from clinical_peft.metrics.resampling import patient_weights, percentile_interval, undefined
from clinical_peft.metrics.runs import read_runs
from clinical_peft.metrics.weighting import Weighting
from clinical_peft.models.scores import link_of

PROBABILITY_METRICS = tuple(metric for metric in METRICS.values() if metric.judges_probabilities)


def calibrate(
    metrics: Sequence[Path],
    predictions: Sequence[Path],
    classes: Mapping[str, Path],
    *,
    resamples: int,
    bootstrap_seed: int,
    output: Path,
    level: float = 0.95,
) -> Calibration:
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
        What the file holds.

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
        runs.append(_calibration_of(run, splits, Weighting(draws[key]), level))
    result = Calibration(
        level=level,
        resamples=resamples,
        bins=BINS,
        sensitivities=list(SENSITIVITIES),
        runs=sorted(runs, key=lambda run: (run.model, run.task, run.seed)),
    )
    write_json(output, result.to_json())
    return result


def _calibration_of(
    run: RunMetrics, splits: Mapping[str, Predictions], weighting: Weighting, level: float
) -> RunCalibration:
    validation, test = splits["validation"], splits["test"]
    temperature = fit_temperature(validation)
    versions = {
        "raw": test,
        "temperature": temperature_map(temperature)(test),
        "isotonic": isotonic_map(validation)(test),
    }
    curves = alerts = None
    if test.type == "binary":
        curves = {
            name: published_curve(decision_curve(data, weighting, level), data) for name, data in versions.items()
        }
        alerts = published_alerts(alert_burden(validation, test, weighting, level), test)
    return RunCalibration(
        model=run.model,
        task=run.task,
        seed=run.seed,
        task_type=run.task_type,
        protocol=run.protocol,
        cohort_sha256=run.cohort_sha256,
        predictions_sha256=run.predictions_sha256,
        link=link_of(run.task_type, run.switches),
        temperature=coarse(temperature) if _has_few(validation) else temperature,
        figures={name: _published_metrics(data, weighting, level) for name, data in versions.items()},
        reliability={name: _bins(data, weighting, level) for name, data in versions.items()},
        decision_curve=curves,
        alert_burden=alerts,
    )


def _has_few(data: Predictions) -> bool:
    """Whether the number of a class of a split is hidden."""
    return data.type != "multilabel" and not publishable_classes(data.target, exclusive=True).all()


def _published_metrics(data: Predictions, weighting: Weighting, level: float) -> dict[str, ScoreMetric]:
    values = compute_metrics((COMPARED, *PROBABILITY_METRICS), data)
    replicates = compute_metrics(PROBABILITY_METRICS, data, weighting)
    has_few = _has_few(data)
    found: dict[str, dict[str, Any]] = {
        name: {
            "value": float(value[0]) if np.isfinite(value[0]) else None,
            "interval": percentile_interval(replicates[name], level) if name in replicates else None,
            # A resample lacks a rare class as often as the class is rare.
            "undefined": undefined(replicates[name]) if name in replicates and not has_few else None,
        }
        for name, value in values.items()
    }
    return {name: ScoreMetric(**one) for name, one in (coarse_figures(found, len(data)) if has_few else found).items()}


def _bins(data: Predictions, weighting: Weighting, level: float) -> list[ReliabilityBin]:
    return [
        ReliabilityBin(
            pairs=row.pairs,
            low=significant(row.low),
            high=significant(row.high),
            mean_score=significant(row.mean_score),
            observed=significant(row.observed),
            interval=rounded_interval(percentile_interval(row.observed_replicates, level)),
        )
        for row in reliability_bins(data, weighting, joined=True)
    ]
