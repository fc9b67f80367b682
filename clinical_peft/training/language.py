"""Adapting a causal base to clinical notes: one adapter, its perplexities and its card."""

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from peft import AdaLoraConfig, PeftConfig, PeftModel
from transformers import PreTrainedModel

from clinical_peft.errors import TrainingError
from clinical_peft.events import RunLog
from clinical_peft.files import atomic_path, read_json, write_json
from clinical_peft.models.adapters import load_adapter, save_adapter, trainable_parameters
from clinical_peft.models.bases import BaseIdentity, load_causal, read_identity
from clinical_peft.models.methods import (
    add_adapter,
    allocate_ranks,
    allocation_state,
    orthogonality_penalty,
    peft_config,
    remaining_ranks,
    restore_allocation,
)
from clinical_peft.recipes import PretrainJob
from clinical_peft.tokens.reading import TokenShards
from clinical_peft.training.attention import Layout, layout_of
from clinical_peft.training.checkpoint import remove_checkpoint
from clinical_peft.training.distributed import ALONE, Workers, prepare_to_save, require_shardable
from clinical_peft.training.language_loop import (
    LanguageRun,
    RunState,
    measure_perplexity,
    peak_memory_bytes,
    plan_updates,
    train_language_model,
)
from clinical_peft.training.language_loss import CausalLoss
from clinical_peft.training.optimisation import prepare_torch, to_device

MEASURED = ("train", "validation", "test")


def pretrain(
    job: PretrainJob,
    *,
    base: Path,
    tokens: Path,
    output: Path,
    perplexity: Path,
    work: Path,
    log: RunLog,
    workers: Workers = ALONE,
) -> dict[str, Any]:
    """Train one adapter on a corpus and measure perplexity before and after.

    Args:
        job: Everything that decides the adapter, apart from its inputs.
        base: Base folder of a causal network.
        tokens: Token shards of the corpus, made with this base's tokenizer.
        output: Adapter folder to write.
        perplexity: JSON file to write.
        work: Folder for checkpoints, which outlives a failed run.
        log: Where figures are reported.
        workers: The processes that train it together; the first of them writes.

    Returns:
        What is also written to `perplexity`.

    Raises:
        StoppedError: A signal asked the job to stop; a checkpoint is saved.
        TrainingError: Base, tokens and method do not fit each other, or a loss is not finite.
    """
    require_shardable(job)
    device = prepare_torch(job.seed, job.recipe.threads)
    identity = read_identity(base)
    shards = TokenShards(tokens)
    _require_fit(job, identity, shards, base)

    network = to_device(load_causal(base, precision=job.recipe.precision), device)
    network.requires_grad_(False)
    layout = layout_of(network, job.recipe, job.method, device)
    run = replace(_language_run(job, identity, shards, device, work, log, layout), workers=workers)
    started = time.perf_counter()
    before = {split: measure_perplexity(network, run, split) for split in MEASURED}

    model, state = _train_adapter(job, network, run, base)
    trainable, total = trainable_parameters(model)
    ranks = remaining_ranks(model)
    # What counts is what the saved adapter does, so it is measured after being saved and loaded again.
    draft = Path(work) / "adapter"
    prepare_to_save(model, workers)
    if workers.first:
        save_adapter(model, draft, base=identity, card="")
    workers.wait()
    del model, network
    adapted = load_adapter(load_causal(base, precision=job.recipe.precision), draft, base=identity)
    after = {split: measure_perplexity(to_device(adapted, device), run, split) for split in MEASURED}

    result = {
        "adapter": job.adapter,
        "base": identity.name,
        "base_revision": identity.revision,
        "method": asdict(job.method),
        "corpus": Path(tokens).name,
        "trainable_parameters": trainable,
        "total_parameters": total,
        "tokens": {split: shards.summary["splits"][split]["tokens"] for split in MEASURED}
        | {"trained_on": state.tokens},
        "updates": state.step,
        "kept_update": state.kept_step,
        "perplexity": {"before": before, "after": after},
        "curve": state.curve,
        "remaining_ranks": ranks,
        "seconds": state.seconds,
        "seconds_with_evaluations": time.perf_counter() - started,
        "tokens_per_second": state.tokens / max(state.seconds, 1e-9),
        "peak_memory_bytes": peak_memory_bytes(device),
        "device": device.type,
        "attention": layout,
        "job": asdict(job),
    }
    if workers.first:
        _write_outputs(job, identity, result, draft=draft, output=output, perplexity=perplexity, log=log)
        remove_checkpoint(work)
    workers.wait()
    return result


def _write_outputs(
    job: PretrainJob,
    identity: BaseIdentity,
    result: dict[str, Any],
    *,
    draft: Path,
    output: Path,
    perplexity: Path,
    log: RunLog,
) -> None:
    before, after = result["perplexity"]["before"], result["perplexity"]["after"]
    log.metrics({f"perplexity_{split}_before": value for split, value in before.items()})
    log.metrics({f"perplexity_{split}_after": value for split, value in after.items()})
    with atomic_path(Path(output)) as folder:
        shutil.copytree(draft, folder)
        (folder / "README.md").write_text(_card(job, identity, result), encoding="utf-8")
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
) -> RunState:
    """Train one adapter as `pretrain` does, and keep nothing but its figures on the validation split.

    Args:
        job: Everything that decides the adapter, apart from its inputs.
        base: Base folder of a causal network.
        shards: Tokens of the corpus; of its splits, training and validation are read.
        work: Folder for checkpoints, which outlives a failed run.
        log: Where figures are reported.
        on_evaluation: See `clinical_peft.training.language_loop.LanguageRun`.

    Raises:
        TrainingError: Base, tokens and method do not fit each other, or a loss is not finite.
    """
    device = prepare_torch(job.seed, job.recipe.threads)
    identity = read_identity(base)
    _require_fit(job, identity, shards, base)
    network = to_device(load_causal(base, precision=job.recipe.precision), device)
    network.requires_grad_(False)
    layout = layout_of(network, job.recipe, job.method, device)
    run = replace(_language_run(job, identity, shards, device, work, log, layout), on_evaluation=on_evaluation)
    _, state = _train_adapter(job, network, run, base)
    remove_checkpoint(work)
    return state


def _train_adapter(
    job: PretrainJob, network: PreTrainedModel, run: LanguageRun, base: Path
) -> tuple[PeftModel, RunState]:
    updates = len(plan_updates(run.shards, job.recipe, job.seed))
    config = peft_config(job.method, total_steps=updates, base=base)
    torch.manual_seed(job.seed)
    model = to_device(add_adapter(network, config, context=job.recipe.context), run.device)
    return model, train_language_model(model, _with_method(run, model, config, updates))


def _language_run(
    job: PretrainJob,
    identity: BaseIdentity,
    shards: TokenShards,
    device: torch.device,
    work: Path,
    log: RunLog,
    layout: Layout,
) -> LanguageRun:
    decides = {"job": asdict(job), "base": asdict(identity), "tokens": shards.summary}
    return LanguageRun(
        title=f"adapter {job.adapter}",
        recipe=job.recipe,
        seed=job.seed,
        shards=shards,
        loss=CausalLoss(shards.summary["pad_token_id"], device, packed=layout == "packed"),
        device=device,
        work=work,
        identity=hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest(),
        log=log,
        salt=job.split_salt,
        switches=job.switches,
    )


def _with_method(run: LanguageRun, model: PeftModel, config: PeftConfig, updates: int) -> LanguageRun:
    """Add what a method needs during training; AdaLoRA's weights may be kept only once its ranks are final."""
    return replace(
        run,
        after_update=lambda step: allocate_ranks(model, step),
        penalty=lambda: orthogonality_penalty(model),
        extra_state=lambda: allocation_state(model),
        restore_extra=lambda tensors, state: restore_allocation(model, tensors, state),
        keep_from=updates - config.tfinal if isinstance(config, AdaLoraConfig) else 0,
    )


def _require_fit(job: PretrainJob, identity: BaseIdentity, shards: TokenShards, base: Path) -> None:
    if identity.family != "causal":
        raise TrainingError(f"{base}: expected a causal base to pretrain an adapter, found family {identity.family}")
    summary = shards.summary
    vocabulary = read_json(Path(base) / "base.json")["vocabulary"]
    if summary["vocabulary"] != vocabulary:
        raise TrainingError(
            f"{shards.folder}: the tokens have a vocabulary of {summary['vocabulary']}, but the base in {base} has "
            f"{vocabulary}; tokenise the corpus with this base"
        )
    if summary["context"] > job.recipe.context:
        raise TrainingError(
            f"{shards.folder}: the tokens were cut at {summary['context']}, but the recipe's context is "
            f"{job.recipe.context}; tokenise the corpus again"
        )


def _card(job: PretrainJob, identity: BaseIdentity, result: Mapping[str, Any]) -> str:
    settings = "\n".join(f"- {key}: {value}" for key, value in sorted(asdict(job.method).items()) if key != "type")
    rows = "\n".join(
        f"| {split} | {result['perplexity']['before'][split]:.3f} | {result['perplexity']['after'][split]:.3f} |"
        for split in MEASURED
    )
    metadata = f"base_model: {identity.name}\nlibrary_name: peft\ntags:\n- clinical-peft"
    return f"""---
{metadata}
---

# {job.adapter}

An adapter for the language model `{identity.name}` (revision `{identity.revision}`), trained on the corpus
`{result["corpus"]}` with {job.method.type} by next-token prediction.

It derives from the notes it was trained on: share it only as their data use agreement allows.

## Settings

{settings}
- optimizer: AdamW, learning rate {job.recipe.learning_rate}, weight decay {job.recipe.weight_decay}
- context: {job.recipe.context} tokens
- seed: {job.seed}
- updates: {result["updates"]}, of which the weights after {result["kept_update"]} are kept
- tokens trained on: {result["tokens"]["trained_on"]:,}
- trainable parameters: {result["trainable_parameters"]:,} of {result["total_parameters"]:,}

## Perplexity per token

| split | base | with this adapter |
|---|---|---|
{rows}

## Use

```python
from peft import PeftModel
from transformers import AutoModelForCausalLM

model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained("path/to/base"), "path/to/this/folder")
```
"""
