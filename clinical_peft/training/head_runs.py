"""Fine-tuning a head alone on features that were pooled before: no base is loaded, no note is read twice."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from torch import Tensor, nn

from clinical_peft.data.hash_split import SPLITS
from clinical_peft.errors import TrainingError
from clinical_peft.files import atomic_path
from clinical_peft.models.folders import copy_adapter, parts_digests, write_head, write_record
from clinical_peft.models.heads import draw_head
from clinical_peft.models.pooling import find_pooling
from clinical_peft.recipes import FinetuneJob
from clinical_peft.recipes.families import Family
from clinical_peft.recipes.switches import switch_on
from clinical_peft.recipes.variants import CLINICAL, variant_of
from clinical_peft.training.features import KeptFeatures
from clinical_peft.training.finetuning import PreparedTask
from clinical_peft.training.fitting import Fit
from clinical_peft.training.loop import TrainingRun
from clinical_peft.training.optimisation import prepare_torch
from clinical_peft.training.pooled_notes import PooledNotes, read_pooled
from clinical_peft.training.run_outputs import TrainedClassifier, with_identity
from clinical_peft.training.task_data import TaskInputs, read_task


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


def prepare(job: FinetuneJob, inputs: TaskInputs, *, splits: Sequence[str] = SPLITS) -> "HeadTask":
    """Read a cohort and the features of its notes.

    Args:
        job: Recipe and switches.
        inputs: Cohort, label space, base (it is not loaded), clinical adapter, and the features that
            `clinical_peft.training.pooling.pool_notes` wrote.
        splits: Splits to read; without `test` the task can be tuned, but not predicted.

    Raises:
        TrainingError: The cohort does not fit the task; the job trains more than a head; or the features are damaged,
            lack a note, or were pooled with other settings than the job's, on another base or with another adapter.
    """
    if not variant_of(job).head_only:
        raise TrainingError(f"model {job.model}: it trains more than a head and cannot use pooled features")
    features, base = inputs.features, inputs.base_folder
    assert features is not None
    data = read_task(inputs.cohort, inputs.classes, job.task, job.type, splits=splits)
    pooled = read_pooled(features, data.texts, where=str(inputs.cohort))
    _require_same_settings(job, pooled, features)
    for part, digest in parts_digests(base, inputs.adapter).items():
        found = pooled.by.parts.get(part)
        if found != digest:
            raise TrainingError(
                f"{features}: pooled with another {part} than {base if part == 'base' else inputs.adapter}: expected "
                f"SHA-256 {digest}, found {found}; pool the notes again"
            )
    return HeadTask(job, data, pooled, inputs.adapter)


def _require_same_settings(job: FinetuneJob, pooled: PooledNotes, features: Path) -> None:
    settings = pooled.by.job
    last_position = "pool_last_position"
    found = {"pooling": "last", **settings, last_position: switch_on(settings["switches"], last_position)}
    for key, wanted in {
        "family": job.family,
        "clinical": job.clinical,
        "clinical_mode": job.clinical_mode if job.clinical else None,
        "context": job.recipe.context,
        "precision": job.recipe.precision,
        "pooling": job.recipe.pooling,
        last_position: switch_on(job.switches, last_position),
    }.items():
        if found[key] != wanted:
            raise TrainingError(
                f"{features}: pooled with {key} {found[key]!r}, but model {job.model} on task {job.task} has "
                f"{wanted!r}; pool the notes again"
            )


@dataclass(frozen=True)
class HeadTask(PreparedTask):
    """A head to train on a task: what all seeds of a job share.

    Attributes:
        pooled: Features of the cohort's notes.
        adapter: Folder of the clinical adapter, or None.
    """

    pooled: PooledNotes
    adapter: Path | None

    def train(self, run: TrainingRun) -> TrainedClassifier:
        """Train one seed, or resume it from its checkpoint; see `clinical_peft.training.finetuning.finetune`."""
        job, data, by = self.job, self.data, self.pooled.by
        device = prepare_torch(run.seed, job.recipe.threads)
        features = KeptFeatures(self.pooled.features.to(device), self.pooled.lengths)
        head = LinearHead(features.features.shape[1], len(data.classes), spread=by.spread, seed=run.seed)
        head.linear.to(device)
        run = with_identity(run, job, data, parts={"frozen": by.frozen_sha256}, arrays=[features.lengths])
        fit = Fit(run, job, data, head, features)
        fit.train()
        trainable = head.linear.weight.numel()
        return TrainedClassifier(
            fit=fit,
            variant=variant_of(job),
            frozen=by.frozen_sha256,
            trainable=trainable,
            total=by.parameters + trainable,
            write=partial(self._save, head),
            shares_features=True,
        )

    def _save(self, head: LinearHead, folder: Path) -> None:
        """Write the model's folder; it loads like that of a whole classifier."""
        with atomic_path(folder) as temporary:
            temporary.mkdir()
            write_head(temporary, head.trained_parameters())
            if self.adapter is not None:
                copy_adapter(self.adapter, temporary / CLINICAL)
            write_record(
                temporary,
                variant_of(self.job),
                base=self.pooled.by.base,
                revision=self.pooled.by.revision,
                classes=len(self.data.classes),
                context=self.job.recipe.context,
                last_position=switch_on(self.job.switches, "pool_last_position"),
            )
