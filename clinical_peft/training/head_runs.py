"""Fine-tuning a head alone on features that were pooled before: no base is loaded, no note is read twice."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from clinical_peft.data.hash_split import SPLITS
from clinical_peft.errors import TrainingError
from clinical_peft.files import atomic_path
from clinical_peft.models.folders import copy_adapter, parts_digests, write_head, write_record
from clinical_peft.models.heads import draw_head
from clinical_peft.models.pooling import find_pooling
from clinical_peft.models.variants import CLINICAL, Variant, variant_of
from clinical_peft.recipes import FinetuneJob
from clinical_peft.recipes.families import Family
from clinical_peft.runtime.events import RunLog
from clinical_peft.training.features import KeptFeatures
from clinical_peft.training.fitting import Fit
from clinical_peft.training.optimisation import prepare_torch
from clinical_peft.training.pooled_notes import PooledNotes, read_pooled
from clinical_peft.training.run_outputs import (
    log_summary,
    objective,
    run_identity,
    run_summary,
    write_run_predictions,
)
from clinical_peft.training.task_data import TaskData, read_task


class LinearHead:
    """The classification head of a causal network, without the network.

    Args:
        width: Length of a pooled feature.
        classes: Number of classes K.
        spread: Standard deviation of fresh weights.
        seed: Seed of the weights; they equal those of a whole classifier with this seed.
    """

    family: Family = "causal"

    def __init__(self, width: int, classes: int, *, spread: float, seed: int) -> None:
        self.linear = nn.Linear(width, classes, bias=False)
        draw_head(self.linear, spread=spread, seed=seed)

    def trained_parameters(self) -> dict[str, nn.Parameter]:
        """The weight, named as in the network."""
        return {f"{find_pooling(self.family).head}.{name}": value for name, value in self.linear.named_parameters()}

    def logits(self, features: Tensor) -> Tensor:
        """Logits of pooled features, shape (batch, classes)."""
        return self.linear(features.float())

    def train_mode(self) -> None:
        """Do nothing: the head has no dropout."""

    def eval_mode(self) -> None:
        """Do nothing: the head has no dropout."""


@dataclass(frozen=True)
class PreparedHead:
    """What all seeds of a job share.

    Attributes:
        job: Recipe and switches.
        variant: What the whole classifier consists of.
        data: Cohort and labels.
        pooled: Features of the cohort's notes.
        adapter: Folder of the clinical adapter, or None.
    """

    job: FinetuneJob
    variant: Variant
    data: TaskData
    pooled: PooledNotes
    adapter: Path | None


def prepare_head(
    job: FinetuneJob,
    *,
    cohort: Path,
    classes: Path,
    features: Path,
    base: Path,
    adapter: Path | None,
    splits: Sequence[str] = SPLITS,
) -> PreparedHead:
    """Read a cohort and the features of its notes.

    Args:
        job: Recipe and switches.
        cohort: Cohort file; see `clinical_peft.training.task_data.read_task`.
        classes: Label space of the cohort.
        features: What `clinical_peft.training.pooling.pool_notes` wrote.
        base: Base folder; it is not loaded.
        adapter: Folder of the clinical adapter, or None where the job has none.
        splits: Splits to read; without `test` the task can be tuned, but not predicted.

    Raises:
        TrainingError: The cohort does not fit the task; the job trains more than a head; or the features are damaged,
            lack a note, or were pooled with other settings than the job's, on another base or with another adapter.
    """
    variant = variant_of(job)
    if not variant.head_only:
        raise TrainingError(f"model {job.model}: it trains more than a head and cannot use pooled features")
    data = read_task(cohort, classes, job.task, splits=splits)
    pooled = read_pooled(features, data.texts, where=str(cohort))
    _require_same_settings(job, pooled, features)
    for part, digest in parts_digests(Path(base), adapter).items():
        found = pooled.by.parts.get(part)
        if found != digest:
            raise TrainingError(
                f"{features}: pooled with another {part} than {base if part == 'base' else adapter}: expected SHA-256 "
                f"{digest}, found {found}; pool the notes again"
            )
    return PreparedHead(job, variant, data, pooled, adapter)


def _require_same_settings(job: FinetuneJob, pooled: PooledNotes, features: Path) -> None:
    settings = pooled.by.job
    last_position = "pool_last_position"
    found = {**settings, last_position: settings["switches"].get(last_position, False)}
    for key, wanted in {
        "family": job.family,
        "clinical": job.clinical,
        "clinical_mode": job.clinical_mode if job.clinical else None,
        "context": job.recipe.context,
        "precision": job.recipe.precision,
        last_position: job.switches.get(last_position, False),
    }.items():
        if found[key] != wanted:
            raise TrainingError(
                f"{features}: pooled with {key} {found[key]!r}, but model {job.model} on task {job.task} has "
                f"{wanted!r}; pool the notes again"
            )


def finetune_head(
    prepared: PreparedHead,
    *,
    seed: int,
    work: Path,
    predictions: Path | None,
    model_directory: Path | None,
    log: RunLog,
    on_epoch: Callable[[Sequence[Mapping[str, Any]]], None] | None = None,
) -> dict[str, Any]:
    """Fine-tune one seed and write its predictions and its model, as `classification.finetune` does.

    Args:
        prepared: From `prepare_head`.
        seed: Seed of the head and of the order of admissions.
        work: Folder of the checkpoint. Delete it when all seeds are done.
        predictions: Parquet file to write; None for none.
        model_directory: Folder to write; it loads like that of a whole classifier. None for none.
        log: Where figures are reported.
        on_epoch: See `clinical_peft.training.fitting.Fit`.

    Returns:
        The summary that `classification.finetune` returns.

    Raises:
        TrainingError: A loss is not finite.
    """
    job, data, by = prepared.job, prepared.data, prepared.pooled.by
    device = prepare_torch(seed, job.recipe.threads)
    features = KeptFeatures(prepared.pooled.features.to(device), prepared.pooled.lengths)
    head = LinearHead(features.features.shape[1], len(data.classes), spread=by.spread, seed=seed)
    head.linear.to(device)
    fit = Fit(
        head,
        features,
        data,
        objective(job, data),
        job,
        seed=seed,
        work=Path(work),
        identity=run_identity(job, data, seed=seed, parts={"frozen": by.frozen_sha256}, arrays=[features.lengths]),
        log=log,
        on_epoch=on_epoch,
    )
    state = fit.run()
    if predictions is not None:
        write_run_predictions(predictions, job, data, head, features)
    if model_directory is not None:
        _save(prepared, head, model_directory)
    trainable = head.linear.weight.numel()
    summary = run_summary(
        prepared.variant,
        data,
        fit,
        state,
        device=device,
        frozen=by.frozen_sha256,
        trainable=trainable,
        total=by.parameters + trainable,
        shared_features=True,
    )
    log_summary(fit, summary)
    return summary


def _save(prepared: PreparedHead, head: LinearHead, folder: Path) -> None:
    with atomic_path(Path(folder)) as temporary:
        temporary.mkdir()
        write_head(temporary, head.trained_parameters())
        if prepared.adapter is not None:
            copy_adapter(prepared.adapter, temporary / CLINICAL)
        job, by = prepared.job, prepared.pooled.by
        write_record(
            temporary,
            prepared.variant,
            base=by.base,
            revision=by.revision,
            classes=len(prepared.data.classes),
            context=job.recipe.context,
            last_position=job.switches.get("pool_last_position", False),
        )
