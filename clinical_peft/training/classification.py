"""Fine-tuning on a clinical task: from a cohort, a base and perhaps a clinical adapter to predictions.

A task is prepared once and fine-tuned for each seed:

    prepared = prepare(job, cohort=..., classes=..., base=..., adapter=...)
    for seed in seeds:
        summary = finetune(prepared, seed=seed, work=..., predictions=..., model_directory=..., log=...)
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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
from clinical_peft.models.pooling import find_pooling
from clinical_peft.models.positions import longest_sequence
from clinical_peft.models.saving import save_classifier
from clinical_peft.models.variants import Variant, variant_of
from clinical_peft.recipes import FinetuneJob
from clinical_peft.runtime.events import RunLog
from clinical_peft.tokens.tokenizer import load_tokenizer
from clinical_peft.training.features import KeptFeatures, NoteFeatures, TokenisedNotes, tokenise
from clinical_peft.training.fitting import Fit
from clinical_peft.training.optimisation import prepare_torch, to_device
from clinical_peft.training.pooling_checks import settle_pooling
from clinical_peft.training.run_outputs import (
    log_summary,
    objective,
    run_identity,
    run_summary,
    write_run_predictions,
)
from clinical_peft.training.task_data import TaskData, read_task


@dataclass
class PreparedTask:
    """What all seeds of a job share.

    Attributes:
        job: Recipe and switches.
        variant: Which parts the classifier has.
        data: Cohort and labels.
        notes: The cohort's notes as tokens.
        base: Base folder.
        adapter: Folder of the clinical adapter, or None.
        keep_features: Compute pooled features once where only the head is trained.
        features: Pooled features by digest of the network that computed them.
    """

    job: FinetuneJob
    variant: Variant
    data: TaskData
    notes: TokenisedNotes
    base: Path
    adapter: Path | None
    keep_features: bool = True
    features: dict[str, Tensor] = field(default_factory=dict)


def prepare(
    job: FinetuneJob,
    *,
    cohort: Path,
    classes: Path,
    base: Path,
    adapter: Path | None,
    keep_features: bool = True,
    splits: Sequence[str] = SPLITS,
) -> PreparedTask:
    """Read and tokenise a cohort.

    Args:
        job: Recipe and switches.
        cohort: Cohort file; see `clinical_peft.training.task_data.read_task`.
        classes: Label space of the cohort.
        base: Base folder.
        adapter: Folder of the clinical adapter, or None where the job has none.
        keep_features: Compute pooled features once where only the head is trained; the result is the same.
        splits: Splits to read; without `test` the task can be tuned, but not predicted.

    Raises:
        TrainingError: The cohort does not fit the task, or a tokenizer or an empty note stands in the way.
    """
    variant = variant_of(job)
    data = read_task(cohort, classes, job.task, splits=splits)
    pad_with_end = _pools_last_position(job, variant)
    notes = tokenise(data.texts, load_tokenizer(base), job.recipe.context, pad_with_end=pad_with_end)
    return PreparedTask(job, variant, data, notes, Path(base), adapter, keep_features)


def finetune(
    prepared: PreparedTask,
    *,
    seed: int,
    work: Path,
    predictions: Path | None,
    model_directory: Path | None,
    log: RunLog,
    on_epoch: Callable[[Sequence[Mapping[str, Any]]], None] | None = None,
) -> dict[str, Any]:
    """Fine-tune one seed and write its predictions and its model.

    The same inputs give the same bytes on a CPU, also when the run is killed and started again.

    Args:
        prepared: From `prepare`.
        seed: Seed of the head, the task adapter, the order of admissions and dropout.
        work: Folder of the checkpoint; it must outlive a failed run. Delete it when all seeds are done.
        predictions: Parquet file to write: hadm_id, subject_id, split, label, scores and logits of the validation and
            test admissions; None for none.
        model_directory: Folder to write; see `clinical_peft.models.saving`. None for none.
        log: Where figures are reported by optimizer step and epoch.
        on_epoch: See `clinical_peft.training.fitting.Fit`.

    Returns:
        JSON-ready summary: epochs, best_epoch, selected_by, curve, optimizer_steps, tokens, seconds,
        tokens_per_second, peak_memory_bytes (so far in this process), trainable_parameters, total_parameters,
        trained_adapters, active_adapters, frozen_sha256, features_kept, passes (tokens that the network read, and would
        read the original's way), classes_without_training_rows, unknown_codes.

    Raises:
        TrainingError: An adapter does not fit, gradients reach other parameters than the variant names, a frozen
            tensor has changed, or a loss is not finite.
    """
    job, data = prepared.job, prepared.data
    device = prepare_torch(seed, job.recipe.threads)
    classifier = build_classifier(
        prepared.variant,
        prepared.base,
        prepared.adapter,
        classes=len(data.classes),
        seed=seed,
        precision=job.recipe.precision,
    )
    to_device(classifier.network, device)
    _require_context(classifier, job)
    frozen = frozen_digest(classifier)
    features = NoteFeatures(
        classifier,
        prepared.notes,
        job.recipe,
        device,
        title=f"finetune {job.model} {job.task} seed {seed}",
        last_position=_pools_last_position(job, prepared.variant),
    )
    settle_pooling(features)
    fit = Fit(
        classifier,
        features,
        data,
        objective(job, data),
        job,
        seed=seed,
        work=Path(work),
        identity=run_identity(
            job,
            data,
            seed=seed,
            parts={"frozen": frozen, "trained": tensor_digest(classifier.trained_parameters().items())},
            arrays=[prepared.notes.ids, prepared.notes.starts],
        ),
        log=log,
        on_epoch=on_epoch,
    )
    classifier.train_mode()
    fit.check(lambda loss: check_gradients(classifier, loss))
    if prepared.variant.head_only and prepared.keep_features:
        if frozen not in prepared.features:
            prepared.features[frozen] = features.all()
        fit.features = KeptFeatures(prepared.features[frozen], features.lengths)
    state = fit.run()
    if frozen_digest(classifier) != frozen:
        raise TrainingError(f"model {job.model}, task {job.task}, seed {seed}: a frozen tensor changed during training")
    if predictions is not None:
        write_run_predictions(predictions, job, data, classifier, fit.features)
    if model_directory is not None:
        save_classifier(
            classifier,
            model_directory,
            base=prepared.base,
            card=_card(prepared, classifier, seed),
            context=job.recipe.context,
            last_position=features.last_position,
        )
    trainable, total = trainable_parameters(classifier.network)
    summary = run_summary(
        prepared.variant, data, fit, state, device=device, frozen=frozen, trainable=trainable, total=total
    )
    log_summary(fit, summary)
    return summary


def _pools_last_position(job: FinetuneJob, variant: Variant) -> bool:
    return find_pooling(variant.family).is_of_token and job.switches.get("pool_last_position", False)


def _require_context(classifier: Classifier, job: FinetuneJob) -> None:
    longest = longest_sequence(classifier.network)
    if longest is not None and job.recipe.context > longest:
        raise TrainingError(
            f"model {job.model}, task {job.task}: context is {job.recipe.context} tokens, but the base has {longest} "
            "positions; lower context"
        )


def _card(prepared: PreparedTask, classifier: Classifier, seed: int) -> str:
    job, variant = prepared.job, prepared.variant
    return (
        f"---\nlibrary_name: peft\nbase_model: {classifier.base.name}\n---\n\n"
        f"# {job.model} on {job.task}, seed {seed}\n\n"
        f"Adapter of a classifier with {len(prepared.data.classes)} classes on base {classifier.base.name} at revision "
        f"{classifier.base.revision}. Clinical adapter: {variant.clinical or 'none'}. Active adapters: "
        f"{', '.join(variant.active)}. Load the clinical adapter first, then this one, and activate both.\n\n"
        "The weights were trained on hospital notes and may reveal them: treat them as credentialed data.\n"
    )
