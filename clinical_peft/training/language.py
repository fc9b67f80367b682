"""Adapting a causal base to clinical notes: one adapter, its perplexities, what it has forgotten, and its card."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from clinical_peft.data.hash_split import SPLITS
from clinical_peft.files import atomic_path, write_json
from clinical_peft.models.adapters import trainable_parameters
from clinical_peft.models.base_folders import rows_to_load_onto
from clinical_peft.models.bases import load_causal
from clinical_peft.recipes import PretrainJob
from clinical_peft.recipes.job_records import as_record
from clinical_peft.runtime.events import RunLog
from clinical_peft.tokens.reading import TokenShards
from clinical_peft.training.adaptation import Adaptation, adaptation_of
from clinical_peft.training.attention import base_network
from clinical_peft.training.cards import adapter_card
from clinical_peft.training.checkpoint import remove_checkpoint
from clinical_peft.training.decoder_checks import require_gradients, settle_loss
from clinical_peft.training.distributed import SINGLE_PROCESS, Workers, prepare_to_save, require_shardable
from clinical_peft.training.language_inputs import LanguageInputs, language_run, read_inputs
from clinical_peft.training.language_loop import train_language_model
from clinical_peft.training.language_plan import plan_updates
from clinical_peft.training.language_run import LanguageRun, LanguageState
from clinical_peft.training.optimisation import prepare_torch, to_device
from clinical_peft.training.perplexities import BASE, GENERAL_SPLIT, Measurements, Perplexities, weights_digest
from clinical_peft.training.throughput import DeviceUsage, matrix_parameters, peak_memory_bytes, speed_metrics

USAGE = (
    "tokens_per_second",
    "flops_utilisation",
    "peak_memory_bytes",
    "energy_joules",
    "device_idle_share",
    "micro_batch_tokens",
)


def pretrain(
    job: PretrainJob,
    *,
    base: Path,
    tokens: Path,
    output: Path,
    perplexity: Path,
    work: Path,
    log: RunLog,
    workers: Workers = SINGLE_PROCESS,
    general: Path | None = None,
) -> dict[str, Any]:
    """Train one adapter on a corpus and measure perplexity before and after.

    Args:
        job: Everything that decides the adapter, apart from its inputs.
        base: Base folder of a causal network.
        tokens: Token shards of the corpus, made with this base's tokenizer.
        output: Adapter folder to write.
        perplexity: JSON file to write.
        work: Folder for checkpoints, which outlives a failed run.
        log: Where metrics are reported.
        workers: The processes that train it together; the first of them writes.
        general: Corpus of general text, on which forgetting is measured and which is replayed; None if there is none.

    Returns:
        What is also written to `perplexity`.

    Raises:
        StoppedError: A signal asked the job to stop; its progress is saved.
        TrainingError: Base, tokens and method do not fit each other, there is no general text to replay, or a loss is
            not finite.
    """
    require_shardable(job)
    device = prepare_torch(job.seed, job.recipe.threads)
    shards = TokenShards(tokens, verify=workers.first)
    inputs = read_inputs(job, base=base, shards=shards, general=general, measured=job.recipe.general_tokens)
    adaptation = adaptation_of(job, base, inputs.identity)

    network = load_frozen(job, base, device)
    run = language_run(job, inputs, network, device, work=work, log=log, workers=workers)
    settle_loss(network, run)
    measurements = Measurements(replace(run, shards=shards), inputs.text)
    before = measurements.perplexities(network, of=BASE)
    parameters = matrix_parameters(network)

    model, state = _train(network, run, adaptation)
    trainable, total = trainable_parameters(model)
    ranks = adaptation.hooks(model).remaining_ranks()
    # The saved adapter is what users get, so it is saved and loaded again before it is measured.
    draft = Path(work) / "adapter"
    prepare_to_save(model, workers)
    if workers.first:
        adaptation.save(model, draft)
    workers.wait()
    del model, network
    trained = to_device(adaptation.load(draft), device)
    settle_loss(trained, run)
    after = measurements.perplexities(trained, of=weights_digest(draft))

    result = {
        "adapter": job.adapter,
        "base": inputs.identity.name,
        "base_revision": inputs.identity.revision,
        "method": job.method.record(),
        "corpus": Path(tokens).name,
        "trainable_parameters": trainable,
        "total_parameters": total,
        "tokens": {split: shards.summary["splits"][split]["tokens"] for split in SPLITS} | {"trained_on": state.tokens},
        "updates": state.step,
        "kept_update": state.best_step,
        "stopped_early": state.stopped_early,
        "perplexity": {"before": before.notes, "after": after.notes},
        "general": forgetting(inputs, before, after),
        "curve": state.curve,
        "remaining_ranks": ranks,
        **measurements.cost(state),
        **_usage(job, state, parameters, device, workers),
        "device": device.type,
        "attention": "packed" if run.loss.packed else "grouped",
        "job": as_record(job),
    }
    if workers.first:
        card = adapter_card(job, inputs.identity, result, rows=rows_to_load_onto(draft, base_network(trained)))
        _write_outputs(card, result, draft=draft, output=output, perplexity=perplexity, log=log)
        remove_checkpoint(work)
        measurements.remove()
    workers.wait()
    return result


def _write_outputs(
    card: str,
    result: dict[str, Any],
    *,
    draft: Path,
    output: Path,
    perplexity: Path,
    log: RunLog,
) -> None:
    _log_metrics(log, result)
    with atomic_path(Path(output)) as folder:
        shutil.copytree(draft, folder)
        (folder / "README.md").write_text(card, encoding="utf-8")
    write_json(perplexity, result)
    shutil.rmtree(draft)


def validate(
    job: PretrainJob,
    *,
    base: Path,
    shards: TokenShards,
    work: Path,
    log: RunLog,
    on_evaluation: Callable[[Sequence[Mapping[str, float]]], None],
    general: Path | None = None,
) -> LanguageState:
    """Train one adapter as `pretrain` does, and keep nothing but its metrics on the validation split.

    Args:
        job: Everything that decides the adapter, apart from its inputs.
        base: Base folder of a causal network.
        shards: Tokens of the corpus; of its splits, training and validation are read.
        work: Folder for checkpoints, which outlives a failed run.
        log: Where metrics are reported.
        on_evaluation: See `clinical_peft.training.loop.TrainingRun`.
        general: Corpus of general text for replay; None if there is none.

    Raises:
        TrainingError: Base, tokens and method do not fit each other, or a loss is not finite.
    """
    device = prepare_torch(job.seed, job.recipe.threads)
    inputs = read_inputs(job, base=base, shards=shards, general=general, measured=0)
    network = load_frozen(job, base, device)
    run = language_run(job, inputs, network, device, work=work, log=log, on_evaluation=on_evaluation)
    _, state = _train(network, run, adaptation_of(job, base, inputs.identity))
    remove_checkpoint(work)
    return state


def load_frozen(job: PretrainJob, base: Path, device: torch.device) -> PreTrainedModel:
    """Load a job's base onto its device, without gradients."""
    network = load_causal(base, precision=job.recipe.precision)
    to_device(network, device)
    network.requires_grad_(False)
    return network


def _train(network: PreTrainedModel, run: LanguageRun, adaptation: Adaptation) -> tuple[nn.Module, LanguageState]:
    updates = len(plan_updates(run.shards, run.recipe, run.seed))
    model = to_device(adaptation.prepare(network, updates=updates), run.device)
    settle_loss(model, run)
    require_gradients(model, run)
    return model, train_language_model(model, replace(run, hooks=adaptation.hooks(model)))


def forgetting(inputs: LanguageInputs, before: Perplexities, after: Perplexities) -> dict[str, Any] | None:
    """Perplexity of general text before and after; None where it was not measured."""
    text = inputs.text
    if inputs.general is None or text is None or before.general is None:
        return None
    return {
        "corpus": Path(inputs.general).stem,
        "split": GENERAL_SPLIT,
        "tokens": int(text.lengths[text.rows(GENERAL_SPLIT)].sum()),
        "perplexity": {"before": before.general, "after": after.general},
    }


def _usage(
    job: PretrainJob, state: LanguageState, parameters: int, device: torch.device, workers: Workers
) -> dict[str, Any]:
    """Time, memory and energy that the training took; they differ from run to run."""
    speed = state.tokens / max(state.seconds, 1e-9)
    seconds, joules, busy = workers.sums(state.usage.seconds, state.usage.joules, state.usage.busy_seconds)
    usage = DeviceUsage(seconds / workers.world, joules, busy / workers.world)
    return {
        "seconds": state.seconds,
        "tokens_per_second": speed,
        **speed_metrics(
            method=job.method,
            parameters=parameters,
            device=device,
            precision=job.recipe.precision,
            tokens_per_second=speed / workers.world,
        ),
        "micro_batch_tokens": state.micro_batch,
        "peak_memory_bytes": peak_memory_bytes(device),
        **usage.metrics(state.seconds),
    }


def _log_metrics(log: RunLog, result: Mapping[str, Any]) -> None:
    log_perplexities(log, result)
    log.metrics({key: result[key] for key in USAGE if result[key] is not None})


def log_perplexities(log: RunLog, result: Mapping[str, Any]) -> None:
    """Report the perplexities of a perplexity file."""
    for when in ("before", "after"):
        log.metrics({f"perplexity_{split}_{when}": value for split, value in result["perplexity"][when].items()})
        if result["general"] is not None:
            log.metrics({f"perplexity_general_{when}": result["general"]["perplexity"][when]})
