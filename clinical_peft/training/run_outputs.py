"""What every fine-tuned seed leaves behind, whatever trained it: its identity, predictions and summary."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from clinical_peft.data.hash_split import HELD_OUT_SPLITS
from clinical_peft.models.variants import Variant
from clinical_peft.recipes import FinetuneJob
from clinical_peft.recipes.job_records import read_record
from clinical_peft.training.features import Features
from clinical_peft.training.fitting import Fit, FitState, Trained, predict_logits
from clinical_peft.training.objectives import Objective, class_weights, scores_from_logits
from clinical_peft.training.predictions import write_predictions
from clinical_peft.training.task_data import TaskData
from clinical_peft.training.throughput import peak_memory_bytes


def objective(job: FinetuneJob, data: TaskData) -> Objective:
    """Build a task's loss, with class weights where the recipe asks for them."""
    weights = None
    if job.recipe.class_weights and data.type != "multilabel":
        weights = torch.from_numpy(class_weights(data.targets[data.rows("train")], len(data.classes)))
    return Objective(data.type, weights)


def run_identity(
    job: FinetuneJob, data: TaskData, *, seed: int, parts: Mapping[str, str], arrays: Iterable[np.ndarray]
) -> str:
    """Digest of what decides a run's result: job, seed, initial network, notes, labels and splits.

    Args:
        job: Recipe and switches.
        data: Labels and splits.
        seed: The run's seed.
        parts: Digests of the network's parts.
        arrays: What stands for the notes.
    """
    record = {"job": read_record(job), "seed": seed, "splits": data.table.column("split").to_pylist(), **parts}
    digest = hashlib.sha256(json.dumps(record, sort_keys=True).encode())
    for array in (*arrays, data.targets):
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def write_run_predictions(
    path: Path, job: FinetuneJob, data: TaskData, classifier: Trained, features: Features
) -> None:
    """Predict the validation and test admissions and write the predictions file."""
    rows = data.rows(*HELD_OUT_SPLITS)
    logits = predict_logits(classifier, features, rows)
    softmax = job.switches.get("multilabel_softmax", False)
    scores = scores_from_logits(logits, data.type, multilabel_softmax=softmax)
    write_predictions(path, data, rows, logits, scores)


def run_summary(
    variant: Variant,
    data: TaskData,
    fit: Fit,
    state: FitState,
    *,
    device: torch.device,
    frozen: str,
    trainable: int,
    total: int,
    shared_features: bool = False,
) -> dict[str, Any]:
    """Summarise a finished run, JSON-ready; the keys are those that `classification.finetune` documents.

    Args:
        variant: What the classifier consists of.
        data: The task.
        fit: The finished run.
        state: Its end.
        device: Where it ran.
        frozen: Digest of what was not trained.
        trainable: Number of trained parameters.
        total: Number of all parameters.
        shared_features: Whether the features come from another job, which accounts for the passes they took.
    """
    targets = data.targets[data.rows("train")]
    seen = targets.any(axis=0) if data.type == "multilabel" else np.bincount(targets, minlength=len(data.classes)) > 0
    return {
        "epochs": state.epoch,
        "best_epoch": state.best_epoch,
        "selected_by": fit.selection,
        "curve": state.curve,
        "optimizer_steps": state.step,
        "tokens": state.tokens,
        "seconds": state.seconds,
        "tokens_per_second": state.tokens / max(state.seconds, 1e-9),
        "peak_memory_bytes": peak_memory_bytes(device),
        "trainable_parameters": trainable,
        "total_parameters": total,
        "trained_adapters": list(variant.trained),
        "active_adapters": list(variant.active),
        "frozen_sha256": frozen,
        "features_kept": fit.keeps_features,
        "passes": _passes(data, fit, state, shared_features=shared_features),
        "classes_without_training_rows": int((~seen).sum()),
        "unknown_codes": data.unknown_codes,
    }


def _passes(data: TaskData, fit: Fit, state: FitState, *, shared_features: bool) -> dict[str, int]:
    """Tokens that the network read in training steps and in forward passes alone, and those of the original's way.

    The original pads every note to the context and passes it through the network in every epoch.
    """
    lengths = fit.features.lengths
    sizes = {split: len(data.rows(split)) for split in ("train", "validation", "test")}
    real = {split: int(lengths[data.rows(split)].sum()) for split in sizes}
    epochs, context = state.epoch, fit.recipe.context
    trained, forward = state.tokens, (epochs + 1) * real["validation"] + real["test"]
    if fit.keeps_features:
        trained, forward = 0, 0 if shared_features else sum(real.values())
    return {
        "trained_tokens": trained,
        "forward_tokens": forward,
        "original_trained_tokens": epochs * sizes["train"] * context,
        "original_forward_tokens": (epochs * sizes["validation"] + sizes["test"]) * context,
    }


def log_summary(fit: Fit, summary: Mapping[str, Any]) -> None:
    """Report the figures of a whole run."""
    keys = ("best_epoch", "seconds", "tokens_per_second", "peak_memory_bytes", "trainable_parameters")
    fit.log.metrics({key: summary[key] for key in keys})
