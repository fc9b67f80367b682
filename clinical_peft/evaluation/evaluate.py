"""One run's predictions -> its metrics file and its bootstrap replicates."""

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from clinical_peft.errors import DataError
from clinical_peft.evaluation.metrics import (
    FIGURES,
    all_figures,
    area_figures,
    choose_threshold,
    scored_classes,
)
from clinical_peft.evaluation.predictions import Predictions, read_classes, read_predictions
from clinical_peft.evaluation.resampling import bootstrap, percentile_interval, undefined
from clinical_peft.files import atomic_path, sha256_file, write_json
from clinical_peft.recipes import TASK_TYPES

STRICT_LEVEL = 0.99
METADATA_KEY = b"run"


def evaluate(
    predictions: Path,
    classes: Path,
    *,
    task: str,
    job: Mapping[str, Any],
    cohort_sha256: str,
    seed: int,
    resamples: int,
    bootstrap_seed: int,
    output: Path,
    replicates: Path,
    provenance: Mapping[str, Any],
    level: float = 0.95,
    threshold: float | None = None,
) -> dict[str, Any]:
    """Score a run's validation and test predictions and write its metrics file.

    Args:
        predictions: Predictions file, see `clinical_peft.evaluation.predictions`.
        classes: JSON list, the ordered label space.
        task: Name of the task.
        job: The resolved recipe; its `model` names the run, its `switches` the deviations.
        cohort_sha256: Checksum of the cohort that was predicted.
        seed: Seed of the run.
        resamples: Bootstrap resamples of the test patients.
        bootstrap_seed: Seed of the resamples. Runs with the same one are paired.
        output: Metrics file to write.
        replicates: Parquet file to write: one row per resample, one float64 column per figure of
            `clinical_peft.evaluation.metrics.FIGURES`, null where the resample leaves it undefined.
        provenance: Versions (key `versions`), revision and whatever else identifies the computation.
        level: Coverage of `intervals`; 99 % intervals are always stored as well.
        threshold: Fixed decision threshold for F1 (the paper: 0.5), or None to choose it on the validation split.

    Returns:
        What the metrics file holds: model, task, seed, task_type, metrics.{validation,test}.{auroc, auprc, f1_micro,
        f1_macro, brier, log_loss} (with multilabel_softmax also auroc_sigmoid), level, intervals.test.{figure},
        intervals_99.test.{figure}, bootstrap.{resamples, seed, cluster, undefined.{figure}}, n.{split},
        patients.{split}, positives.{split} (binary: rows of the second class; multiclass: rows per class; multilabel:
        labels in all), classes, classes_scored.{split}, labels_outside_classes.{split}, threshold.{value, chosen_on},
        recipe, cohort_sha256, predictions_sha256, versions, provenance.

    Raises:
        DataError: The predictions are malformed, or AUROC is undefined on the test split.
    """
    kind = TASK_TYPES[task]
    splits = read_predictions(predictions, read_classes(classes), kind)
    test = splits["test"]
    used = choose_threshold(splits["validation"]) if threshold is None or kind == "multiclass" else threshold
    metrics = {name: _estimates(split, used, job) for name, split in splits.items()}
    if metrics["test"]["auroc"] is None:
        raise DataError(
            f"{predictions}: AUROC is undefined on the test split of {task}: none of {test.target.shape[1]} classes "
            f"has both a positive and a negative row among {len(test)}; a larger cohort is needed"
        )
    values = bootstrap(test, used, resamples=resamples, seed=bootstrap_seed)
    result = {
        "model": job["model"],
        "task": task,
        "seed": seed,
        "task_type": kind,
        "metrics": metrics,
        "level": level,
        "intervals": {"test": {name: percentile_interval(values[name], level) for name in FIGURES}},
        "intervals_99": {"test": {name: percentile_interval(values[name], STRICT_LEVEL) for name in FIGURES}},
        "bootstrap": {
            "resamples": resamples,
            "seed": bootstrap_seed,
            "cluster": "subject_id",
            "undefined": {name: undefined(values[name]) for name in FIGURES},
        },
        "n": {name: len(split) for name, split in splits.items()},
        "patients": {name: split.patients for name, split in splits.items()},
        "positives": {name: _positives(split) for name, split in splits.items()},
        "classes": test.target.shape[1],
        "classes_scored": {name: int(scored_classes(split.target).sum()) for name, split in splits.items()},
        "labels_outside_classes": {name: split.labels_outside_classes for name, split in splits.items()},
        "threshold": _threshold_record(kind, used, threshold),
        "recipe": dict(job),
        "cohort_sha256": cohort_sha256,
        "predictions_sha256": sha256_file(predictions),
        "versions": dict(provenance.get("versions", {})),
        "provenance": {key: value for key, value in provenance.items() if key != "versions"},
    }
    _write_replicates(replicates, values, run_key(result))
    write_json(output, result)
    return result


def run_key(metrics: Mapping[str, Any]) -> str:
    """What a replicates file must agree on with its metrics file, as one line."""
    return f"{metrics['model']} {metrics['task']} seed {metrics['seed']} predictions {metrics['predictions_sha256']}"


def read_replicates(path: Path, metrics: Mapping[str, Any], figure: str = "auroc") -> np.ndarray:
    """Read a figure's bootstrap replicates, float64 of shape (R,), NaN where undefined.

    Args:
        path: File that `evaluate` wrote beside a metrics file.
        metrics: That metrics file's content.
        figure: One of `clinical_peft.evaluation.metrics.FIGURES`.

    Raises:
        DataError: The file is missing or belongs to another run.
    """
    if not Path(path).is_file():
        raise DataError(f"{path}: expected bootstrap replicates, found no file; evaluate the run again")
    table = pq.read_table(path, columns=[figure])
    found = (table.schema.metadata or {}).get(METADATA_KEY, b"").decode()
    if found != run_key(metrics):
        raise DataError(f"{path}: expected replicates of '{run_key(metrics)}', found '{found}'; evaluate the run again")
    column = table.column(figure).to_numpy(zero_copy_only=False)
    return np.asarray(column, dtype=np.float64)


def _write_replicates(path: Path, values: Mapping[str, np.ndarray], key: str) -> None:
    columns = {name: pa.array(values[name], mask=np.isnan(values[name])) for name in FIGURES}
    with atomic_path(path) as temporary:
        pq.write_table(pa.table(columns).replace_schema_metadata({METADATA_KEY: key}), temporary, compression="zstd")


def _estimates(split: Predictions, threshold: float | None, job: Mapping[str, Any]) -> dict[str, float | None]:
    values = {name: float(value[0]) for name, value in all_figures(split, threshold).items()}
    if split.type == "multilabel" and job.get("switches", {}).get("multilabel_softmax"):
        # A softmax over labels changes how rows rank within a label; the sigmoid's ranking is that of the logits.
        sigmoid = area_figures(replace(split, scores=split.logits), np.ones((len(split), 1)))
        values["auroc_sigmoid"] = float(sigmoid["auroc"][0])
    return {name: value if math.isfinite(value) else None for name, value in values.items()}


def _positives(split: Predictions) -> int | list[int]:
    by_class = split.target.sum(axis=0)
    if split.type == "multiclass":
        return [int(count) for count in by_class]
    return int(by_class[1] if split.type == "binary" else by_class.sum())


def _threshold_record(kind: str, used: float | None, fixed: float | None) -> dict[str, Any]:
    if kind == "multiclass":
        return {"value": None, "chosen_on": "highest score"}
    return {"value": used, "chosen_on": "validation" if fixed is None else "fixed"}
