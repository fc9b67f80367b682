"""A study's predictions -> calibration.json: scores as they are, recalibrated on validation, and what they are worth.

Intervals are percentile bootstraps over patients, with the map that was fitted held fixed. Metrics of a split with a
hidden count are those of `clinical_peft.disclosure.counts.coarse_figures`, with `undefined` None, or of
`unsized_figures`. Bins, curves and alerts of a binary task divide one ranking: `clinical_peft.disclosure.cuts` decides
on them together, and a test split whose number of admissions is hidden has none.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from clinical_peft.disclosure.counts import (
    coarse,
    coarse_figures,
    has_hidden,
    publishable_classes,
    rounded_interval,
    significant,
    unsized_figures,
)
from clinical_peft.disclosure.cuts import Cuts
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
from clinical_peft.metrics.metric import Metric
from clinical_peft.metrics.predictions import Predictions
from clinical_peft.metrics.published_run import has_spread_hits, is_nearly_empty, rarest_class
from clinical_peft.metrics.recalibration import fit_temperature, isotonic_map, temperature_map
from clinical_peft.metrics.records import RunMetrics
from clinical_peft.metrics.registry import COMPARED, METRICS, compute_metrics
from clinical_peft.metrics.resampling import patient_weights, percentile_interval, undefined
from clinical_peft.metrics.runs import RunFiles, read_runs, with_cutoff
from clinical_peft.metrics.weighting import Weighting
from clinical_peft.models.scores import link_of

PROBABILITY_METRICS = tuple(one for one in METRICS.values() if one.judges_probabilities)


def calibrate(
    files: RunFiles,
    *,
    resamples: int,
    bootstrap_seed: int,
    output: Path,
    level: float = 0.95,
    metric: Metric = COMPARED,
) -> Calibration:
    """Measure and recalibrate every run of a study.

    Args:
        files: Files of all runs.
        resamples: Bootstrap resamples of the test patients.
        bootstrap_seed: Seed of the resamples.
        output: JSON file to write.
        level: Coverage of the intervals.
        metric: The metric by which models are compared, which stands beside those of probabilities.

    Returns:
        What the file holds.

    Raises:
        DataError: A predictions file is malformed or not the one that was scored, or runs may not stand in one table
            (`clinical_peft.metrics.runs.check_comparable`).
    """
    runs = []
    draws: dict[bytes, np.ndarray] = {}
    for run, splits in read_runs(files, metric):
        test = splits["test"]
        key = test.patient_keys.tobytes()
        if key not in draws:
            draws[key] = patient_weights(test.subject_id, resamples=resamples, seed=bootstrap_seed, source=test.source)
        runs.append(_calibration_of(run, splits, Weighting(draws[key]), level, metric))
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
    run: RunMetrics, splits: Mapping[str, Predictions], weighting: Weighting, level: float, metric: Metric
) -> RunCalibration:
    validation, test = splits["validation"], splits["test"]
    temperature = fit_temperature(validation)
    maps = {"temperature": temperature_map(temperature), "isotonic": isotonic_map(validation)}
    versions = {"raw": test, **{name: recalibrate(test) for name, recalibrate in maps.items()}}
    if metric.judges_decisions:
        # Recalibrated scores need a threshold of their own.
        for name, recalibrate in maps.items():
            both = {"validation": recalibrate(validation), "test": versions[name]}
            versions[name] = with_cutoff(both, metric)["test"]
    is_sized = not has_hidden(run.n["test"])
    # The isotonic map sends all scores to one where validation has no positives.
    empty = ("isotonic",) if is_nearly_empty(validation) else ()
    closed = empty if is_sized else tuple(versions)
    curves = alerts = cuts = None
    if test.type == "binary":
        cuts, no_cuts = (Cuts(test.target[:, 1], is_open=is_open) for is_open in (is_sized, False))
        # What comes first may cut the ranking first.
        alerts = published_alerts(alert_burden(validation, test, weighting, level), test, cuts)
    reliability = {
        name: [] if name in closed else _bins(data, weighting, level, cuts) for name, data in versions.items()
    }
    if cuts is not None:
        curves = {
            name: published_curve(decision_curve(data, weighting, level), data, no_cuts if name in closed else cuts)
            for name, data in versions.items()
        }
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
        figures={
            name: _published_metrics(data, weighting, level, metric, is_sized=is_sized, is_empty=name in empty)
            for name, data in versions.items()
        },
        reliability=reliability,
        decision_curve=curves,
        alert_burden=alerts,
    )


def _has_few(data: Predictions) -> bool:
    """Whether the number of a class of a split is hidden."""
    return data.type != "multilabel" and not publishable_classes(data.target, exclusive=True).all()


def _published_metrics(
    data: Predictions, weighting: Weighting, level: float, metric: Metric, *, is_sized: bool, is_empty: bool
) -> dict[str, ScoreMetric]:
    """Metrics of a test split as they may be published.

    Args:
        data: The split, recalibrated or not.
        weighting: Row weights of R resamples.
        level: Coverage of the intervals.
        metric: The compared metric, which has no interval here.
        is_sized: Whether its number of rows may be published.
        is_empty: Whether the scores reveal that a class of validation has next to no rows.
    """
    values = compute_metrics((metric, *PROBABILITY_METRICS), data, cutoff=data.cutoff)
    replicates = compute_metrics(PROBABILITY_METRICS, data, weighting)
    # Counts of all classes sum to a hidden number of rows.
    has_few = _has_few(data) or (data.type == "multiclass" and not is_sized)
    found: dict[str, dict[str, Any]] = {
        name: {
            "value": float(value[0]) if np.isfinite(value[0]) else None,
            "interval": percentile_interval(replicates[name], level) if name in replicates else None,
            # A resample lacks a rare class as often as the class is rare.
            "undefined": undefined(replicates[name]) if name in replicates and not has_few else None,
        }
        for name, value in values.items()
    }
    if has_few or is_empty:
        is_spread = is_sized and has_spread_hits(data)
        found = coarse_figures(found, len(data), rarest=0 if is_empty else rarest_class(data), is_spread=is_spread)
    elif not is_sized:
        found = unsized_figures(found, len(data))
    return {name: ScoreMetric(**one) for name, one in found.items()}


def _bins(data: Predictions, weighting: Weighting, level: float, cuts: Cuts | None) -> list[ReliabilityBin]:
    return [
        ReliabilityBin(
            pairs=row.pairs,
            low=significant(row.low),
            high=significant(row.high),
            mean_score=significant(row.mean_score),
            observed=significant(row.observed),
            interval=rounded_interval(percentile_interval(row.observed_replicates, level)),
        )
        for row in reliability_bins(data, weighting, joined=True, cuts=cuts)
    ]
