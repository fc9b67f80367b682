"""Measure bootstrapped AUROC, average precision and F1 of many labels against a loop over scikit-learn, in one run.

python benchmarks/metrics.py [--rows 10000] [--labels 1266] [--resamples 1000]

Labels are as rare as diagnoses are: frequencies fall with the rank of a label. Ours runs whole, in a fresh process
that imports and compiles the kernel too; scikit-learn runs on a few labels and resamples, spread over the ranks, and
its time is multiplied out. Both are given the same patients' counts, and their metrics are compared. Ratios are of
processor seconds, which a busy machine stretches least; every way uses one thread.
"""

import argparse
import os
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from clinical_peft.files import write_json
from clinical_peft.metrics.areas import class_areas, mean_of_defined
from clinical_peft.metrics.predictions import Predictions
from clinical_peft.metrics.registry import compute_metrics, find_metric
from clinical_peft.metrics.resampling import patient_weights
from clinical_peft.metrics.weighting import Weighting, kernel_pays
from clinical_peft.models.scores import sigmoid
from clinical_peft.runtime.provenance import git_revision, machine, package_versions

HERE = Path(__file__).resolve().parent
CUTOFF = -0.8  # in log-odds
F1 = (find_metric("f1_micro"), find_metric("f1_macro"))
SAMPLED_LABELS, SAMPLED_RESAMPLES = 24, 3
NUMPY_LABELS = 40


def make(rows: int, labels: int) -> Predictions:
    """Predictions of a multilabel task, one to three admissions a patient."""
    generator = np.random.default_rng(0)
    rates = 0.3 / (1 + np.arange(labels)) ** 0.6
    target = generator.random((rows, labels)) < rates
    logits = (generator.normal(size=(rows, labels)) + target + np.log(rates)).astype(np.float32)
    subject = np.sort(generator.integers(0, rows * 2 // 3, rows))
    return Predictions.of_logits(
        logits,
        link="sigmoid",
        type="multilabel",
        classes=tuple(range(labels)),
        hadm_id=np.arange(rows),
        subject_id=subject,
        target=target,
    )


def ours(data: Predictions, resamples: int) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """Processor seconds of each step, and macro metrics in every resample."""
    seconds = {}
    start = time.process_time()
    weights = patient_weights(data.subject_id, resamples=resamples, seed=0)
    seconds["draw patients"] = time.process_time() - start
    start = time.process_time()
    weighting = Weighting(weights, compiled=kernel_pays(int(data.target.sum()), len(data), resamples))
    weighting.rank(data.scores[:4, 0], np.array([True, False] * 2), np.arange(4))
    seconds["import and compile"] = time.process_time() - start
    start = time.process_time()
    areas = class_areas(data, weighting, range(data.scores.shape[1]))
    seconds["AUROC and average precision"] = time.process_time() - start
    start = time.process_time()
    metrics = {name: mean_of_defined(values) for name, values in areas.items()}
    metrics |= compute_metrics(F1, data, weighting, cutoff=CUTOFF)
    seconds["F1"] = time.process_time() - start
    return seconds, metrics | {"areas_by_label": areas["auroc"], "precision_by_label": areas["auprc"]}


def numpy_alone(data: Predictions, resamples: int) -> float:
    """Processor seconds of the dense form for AUROC and average precision, multiplied out from some labels."""
    chosen = np.linspace(0, data.scores.shape[1] - 1, NUMPY_LABELS).astype(int)
    weighting = Weighting(patient_weights(data.subject_id, resamples=resamples, seed=0))
    start = time.process_time()
    class_areas(data, weighting, chosen)
    return (time.process_time() - start) * data.scores.shape[1] / len(chosen)


def scikit_learn(data: Predictions, resamples: int, found: dict[str, np.ndarray]) -> dict[str, Any]:
    """Processor seconds of a loop, multiplied out, and the largest difference from ours."""
    from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

    warnings.filterwarnings("ignore", module="sklearn")
    labels = data.scores.shape[1]
    chosen = np.linspace(0, labels - 1, SAMPLED_LABELS).astype(int)
    counts = patient_weights(data.subject_id, resamples=SAMPLED_RESAMPLES, seed=0)
    areas = f1 = largest = 0.0
    for resample in range(SAMPLED_RESAMPLES):
        rows = np.repeat(np.arange(len(data)), counts[:, resample])
        target, scores = data.target[rows], data.scores[rows]
        for label in chosen:
            if not target[:, label].any():
                continue
            start = time.process_time()
            pair = (
                roc_auc_score(target[:, label], scores[:, label]),
                average_precision_score(target[:, label], scores[:, label]),
            )
            areas += time.process_time() - start
            own = (found["areas_by_label"][label, resample], found["precision_by_label"][label, resample])
            largest = max(largest, float(np.abs(np.subtract(pair, own)).max()))
        start = time.process_time()
        decided = scores >= sigmoid(CUTOFF)
        micro = f1_score(target, decided, average="micro", zero_division=0)
        f1_score(target, decided, average="macro", zero_division=0)
        f1 += time.process_time() - start
        largest = max(largest, abs(float(micro) - float(found["f1_micro"][resample])))
    return {
        "AUROC and average precision": areas * labels / len(chosen) * resamples / SAMPLED_RESAMPLES,
        "F1": f1 * resamples / SAMPLED_RESAMPLES,
        "largest_difference": largest,
    }


def run(rows: int, labels: int, resamples: int) -> dict[str, Any]:
    """Measure, and return everything with machine, versions and revision."""
    load_before = os.getloadavg()[0]
    data = make(rows, labels)
    start = time.perf_counter()
    seconds, found = ours(data, resamples)
    elapsed = time.perf_counter() - start
    print({name: round(value, 2) for name, value in seconds.items()}, flush=True)
    reference = scikit_learn(data, resamples, found)
    largest = reference.pop("largest_difference")
    total = sum(seconds.values())
    return {
        "rows": rows,
        "labels": labels,
        "resamples": resamples,
        "positives": int(data.target.sum()),
        "ours": {"processor_seconds": total, "by_step": seconds, "elapsed_seconds": elapsed},
        "numpy_alone": {"processor_seconds": numpy_alone(data, resamples), "multiplied_out": True},
        "scikit_learn": {"processor_seconds": sum(reference.values()), "by_step": reference, "multiplied_out": True},
        "ratio": sum(reference.values()) / total,
        "largest_difference": largest,
        "load_before": load_before,
        "git_revision": git_revision(HERE),
        "machine": machine(),
        "versions": package_versions(),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--labels", type=int, default=1266)
    parser.add_argument("--resamples", type=int, default=1000)
    arguments = parser.parse_args()
    result = run(arguments.rows, arguments.labels, arguments.resamples)
    print({name: result[name] for name in ("ours", "numpy_alone", "scikit_learn", "ratio", "largest_difference")})
    write_json(HERE / "results" / "metrics.json", result)
