"""A small study of a user's own table in files: three tasks whose classes have names of any characters, two models."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from simulated_study import design_of, simulate_perplexity, simulate_predictions

from clinical_peft.metrics.aggregate import aggregate
from clinical_peft.metrics.calibrate import calibrate
from clinical_peft.metrics.evaluate import evaluate
from clinical_peft.metrics.runs import RunFiles
from clinical_peft.metrics.subgroup_gaps import compare_subgroups
from clinical_peft.tables.study_results import StudyResults
from clinical_peft.tasks import TASKS, OwnTask

SERVICES = ["Ear & nose_throat", "50% $\\alpha$ {x}", "<b>Käthe's ward</b>", "a|b\tc"]
PROBLEMS = [f"{mark}{number:02d}" for number, mark in enumerate("$_%#&~^\\{}<>")]
OWN = {
    task.name: task
    for task in (
        OwnTask(name="readmission", title="30-day readmission", short="READM", place=100, type="binary", table="ours"),
        OwnTask(name="service", title="Service", short="SERV_$x", place=101, type="multiclass", table="ours"),
        OwnTask(name="problems", title="Problems", short="PROB", place=102, type="multilabel", table="ours"),
    )
}
OWN["readmission"] = replace(OWN["readmission"], classes=("no", "yes"))
CLASSES: dict[str, list[Any]] = {"readmission": [0, 1], "service": SERVICES, "problems": PROBLEMS}
MODELS = {"tfidf": 0.6, "llama+lora": 1.2}
LABELS = {
    "tfidf": {"label": "TF-IDF", "published": None, "table": "main", "design": design_of("tfidf")},
    "llama+lora": {"label": "LLaMA & LoRA", "published": None, "table": "main", "design": design_of("llama+lora")},
    "ours-lora": {"label": "Our LoRA", "published": None},
}
ROWS = 240


def simulate_own_study(root: Path, monkeypatch: pytest.MonkeyPatch, *, resamples: int = 30) -> StudyResults:
    """Write predictions, score and compare them, and return all results that tables and figures are made from."""
    for task in OWN.values():
        monkeypatch.setitem(TASKS, task.name, task)
    metrics, replicates, predictions, classes = [], [], [], {}
    for task, space in CLASSES.items():
        classes[task] = root / f"cohorts/{task}.classes.json"
        classes[task].parent.mkdir(parents=True, exist_ok=True)
        classes[task].write_text(json.dumps(space))
        for model, signal in MODELS.items():
            stem = f"{model}/{task}/seed0"
            predictions.append(root / f"predictions/{stem}.parquet")
            simulate_predictions(predictions[-1], task, signal=signal, seed=0, rows=ROWS, classes=space)
            metrics.append(root / f"metrics/{stem}.json")
            replicates.append(root / f"replicates/{stem}.parquet")
            evaluate(
                predictions[-1],
                classes[task],
                task=OWN[task],
                job={"model": model, "task": task, "kind": "adapted", "switches": {"multilabel_softmax": False}},
                protocol="corrected",
                cohort_sha256="c0" * 32,
                seed=0,
                resamples=resamples,
                bootstrap_seed=0,
                output=metrics[-1],
                replicates=replicates[-1],
                provenance={"versions": {"numpy": np.__version__}, "git": "0" * 40},
            )
    files = RunFiles(metrics, predictions, classes)
    draw = {"resamples": resamples, "bootstrap_seed": 0}
    found = {
        "comparison": aggregate(
            metrics,
            replicates,
            tasks=OWN,
            groups={"Main comparison": [*MODELS]},
            predictions=predictions,
            classes=classes,
            output=root / "comparison.json",
        ),
        "calibration": calibrate(files, **draw, output=root / "calibration.json"),
        "subgroups": compare_subgroups(files, [_subgroups(root)], tasks=OWN, **draw, output=root / "subgroups.json"),
    }
    by_task = {
        task: {model: [root / f"predictions/{model}/{task}/seed0.parquet"] for model in MODELS} for task in CLASSES
    }
    return StudyResults(
        **{name: one.to_json() for name, one in found.items()},
        tasks=OWN,
        labels=LABELS,
        protocol="corrected",
        statistics=[_statistics(task) for task in CLASSES],
        attrition={task: _attrition(task) for task in CLASSES},
        corpora={"ours": {"rows_read": 1500, "written": 1400}},
        perplexities=[_perplexity()],
        training=_training(),
        metrics=[json.loads(path.read_text()) for path in metrics],
        replicates=replicates,
        predictions=by_task,
        classes=classes,
        cohorts={"problems": _cohort(root)},
    )


def _subgroups(root: Path) -> Path:
    rows = np.arange(ROWS) + 1_000
    path = root / "cohorts/ours.subgroups.parquet"
    values = [["F", "M"][row % 2] for row in range(ROWS)]
    pq.write_table(pa.table({"hadm_id": rows, "sex": values}), path)
    return path


def _cohort(root: Path) -> Path:
    path = root / "cohorts/problems.parquet"
    labels = [PROBLEMS[: 1 + row % len(PROBLEMS)] for row in range(300)]
    columns = {"hadm_id": [f"{row:04d}" for row in range(300)], "split": ["train"] * 300, "label": labels}
    pq.write_table(pa.table({**columns, "text": ["a note"] * 300}), path)
    return path


def _statistics(task: str) -> dict[str, Any]:
    words = {"mean": 210.0, "median": 200.0, "p95": 400.0, "longest": 700}
    multilabel = OWN[task].multilabel
    return {
        **{"task": task, "classes": len(CLASSES[task]), "multilabel": multilabel, "patients": 1100},
        **{"train": 1000, "validation": 200, "test": 200, "lengths": {"words": words}, "prevalence": None},
        "class_shares": None if multilabel else [1 / len(CLASSES[task])] * len(CLASSES[task]),
        "mean_cardinality": 2.5 if multilabel else None,
        "without_code": 30 if multilabel else None,
    }


def _attrition(task: str) -> list[dict[str, Any]]:
    return [
        {"step": "rows of ours", "unit": "notes", "rows": 1500, "patients": 1200},
        {"step": f"with a label of {OWN[task].title}", "unit": "notes", "rows": 1400, "patients": 1100},
    ]


def _perplexity() -> dict[str, Any]:
    method = {"type": "lora", "r": 8}
    job = {"seed": 1, "recipe": {"learning_rate": 3e-4}}
    return simulate_perplexity("ours-lora", "lora", 7.5) | {
        **{"corpus": "ours", "base_revision": "f" * 40, "method": method, "job": job}
    }


def _training() -> list[dict[str, Any]]:
    curve = [{"epoch": epoch, "validation_auroc": 0.6 + 0.05 * epoch} for epoch in (1, 2)]
    return [{"model": "llama+lora", "task": task, "seed": 0, "seconds": 2.0, "curve": curve} for task in CLASSES]
