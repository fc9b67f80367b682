"""A seeded study in files: predictions of models whose quality is chosen, adapters with learning curves."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from clinical_peft.metrics.aggregate import aggregate
from clinical_peft.metrics.evaluate import evaluate
from clinical_peft.metrics.predictions import Predictions
from clinical_peft.metrics.registry import compute_metrics, metrics_of
from clinical_peft.metrics.weighting import Weighting
from clinical_peft.tasks import find_task

CLASSES: dict[str, list[Any]] = {
    "pmv": [0, 1],
    "mortality": [0, 1],
    "los": ["up to 3 days", "up to 7 days", "up to 14 days", "more than 14 days"],
    "diagnoses": [f"{code:03d}" for code in range(20)],
    "procedures": [f"{code:04d}" for code in range(12)],
    "control": [0, 1],
}
VARIANTS = {
    "llama": 0.2,
    "llama+lora": 0.9,
    "llama+clinical-frozen": 0.4,
    "llama+clinical-frozen+downstream": 0.8,
    "llama+clinical-trainable": 0.9,
    "llama+clinical-trainable+downstream": 1.3,
}


def design_of(model: str) -> dict[str, Any]:
    """How a model of the simulated study is built, as a study's labels say it."""
    base, *parts = model.split("+")
    clinical = next((part for part in parts if part.startswith("clinical-")), None)
    return {
        "kind": "tfidf" if base == "tfidf" else "adapted",
        "base": None if base == "tfidf" else base,
        "clinical": "tiny-lora" if clinical else None,
        "clinical_mode": clinical.removeprefix("clinical-") if clinical else None,
        "task_method": "task-lora" if {"lora", "downstream"} & {*parts} else None,
    }


LABELS: dict[str, dict[str, Any]] = {
    "tiny-lora": {"label": "LoRA", "published": "llama-7b/lora"},
    "tiny-prefix": {"label": "prefix tuning", "published": "llama-7b/prefix_tuning"},
    "tiny-adalora": {"label": "AdaLoRA", "published": None},
    "tfidf": {"label": "TF-IDF & logistic regression", "published": None, "table": "main"},
    **{name: {"label": name.replace("llama", "tiny LLaMA"), "published": name} for name in VARIANTS},
    "bluebert+lora": {"label": "tiny BERT+lora", "published": "bluebert+lora"},
}
for _name in ("tfidf", *VARIANTS, "bluebert+lora"):
    LABELS[_name]["design"] = design_of(_name)
OF_PAPER = {name: label | {"of_paper": True} for name, label in LABELS.items()}
"""The same labels in a study whose bases and notes are the paper's."""


def compute_all(
    data: Predictions, weights: np.ndarray | None = None, *, cutoff: float | None = None, bands: Any = None
) -> dict[str, np.ndarray]:
    """Every metric of predictions."""
    metrics = metrics_of(data.type, data.target.shape[1], has_bands=bands is not None)
    return compute_metrics(metrics, data, weights, cutoff=cutoff, bands=bands)


def simulate_predictions(
    path: Path, task: str, *, signal: float, seed: int, rows: int = 300, classes: list[Any] | None = None
) -> None:
    """Write a predictions file; the labels depend on the task alone, the scores on `signal` and `seed`."""
    classes = classes or CLASSES[task]
    kind = find_task(task).type
    truth = np.random.default_rng([11, len(task), ord(task[0])])
    subject = np.sort(truth.integers(0, rows * 3 // 4, rows)) + 900_000_000
    split = np.where(truth.random(rows * 3 // 4)[subject - 900_000_000] < 0.35, "validation", "test")
    noise = np.random.default_rng([seed, round(signal * 1000), len(task)])
    logits = noise.normal(size=(rows, len(classes)))
    if kind == "multilabel":
        rates = 0.45 / (1 + np.arange(len(classes)))
        target = truth.random((rows, len(classes))) < rates
        label = pa.array([[classes[k] for k in np.flatnonzero(row)] for row in target], pa.list_(pa.string()))
        logits = logits + signal * target - 2
        scores = 1 / (1 + np.exp(-logits))
    else:
        index = truth.integers(0, len(classes), rows)
        label = pa.array(index)
        if task != "control":
            logits[np.arange(rows), index] += signal
        exponent = np.exp(logits)
        scores = exponent / exponent.sum(axis=1, keepdims=True)
    lists = pa.list_(pa.float32())
    columns = {
        "hadm_id": pa.array(np.arange(rows) + 1_000),
        "subject_id": pa.array(subject),
        "split": pa.array(split),
        "label": label,
        "scores": pa.array(scores.astype(np.float32).tolist(), lists),
        "logits": pa.array(logits.astype(np.float32).tolist(), lists),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)


def metrics_file(**changes: Any) -> dict[str, Any]:
    """Content of a metrics file without metrics."""
    of_test: dict[str, Any] = {"test": {}}
    known = {
        **{"model": "m", "task": "los", "seed": 0, "task_type": "multiclass", "protocol": "corrected"},
        **dict.fromkeys(("metrics", "intervals", "intervals_99", "intervals_bca"), of_test),
        **{"level": 0.95, "variants": {}, "positives": {"test": [90] * 4}, "classes": 4, "recipe": {"model": "m"}},
        **{"n": {"test": 360}, "patients": {"test": 180}, "classes_scored": {"test": 4}, "versions": {}},
        **{"labels_outside_classes": {"test": 0}, "provenance": {}, "cohort_sha256": "c0", "predictions_sha256": "p"},
        "bootstrap": {"resamples": 100, "seed": 0, "cluster": "subject_id", "undefined": {}},
        "threshold": {"value": None, "log_odds": None, "chosen_on": "highest score"},
        "calibration_bins": {"number": 10, "kind": "equally many scores"},
    }
    return known | changes


def simulate_perplexity(adapter: str, method: str, final: float) -> dict[str, Any]:
    """Content of a perplexity file."""
    tokens = np.linspace(0, 2_000_000, 9)
    curve = [
        {"step": index, "train_loss": 3.0, "validation_perplexity": final + 40 * 0.5**index, "tokens": int(count)}
        for index, count in enumerate(tokens)
    ]
    return {
        "adapter": adapter,
        "base": "tiny-llama",
        "method": method,
        "corpus": "mimic-iv",
        "trainable_parameters": 12_288,
        "total_parameters": 3_200_000,
        "tokens": {"train": 1_800_000, "validation": 200_000, "test": 400_000, "trained_on": 2_000_000},
        "perplexity": {
            "before": {"validation": 43.0, "test": 44.0},
            "after": {"train": final - 0.5, "validation": final, "test": final + 0.25},
        },
        "evaluated_tokens": {"train": 50_000, "validation": 200_000, "test": 400_000},
        "forward_tokens": 3_100_000,
        "evaluation_seconds": 6.6,
        "curve": curve,
        "seconds": 123.4,
        "tokens_per_second": 16207.5,
        "peak_memory_bytes": 1_500_000_000,
    }


def simulate_study(
    root: Path, *, seeds: int = 2, resamples: int = 200, tasks: tuple[str, ...] = tuple(CLASSES)
) -> dict:
    """Write predictions of every model, evaluate and aggregate them; return what tables and report are built from."""
    metrics, replicates, predictions = [], [], {}
    models = {**VARIANTS, "tfidf": 1.0, "bluebert+lora": 0.7}
    for task in tasks:
        class_file = root / f"cohorts/{task}.classes.json"
        class_file.parent.mkdir(parents=True, exist_ok=True)
        class_file.write_text(json.dumps(CLASSES[task]))
        for model, signal in models.items():
            for seed in range(seeds):
                stem = f"{model}/{task}/seed{seed}"
                path = root / f"predictions/{stem}.parquet"
                simulate_predictions(path, task, signal=signal, seed=seed)
                evaluate(
                    path,
                    class_file,
                    task=find_task(task),
                    job={"model": model, "task": task, "kind": "adapted", "switches": {"multilabel_softmax": False}},
                    protocol="corrected",
                    cohort_sha256="c0" * 32,
                    seed=seed,
                    resamples=resamples,
                    bootstrap_seed=0,
                    output=root / f"metrics/{stem}.json",
                    replicates=root / f"metrics/{stem}.replicates.parquet",
                    provenance={"versions": {"numpy": np.__version__}, "git": "0" * 40},
                )
                metrics.append(root / f"metrics/{stem}.json")
                replicates.append(root / f"metrics/{stem}.replicates.parquet")
                predictions.setdefault((model, task), []).append(path)
    summary = aggregate(
        metrics,
        replicates,
        tasks={task: find_task(task) for task in tasks},
        groups={"tiny LLaMA": ["tfidf", *VARIANTS]},
        output=root / "comparison.json",
    ).to_json()
    return {
        "metrics": [json.loads(path.read_text()) for path in metrics],
        "replicates": replicates,
        "aggregate": summary,
        "predictions": predictions,
        "classes": {task: root / f"cohorts/{task}.classes.json" for task in tasks},
        "perplexities": [
            simulate_perplexity("tiny-lora", "lora", 7.5),
            simulate_perplexity("tiny-prefix", "prefix_tuning", 11.0),
            simulate_perplexity("tiny-adalora", "adalora", 8.0),
        ],
        "statistics": [
            {
                "task": task,
                "classes": len(CLASSES[task]),
                "multilabel": find_task(task).type == "multilabel",
                "train": 1400,
                "validation": 200,
                "test": 400,
            }
            for task in tasks
        ],
        "labels": LABELS,
    }


def simulate_histories(seeds: int = 2, tasks: tuple[str, ...] = tuple(CLASSES)) -> list[dict[str, Any]]:
    """Validation AUROC by epoch of every model, as the figures take it."""
    generator = np.random.default_rng(3)
    return [
        {
            "model": model,
            "task": task,
            "seed": seed,
            "curve": [
                {"epoch": epoch, "validation_auroc": 0.5 + signal / 4 * (1 - 0.5**epoch) + generator.normal(0, 0.01)}
                for epoch in (1, 2, 3)
            ],
        }
        for task in tasks
        for model, signal in VARIANTS.items()
        for seed in range(seeds)
    ]


def simulate_attrition(tasks: tuple[str, ...] = tuple(CLASSES)) -> dict[str, list[dict[str, Any]]]:
    """Steps of every cohort: a shared trunk, and one step of each task's own."""
    trunk = [
        {"step": "discharge summaries", "unit": "notes", "rows": 2600, "patients": 2000},
        {"step": "not of a newborn", "unit": "notes", "rows": 2300, "patients": 1800},
        {"step": "joined by admission", "unit": "admissions", "rows": 2100, "patients": 1800},
    ]
    own = {"unit": "admissions", "rows": 2000, "patients": 1600, "left_out": {"rows without a code": 12}}
    return {task: [*trunk, {"step": f"with a label of {task}", **own}] for task in tasks}


def unweighted(data: Predictions) -> Weighting:
    """Every row with weight 1."""
    return Weighting(np.ones((len(data), 1), np.uint8))
