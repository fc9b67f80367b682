"""The training loop of language models, and the measurement of perplexity."""

import math
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from peft.helpers import disable_input_dtype_casting
from torch import Tensor, nn

from clinical_peft.errors import DataError
from clinical_peft.recipes.switches import switch_on
from clinical_peft.runtime.signals import StopRequest
from clinical_peft.training.activations import free_bytes, layers_to_recompute, recomputed
from clinical_peft.training.attention import hands_on_cache
from clinical_peft.training.batching import Rows
from clinical_peft.training.compiling import compile_layers
from clinical_peft.training.distributed import shard
from clinical_peft.training.guards import MicroBatch
from clinical_peft.training.language_plan import evaluation_rows, plan_updates
from clinical_peft.training.language_run import LanguageRun, LanguageState
from clinical_peft.training.loop import TrainingLoop
from clinical_peft.training.optimisation import autocast, parameter_groups, require_finite
from clinical_peft.training.throughput import DeviceMeter, DeviceUsage


class EvaluationStopped(Exception):
    """An evaluation ended early because the job was asked to stop."""


@torch.no_grad()
def measure_perplexity(
    model: nn.Module, run: LanguageRun, split: str, *, stop: StopRequest | None = None, step: int = 0
) -> float:
    """Return exp of the mean negative log-likelihood per predicted token.

    Processes that train together share the rows, and each row counts once.

    Args:
        model: The network; left in evaluation mode.
        run: Loss, rows, batch size and precision.
        split: Which split is read, up to `recipe.evaluation_limit`.
        stop: Ends the evaluation when it asks for it.
        step: Optimizer steps done, for messages.

    Raises:
        DataError: No token of the split is predicted.
        EvaluationStopped: `stop` asked for it.
        TrainingError: The likelihood is not finite, or there is no memory for a single document.
    """
    model.eval()
    every = evaluation_rows(run.shards, split, run.recipe.evaluation_limit(split), run.salt)
    share = run.workers.share(every, run.shards.lengths)

    def measure(size: int) -> tuple[float, float, float]:
        mine = run.passes(share, size)
        idle = run.workers.idle_passes(len(mine))
        losses: list[Tensor] = []
        predicted, left = 0.0, 0.0
        for number, documents in enumerate(mine):
            # A process that stops alone would leave the others waiting for its shards.
            if stop and not run.workers.sharded:
                left = 1.0
                break
            with autocast(run.recipe, run.device):
                # Masks of an evaluation must not depend on when it happens.
                nll, count = run.loss(model, documents, key=(0, 0, number))
            losses.append(nll)
            predicted += count
        for _ in range(idle):
            with autocast(run.recipe, run.device):
                run.loss(model, run.shards.documents(every[0]), key=(0, 0, 0))
        total = 0.0
        # Read once: reading waits for a GPU.
        for value in torch.stack(losses).tolist() if losses else ():
            total += value
        return total, predicted, left

    size = run.recipe.micro_batch_tokens
    micro = MicroBatch(size, unit="tokens", title=f"{run.title}, {split} perplexity")
    found = micro.attempt(measure, smallest=lambda: run.smallest_pass(share, size), undo=lambda: None)
    total, predicted, left = run.workers.sums(*found)
    if left:
        raise EvaluationStopped
    if predicted == 0:
        raise DataError(
            f"{run.shards.folder}: no token of the {split} split can be predicted; use more or longer notes"
        )
    return math.exp(require_finite(total / predicted, what=f"{split} loss", step=step))


def train_language_model(model: nn.Module, run: LanguageRun) -> LanguageState:
    """Train a network's trainable parameters and leave it with the weights of the best evaluation.

    With the switch `last_epoch` it keeps the last weights. Training ends early when `recipe.patience` evaluations in a
    row are no better. Where memory runs out, forward passes are halved and an update makes more of them.
    `remove_checkpoint` deletes the checkpoint once the result is saved.

    Returns:
        The final state.

    Raises:
        StoppedError: A signal asked the job to stop; a checkpoint is saved.
        TrainingError: Nothing is trainable, there is no memory for a single document, or a loss, a gradient or a weight
            is not finite; the last good checkpoint is kept.
    """
    shard(model, run.workers)
    run.workers.seed_dropout(run.seed)
    loop = LanguageLoop(model, run)
    model.train()
    recomputed_layers = layers_to_recompute(
        run.recipe.checkpointing,
        model,
        loop.probe_memory,
        tokens=run.recipe.micro_batch_tokens,
        free=free_bytes(run.device),
        has_cache=hands_on_cache(model),
    )
    if run.recipe.compile:
        compile_layers(model, run.device)
    # PEFT would turn every input of an adapter into float32, which autocast turns back.
    plain_inputs = disable_input_dtype_casting(model, active=run.recipe.precision != "fp32")
    with recomputed(model, run.workers.largest(recomputed_layers)), plain_inputs:
        state = loop.train()
    state.stopped_early = state.step < len(loop.updates)
    model.eval()
    return state


class LanguageLoop(TrainingLoop[LanguageState]):
    """The training loop of a language model.

    Args:
        model: The network; sharded, if it is to be.
        run: Rows, loss, recipe and what the method does at every update.
    """

    run: LanguageRun

    def __init__(self, model: nn.Module, run: LanguageRun) -> None:
        self.model = model
        self.device_meter = DeviceMeter(run.device)
        recipe, hooks = run.recipe, run.hooks
        updates = plan_updates(run.shards, recipe, run.seed)
        count, total = recipe.evaluations, len(updates)
        parameters = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
        super().__init__(
            run,
            parameters=parameters,
            groups=parameter_groups(
                parameters.items(),
                learning_rate=recipe.learning_rate,
                weight_decay=recipe.weight_decay,
                rate_factor=run.rate_factor,
            ),
            updates=updates,
            evaluation_steps={math.ceil((number + 1) * total / count) for number in range(count)},
            micro_batch=MicroBatch(recipe.micro_batch_tokens, unit="tokens", title=run.title),
            passes_per_update=math.ceil(recipe.batch_tokens / recipe.micro_batch_tokens),
            state=LanguageState(),
            keeps_best=not switch_on(run.switches, "last_epoch"),
            keep_from=hooks.keep_from,
            patience=recipe.patience,
        )

    def probe_memory(self, tokens: int) -> Tensor:
        """Return the loss of a forward pass over a given number of tokens, to measure its memory."""
        size = min(tokens, self.run.recipe.context)
        real = 0 if self.run.shards.summary["pad_token_id"] else 1
        documents = [np.full(min(size, tokens - start), real) for start in range(0, tokens, size)]
        with autocast(self.run.recipe, self.run.device):
            return self.run.loss(self.model, documents, key=(0,))[0]

    def _train_mode(self) -> None:
        self.model.train()
        self.device_meter.restart()

    def _train_until(self, stop: StopRequest) -> None:
        run, total = self.run, len(self.updates)
        if run.workers.first:
            print(f"{run.title} | {run.shards.described('train')} | {total:,} updates", file=sys.stderr, flush=True)
        super()._train_until(stop)

    def _update(self, rows: Rows) -> float:
        """Make one update from the rows of one batch; return its mean loss per predicted token, in nats."""
        run, state = self.run, self.state
        losses, counts = self._within_memory(
            lambda size: self._add_gradients(rows, size),
            smallest=lambda: run.smallest_pass(rows, self.micro_batch.size),
        )
        run.workers.add_gradients(self.parameters.values())
        nll, predicted, tokens = run.workers.sums(sum(losses), *counts)
        self._require_finite_losses(losses, nll, rows)
        for parameter in self.parameters.values():
            if parameter.grad is not None:
                parameter.grad /= max(predicted, 1)
        penalty = run.hooks.penalty()
        if penalty is not None:
            penalty.backward()
        self._apply_gradients(rows)
        state.tokens += int(tokens)
        state.nll += nll
        state.predicted += int(predicted)
        self.device_meter.add_to(state.usage)
        return nll / max(predicted, 1)

    def _add_gradients(self, rows: Rows, size: int) -> tuple[list[float], tuple[float, float]]:
        """Run this process's share of an update forward and backward.

        Returns:
            The summed loss of each forward pass; and how many tokens were predicted, and read.
        """
        run = self.run
        losses: list[Tensor] = []
        predicted = tokens = 0
        mine = run.passes(run.workers.share(rows, run.shards.lengths), size)
        idle = run.workers.idle_passes(len(mine))
        for number, documents in enumerate(mine):
            with autocast(run.recipe, run.device):
                loss, count = run.loss(self.model, documents, key=(run.seed, self.state.step + 1, number))
            loss.backward()
            losses.append(loss.detach())
            predicted += count
            tokens += run.shards.real_tokens(documents)
        for _ in range(idle):
            with autocast(run.recipe, run.device):
                loss, _ = run.loss(self.model, run.shards.documents(rows[0]), key=(run.seed, 0, 0))
            (loss * 0).backward()
        # Read once per update: reading waits for a GPU.
        return (torch.stack(losses).tolist() if losses else []), (predicted, tokens)

    def _after_step(self) -> None:
        self.run.hooks.after_update(self.state.step)

    def _place_of(self, rows: Rows) -> str:
        listed = ", ".join(map(str, rows[:4].tolist())) + (", ..." if len(rows) > 4 else "")
        return f"(batch of rows {listed} of {self.run.shards.folder})"

    def _validate(self, stop: StopRequest) -> tuple[dict[str, float], float] | None:
        """Measure perplexity on the validation split."""
        state = self.state
        try:
            perplexity = measure_perplexity(self.model, self.run, "validation", stop=stop, step=state.step)
        except EvaluationStopped:
            return None
        metrics = {
            "train_loss": state.nll / max(state.predicted, 1),
            "validation_perplexity": perplexity,
            "tokens": state.tokens,
        }
        state.nll, state.predicted = 0.0, 0
        self.run.log.metrics(metrics, step=state.step)
        return {"step": state.step, **metrics}, -perplexity

    def _extra_state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        return self.run.hooks.state()

    def _restore_extra(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        self.run.hooks.restore(tensors, values)

    def _read_state(self, record: Mapping[str, Any]) -> LanguageState:
        return LanguageState(**{**record, "usage": DeviceUsage(**record["usage"])})
