"""Fine-tuning a model on a clinical task: the one entry for networks, heads on pooled features, and TF-IDF.

A job is prepared once and fine-tuned for each seed:

    task = prepare_task(job, TaskInputs(cohort=..., classes=..., base=..., adapter=...))
    for seed in seeds:
        summary = finetune(task, seed=seed, work=..., log=..., predictions=..., model_directory=...)

Each kind of model imports only the libraries that it needs.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np

from clinical_peft.data.hash_split import HELD_OUT_SPLITS, SPLITS
from clinical_peft.models.scores import link_of
from clinical_peft.recipes import FinetuneJob
from clinical_peft.recipes.kinds import find_kind
from clinical_peft.runtime.events import RunLog
from clinical_peft.training.batching import Rows
from clinical_peft.training.loop import TrainingRun
from clinical_peft.training.objectives import scores_from_logits
from clinical_peft.training.predictions import write_predictions
from clinical_peft.training.task_data import TaskData, TaskInputs
from clinical_peft.training.train_sizes import describe_part, with_train_size

OnEvaluation = Callable[[Sequence[Mapping[str, Any]]], None]


class TrainedModel(Protocol):
    """A trained seed, with the weights that the recipe keeps."""

    def logits(self, rows: Rows) -> np.ndarray:
        """Logits of some admissions, float32 of shape (M, K), in the order of `rows`."""

    def save(self, folder: Path) -> None:
        """Write the model's folder, whole or not at all."""

    def summary(self) -> dict[str, Any]:
        """Summarise the run, JSON-ready."""

    @property
    def logged(self) -> Sequence[str]:
        """Keys of the summary that go into the run log."""


@dataclass(frozen=True)
class PreparedTask(ABC):
    """What all seeds of a job share.

    Attributes:
        job: Recipe and switches.
        data: Cohort and labels.
    """

    job: FinetuneJob
    data: TaskData

    def with_job(self, job: FinetuneJob) -> Self:
        """Return the same task for a job that differs in how it trains, not in what it reads."""
        return replace(self, job=job)

    @abstractmethod
    def train(self, run: TrainingRun) -> TrainedModel:
        """Train one seed, or resume it from its checkpoint.

        Args:
            run: Settings of the run; what decides its result, and so its identity, is for the task to add.
        """


def prepare_task(job: FinetuneJob, inputs: TaskInputs, *, splits: Sequence[str] = SPLITS) -> PreparedTask:
    """Read a cohort and what else all seeds of a job share.

    Args:
        job: Recipe and switches.
        inputs: Files and folders; with pooled features, a head alone is trained.
        splits: Splits to read; without `test` a task can be tuned, but not predicted.

    Raises:
        TrainingError: The cohort does not fit the task, or another input does not fit the job.
    """
    # Each imports libraries of its own, which takes seconds.
    prepare: Callable[..., PreparedTask] = import_module(f"clinical_peft.training.{_trainer_of(job, inputs)}").prepare
    return prepare(job, inputs, splits=splits)


def _trainer_of(job: FinetuneJob, inputs: TaskInputs) -> str:
    """Name of the module that trains a job."""
    if not find_kind(job.kind).has_network:
        return "classical"
    return "classification" if inputs.features is None else "head_runs"


def finetune(
    task: PreparedTask,
    *,
    seed: int,
    work: Path,
    log: RunLog,
    predictions: Path | None = None,
    model_directory: Path | None = None,
    on_evaluation: OnEvaluation = lambda curve: None,
) -> dict[str, Any]:
    """Fine-tune one seed and write its predictions and its model.

    The same inputs give the same bytes on a CPU, also when the run is killed and started again.

    Args:
        task: From `prepare_task`.
        seed: Seed of all that is drawn: the head, the task adapter, the order of admissions, dropout.
        work: Folder of the checkpoint; it must outlive a failed run. Delete it when all seeds are done.
        log: Where metrics are reported by optimizer step, by epoch and for the whole run.
        predictions: Parquet file to write: hadm_id, subject_id, split, label, scores and logits of the validation and
            test admissions; None for none.
        model_directory: Folder to write; see `clinical_peft.models.saving`. None for none.
        on_evaluation: See `clinical_peft.training.loop.TrainingRun`.

    Returns:
        JSON-ready summary. Of a network or a head: epochs, best_epoch, selected_by, curve, optimizer_steps, tokens,
        seconds, tokens_per_second, peak_memory_bytes (so far in this process), trainable_parameters, total_parameters,
        trained_adapters, active_adapters, frozen_sha256, features_kept, passes (tokens that the network read, and would
        read in the original's code), classes_without_training_rows, unknown_codes. Of TF-IDF: see
        `clinical_peft.training.classical`. Of a job with a training size also what
        `clinical_peft.training.train_sizes.describe_part` says.

    Raises:
        StoppedError: A signal asked the job to stop; a checkpoint is saved.
        TrainingError: An adapter does not fit, gradients reach other parameters than the variant names, a frozen
            tensor has changed, a loss is not finite, or a part of the training split shows one label alone.
    """
    job, whole = task.job, task.data
    if job.train_size is not None:
        task = replace(task, data=with_train_size(whole, job.train_size, seed=seed))
    run = TrainingRun(
        title=f"finetune {job.model} {job.task} seed {seed}",
        recipe=job.recipe,
        seed=seed,
        switches=job.switches,
        work=Path(work),
        log=log,
        on_evaluation=on_evaluation,
    )
    model = task.train(run)
    if predictions is not None:
        rows = task.data.rows(*HELD_OUT_SPLITS)
        logits = model.logits(rows)
        scores = scores_from_logits(logits, link_of(task.data.type, job.switches))
        write_predictions(predictions, task.data, rows, logits, scores)
    if model_directory is not None:
        model.save(Path(model_directory))
    summary = model.summary()
    if job.train_size is not None:
        summary |= describe_part(whole, task.data)
    log.metrics({key: summary[key] for key in model.logged})
    return summary
