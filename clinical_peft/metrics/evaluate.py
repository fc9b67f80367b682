"""One run's predictions -> its metrics file and its bootstrap replicates (`clinical_peft.metrics.replicates`)."""

import math
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from clinical_peft.disclosure.counts import declare_metric
from clinical_peft.files import sha256_file, write_json
from clinical_peft.metrics.areas import HEAD_ABOVE, TAIL_BELOW, frequency_bands, scored_classes
from clinical_peft.metrics.calibration import BINS
from clinical_peft.metrics.cohort_check import check_against_cohort, read_cohort, train_positives
from clinical_peft.metrics.cutoffs import choose_cutoff, log_odds_of
from clinical_peft.metrics.metric import Metric
from clinical_peft.metrics.predictions import Predictions, read_classes, read_predictions
from clinical_peft.metrics.published_run import publish, published_labels, published_positives
from clinical_peft.metrics.records import Band, Bins, Bootstrap, FrequencyBands, RunMetrics, Threshold
from clinical_peft.metrics.registry import COMPARED, compute_metrics, find_metric, metrics_of
from clinical_peft.metrics.replicates import run_key, write_replicates
from clinical_peft.metrics.resampling import (
    bca_interval,
    leave_out_weights,
    patient_weights,
    percentile_interval,
    replicate,
    undefined,
)
from clinical_peft.metrics.variants import variants
from clinical_peft.models.scores import link_of, sigmoid
from clinical_peft.tasks import Task, TaskType

STRICT_LEVEL = 0.99
AUROC = find_metric("auroc")
AUROC_SIGMOID = "auroc_sigmoid"
declare_metric(AUROC_SIGMOID, AUROC.when_few)


def evaluate(
    predictions: Path,
    classes: Path,
    *,
    task: Task,
    job: Mapping[str, Any],
    protocol: str,
    cohort_sha256: str,
    seed: int,
    resamples: int,
    bootstrap_seed: int,
    output: Path,
    replicates: Path,
    provenance: Mapping[str, Any],
    cohort: Path | None = None,
    hidden_splits: Collection[str] = (),
    hidden_positives: Collection[str] = (),
    patients_apart: bool = True,
    level: float = 0.95,
    threshold: float | None = None,
    metric: Metric = COMPARED,
) -> RunMetrics:
    """Score a run's validation and test predictions and write its metrics file.

    Args:
        predictions: Predictions file, see `clinical_peft.metrics.predictions`.
        classes: JSON list, the ordered label space.
        task: The task.
        job: The resolved recipe; its `model` names the run, its `switches` the deviations of training.
        protocol: What all switches, those of the data too, amount to; see `clinical_peft.config.ablations`.
        cohort_sha256: Checksum of the cohort that was predicted.
        seed: Seed of the run.
        resamples: Bootstrap resamples of the test patients.
        bootstrap_seed: Seed of the resamples. Runs with the same one are paired.
        output: Metrics file to write.
        replicates: Parquet file to write.
        provenance: Versions of the training job (key `versions`), its machine, revision and whatever else identifies
            the computation.
        cohort: The cohort, to check the predictions against and to count labels in training; without it neither.
        hidden_splits: Splits whose number of admissions may not be published beside those of the study's other tasks,
            from `clinical_peft.data.hidden_splits.hidden_splits`.
        hidden_positives: Splits whose numbers of positives may not be published, from
            `clinical_peft.disclosure.ablations.hidden_counts`; they are among the hidden splits.
        patients_apart: As for `clinical_peft.metrics.predictions.read_predictions`.
        level: Coverage of `intervals`; 99 % intervals are always stored as well.
        threshold: Fixed decision threshold for F1 (the paper: 0.5), or None to choose it on the validation split.
        metric: The metric by which the study compares models; one that not every study has is added for it.

    Returns:
        What the metrics file holds, without what may not be published (`published_run.publish`).

    Raises:
        ConfigError: The task has no such metric.
        DataError: The predictions are malformed or not those of the cohort.
    """
    metric.refuse_without(task)
    kind = task.type
    link = link_of(kind, job.get("switches", {}))
    space = read_classes(classes)
    splits = read_predictions(predictions, space, kind, link=link, patients_apart=patients_apart)
    test = splits["test"]
    frequency = _check_and_count(splits, cohort, predictions) if cohort else None
    bands = None if frequency is None else frequency_bands(frequency)
    cutoff = choose_cutoff(splits["validation"]) if threshold is None else log_odds_of(threshold)
    scored = metrics_of(kind, len(space), has_bands=bands is not None, compared=metric)
    metrics = {
        name: _finite(compute_metrics(scored, split, cutoff=cutoff, bands=bands)) for name, split in splits.items()
    }
    if kind == "multilabel" and link == "softmax":
        # A softmax over labels changes how rows rank within a label.
        for name, split in splits.items():
            found = compute_metrics([AUROC], split.scored_by("sigmoid"))
            metrics[name][AUROC_SIGMOID] = _finite(found)["auroc"]
    drawn = patient_weights(test.subject_id, resamples=resamples, seed=bootstrap_seed, source=test.source)
    values = replicate(scored, test, drawn, cutoff=cutoff, bands=bands)
    without = leave_out_weights(test.subject_id, seed=bootstrap_seed, source=test.source)
    left_out = replicate(scored, test, without, cutoff=cutoff, bands=bands)
    bca = {
        name: bca_interval(_number(metrics["test"][name]), found, left_out[name], level)
        for name, found in values.items()
    }
    run = RunMetrics(
        model=job["model"],
        task=task.name,
        seed=seed,
        task_type=kind,
        metrics=metrics,
        level=level,
        intervals={"test": {name: percentile_interval(found, level) for name, found in values.items()}},
        intervals_99={"test": {name: percentile_interval(found, STRICT_LEVEL) for name, found in values.items()}},
        intervals_bca={"test": bca},
        bootstrap=Bootstrap(
            resamples=resamples,
            seed=bootstrap_seed,
            cluster="subject_id",
            undefined={name: undefined(found) for name, found in values.items()},
        ),
        variants={
            version: {name: _finite(found) for name, found in by_split.items()}
            for version, by_split in variants(splits).items()
        },
        n={name: len(split) for name, split in splits.items()},
        patients={name: split.patients for name, split in splits.items()},
        positives={
            name: published_positives(split, is_sized=name not in hidden_splits) for name, split in splits.items()
        },
        classes=len(space),
        classes_scored={name: int(scored_classes(split.target).sum()) for name, split in splits.items()},
        labels_outside_classes={name: split.labels_outside_classes for name, split in splits.items()},
        threshold=_threshold_record(kind, cutoff, threshold),
        calibration_bins=Bins(number=BINS, kind="equally many scores"),
        recipe=dict(job),
        protocol=protocol,
        cohort_sha256=cohort_sha256,
        predictions_sha256=sha256_file(predictions),
        versions=dict(provenance.get("versions", {})),
        provenance={key: value for key, value in provenance.items() if key != "versions"},
        labels=published_labels(test, frequency) if kind == "multilabel" else None,
        bands=None if bands is None else _described_bands(bands, scored_classes(test.target)),
    )
    run = publish(run, splits, hidden_splits, hidden_positives)
    write_replicates(replicates, scored, (values, left_out), run_key(run))
    write_json(output, run.to_json())
    return run


def _described_bands(bands: Mapping[str, np.ndarray], scored: np.ndarray) -> FrequencyBands:
    counts = {
        name: Band(classes=int(members.sum()), scored=int((members & scored).sum())) for name, members in bands.items()
    }
    return FrequencyBands(head_above=HEAD_ABOVE, tail_below=TAIL_BELOW, **counts)


def _check_and_count(splits: Mapping[str, Predictions], cohort: Path, predictions: Path) -> np.ndarray | None:
    """Check predictions against their cohort; training admissions by label if the task is multilabel."""
    table = read_cohort(cohort)
    check_against_cohort(splits, table, predictions)
    test = splits["test"]
    return train_positives(table, test.classes, str(cohort)) if test.type == "multilabel" else None


def _finite(values: Mapping[str, np.ndarray]) -> dict[str, float | None]:
    return {name: float(value[0]) if math.isfinite(value[0]) else None for name, value in values.items()}


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _threshold_record(kind: TaskType, cutoff: float | None, fixed: float | None) -> Threshold:
    if kind == "multiclass" or cutoff is None:
        return Threshold(value=None, log_odds=None, chosen_on="highest score")
    value, chosen_on = (float(sigmoid(cutoff)), "validation") if fixed is None else (fixed, "fixed")
    return Threshold(value=value, log_odds=cutoff if math.isfinite(cutoff) else None, chosen_on=chosen_on)
