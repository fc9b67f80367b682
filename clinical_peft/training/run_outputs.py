"""The training of one seed of a network or head: its identity, its logits and the summary of its run."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from clinical_peft.recipes import FinetuneJob
from clinical_peft.recipes.job_records import read_record
from clinical_peft.recipes.variants import Variant
from clinical_peft.training.batching import Rows
from clinical_peft.training.fitting import Fit, predict_logits
from clinical_peft.training.loop import TrainingRun
from clinical_peft.training.task_data import TaskData
from clinical_peft.training.throughput import peak_memory_bytes


def with_identity(
    run: TrainingRun, job: FinetuneJob, data: TaskData, *, parts: Mapping[str, str], arrays: Iterable[np.ndarray]
) -> TrainingRun:
    """Give a run the digest of what decides its result: job, seed, initial network, notes, labels and splits.

    Args:
        run: The run of one seed.
        job: Recipe and switches.
        data: Labels and splits.
        parts: Digests of the network's parts.
        arrays: Arrays that identify the notes.
    """
    record = {"job": read_record(job), "seed": run.seed, "splits": data.table.column("split").to_pylist(), **parts}
    digest = hashlib.sha256(json.dumps(record, sort_keys=True).encode())
    for array in (*arrays, data.targets):
        digest.update(np.ascontiguousarray(array).data)
    return replace(run, identity=digest.hexdigest())


@dataclass(frozen=True, kw_only=True)
class TrainedClassifier:
    """A fine-tuned network or head, with the weights that the recipe keeps.

    Attributes:
        fit: The finished run.
        variant: What the classifier consists of.
        frozen: Digest of what was not trained.
        trainable: Number of trained parameters.
        total: Number of all parameters.
        write: Writes the model's folder.
        shares_features: Whether the features come from another job, which accounts for the passes they took.
    """

    fit: Fit
    variant: Variant
    frozen: str
    trainable: int
    total: int
    write: Callable[[Path], None]
    shares_features: bool = False

    logged = ("best_epoch", "seconds", "tokens_per_second", "peak_memory_bytes", "trainable_parameters")

    def logits(self, rows: Rows) -> np.ndarray:
        """Logits of some admissions, float32 of shape (M, K)."""
        return predict_logits(self.fit.classifier, self.fit.features, rows)

    def save(self, folder: Path) -> None:
        """Write the model's folder, whole or not at all."""
        self.write(folder)

    def summary(self) -> dict[str, Any]:
        """Summarise the run; the keys are those that `clinical_peft.training.finetuning.finetune` documents."""
        fit, state, data = self.fit, self.fit.state, self.fit.data
        seconds = state.seconds + state.evaluation_seconds
        return {
            "epochs": len(state.curve),
            "best_epoch": fit.best_epoch,
            "selected_by": fit.selection,
            "curve": state.curve,
            "optimizer_steps": state.step,
            "tokens": state.tokens,
            "seconds": seconds,
            "tokens_per_second": state.tokens / max(seconds, 1e-9),
            "peak_memory_bytes": peak_memory_bytes(next(iter(fit.parameters.values())).device),
            "trainable_parameters": self.trainable,
            "total_parameters": self.total,
            "trained_adapters": list(self.variant.trained),
            "active_adapters": list(self.variant.active),
            "frozen_sha256": self.frozen,
            "features_kept": fit.keeps_features,
            "passes": self._passes(),
            "classes_without_training_rows": int((data.training_counts() == 0).sum()),
            "unknown_codes": data.unknown_codes,
        }

    def _passes(self) -> dict[str, int]:
        """Tokens that the network read in training steps and in forward passes alone, and those of the original.

        The original pads every note to the context and passes it through the network in every epoch.
        """
        data, lengths = self.fit.data, self.fit.features.lengths
        sizes = {split: len(data.rows(split)) for split in ("train", "validation", "test")}
        real = {split: int(lengths[data.rows(split)].sum()) for split in sizes}
        epochs, context = len(self.fit.state.curve), self.fit.job.recipe.context
        trained, forward = self.fit.state.tokens, (epochs + 1) * real["validation"] + real["test"]
        if self.fit.keeps_features:
            trained, forward = 0, 0 if self.shares_features else sum(real.values())
        return {
            "trained_tokens": trained,
            "forward_tokens": forward,
            "original_trained_tokens": epochs * sizes["train"] * context,
            "original_forward_tokens": (epochs * sizes["validation"] + sizes["test"]) * context,
        }
