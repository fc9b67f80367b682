"""Fine-tuning a network on a clinical task: a base and perhaps a clinical adapter, or their head alone."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from torch import Tensor

from clinical_peft.data.hash_split import SPLITS
from clinical_peft.errors import TrainingError
from clinical_peft.models.adapters import trainable_parameters
from clinical_peft.models.classifiers import (
    Classifier,
    build_classifier,
    check_gradients,
    frozen_digest,
)
from clinical_peft.models.digests import tensor_digest
from clinical_peft.models.positions import longest_sequence
from clinical_peft.models.saving import save_classifier
from clinical_peft.recipes import FinetuneJob
from clinical_peft.recipes.job_records import has_switch_on
from clinical_peft.recipes.variants import variant_of
from clinical_peft.tokens.tokenizer import load_tokenizer
from clinical_peft.training.features import KeptFeatures, NoteFeatures, TokenisedNotes, tokenise
from clinical_peft.training.finetuning import PreparedTask
from clinical_peft.training.fitting import Fit
from clinical_peft.training.loop import TrainingRun
from clinical_peft.training.optimisation import prepare_torch, to_device
from clinical_peft.training.pooling_checks import settle_pooling
from clinical_peft.training.run_outputs import TrainedClassifier, with_identity
from clinical_peft.training.task_data import TaskInputs, read_task


def prepare(
    job: FinetuneJob, inputs: TaskInputs, *, splits: Sequence[str] = SPLITS, keep_features: bool = True
) -> "NetworkTask":
    """Read and tokenise a cohort.

    Args:
        job: Recipe and switches.
        inputs: Cohort, label space, base and clinical adapter.
        splits: Splits to read; without `test` the task can be tuned, but not predicted.
        keep_features: Compute pooled features once where only the head is trained; the result is the same.

    Raises:
        TrainingError: The cohort does not fit the task, a note is empty, or the tokenizer cannot be used.
    """
    variant_of(job)  # refuses a job without a network
    base = inputs.base_folder
    data = read_task(inputs.cohort, inputs.classes, job.task, job.type, splits=splits)
    notes = tokenise(
        data.texts, load_tokenizer(base), job.recipe.context, pad_with_end=has_switch_on(job, "pool_last_position")
    )
    return NetworkTask(job, data, notes, base, inputs.adapter, keep_features)


@dataclass(frozen=True)
class NetworkTask(PreparedTask):
    """A network to fine-tune on a task: what all seeds of a job share.

    Attributes:
        notes: The cohort's notes as tokens.
        base: Base folder.
        adapter: Folder of the clinical adapter, or None.
        keep_features: Compute pooled features once where only the head is trained.
        features: Pooled features by digest of the network that computed them.
    """

    notes: TokenisedNotes
    base: Path
    adapter: Path | None
    keep_features: bool = True
    features: dict[str, Tensor] = field(default_factory=dict)

    def train(self, run: TrainingRun) -> TrainedClassifier:
        """Train one seed, or resume it from its checkpoint; see `clinical_peft.training.finetuning.finetune`."""
        job, data, variant = self.job, self.data, variant_of(self.job)
        device = prepare_torch(run.seed, job.recipe.threads)
        classifier = build_classifier(
            variant,
            self.base,
            self.adapter,
            classes=len(data.classes),
            seed=run.seed,
            precision=job.recipe.precision,
        )
        to_device(classifier.network, device)
        _require_context(classifier, job)
        frozen = frozen_digest(classifier)
        parts = {"frozen": frozen, "trained": tensor_digest(classifier.trained_parameters().items())}
        run = with_identity(run, job, data, parts=parts, arrays=[self.notes.ids, self.notes.starts])
        last_position = has_switch_on(job, "pool_last_position")
        features = NoteFeatures(
            classifier, self.notes, job.recipe, device, title=run.title, last_position=last_position
        )
        settle_pooling(features)
        fit = Fit(run, job, data, classifier, features)
        classifier.train_mode()
        fit.check(lambda loss: check_gradients(classifier, loss))
        if variant.head_only and self.keep_features:
            if frozen not in self.features:
                self.features[frozen] = features.all()
            fit.features = KeptFeatures(self.features[frozen], features.lengths)
        fit.train()
        if frozen_digest(classifier) != frozen:
            raise TrainingError(f"{run.title}: a frozen tensor changed during training")
        trainable, total = trainable_parameters(classifier.network)
        write = partial(
            save_classifier,
            classifier,
            base=self.base,
            card=_card(job, classifier, len(data.classes), run.seed),
            context=job.recipe.context,
            last_position=last_position,
        )
        return TrainedClassifier(fit=fit, variant=variant, frozen=frozen, trainable=trainable, total=total, write=write)


def _require_context(classifier: Classifier, job: FinetuneJob) -> None:
    longest = longest_sequence(classifier.network)
    virtual = job.task_method.virtual_tokens if job.task_method else 0
    if longest is not None and virtual + job.recipe.context > longest:
        prompt = f" after {virtual} virtual tokens" if virtual else ""
        raise TrainingError(
            f"model {job.model}, task {job.task}: context is {job.recipe.context} tokens{prompt}, but the base has "
            f"{longest} positions; lower context"
        )


def _card(job: FinetuneJob, classifier: Classifier, classes: int, seed: int) -> str:
    variant = classifier.variant
    return (
        f"---\nlibrary_name: peft\nbase_model: {classifier.base.name}\n---\n\n"
        f"# {job.model} on {job.task}, seed {seed}\n\n"
        f"Adapter of a classifier with {classes} classes on base {classifier.base.name} at revision "
        f"{classifier.base.revision}. Clinical adapter: {variant.clinical or 'none'}. Active adapters: "
        f"{', '.join(variant.active)}. Load the clinical adapter first, then this one, and activate both.\n\n"
        "The weights were trained on hospital notes and may reveal them: treat them as credentialed data.\n"
    )
