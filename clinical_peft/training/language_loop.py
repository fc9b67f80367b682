"""The training loop of language models: token batches, updates, evaluations, checkpoints, choice of weights."""

import math
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict

import numpy as np
import torch
from peft.helpers import disable_input_dtype_casting
from torch import Tensor, nn

from clinical_peft.errors import DataError
from clinical_peft.runtime.progress import Progress
from clinical_peft.runtime.signals import StopRequest, stop_signals_noted
from clinical_peft.training.activations import free_bytes, layers_to_recompute, recomputed
from clinical_peft.training.attention import hands_on_cache
from clinical_peft.training.batching import Rows
from clinical_peft.training.checkpoint import (
    CheckpointClock,
    generator_tensors,
    load_checkpoint,
    optimizer_tensors,
    read_checkpoint,
    restore_generators,
    restore_optimizer,
    save_checkpoint,
    stopped,
)
from clinical_peft.training.compiling import compile_layers
from clinical_peft.training.distributed import like, shard, whole
from clinical_peft.training.guards import MicroBatch, first_not_finite, kept_checkpoint, require_finite_weights
from clinical_peft.training.language_plan import evaluation_rows, plan_updates
from clinical_peft.training.language_run import LanguageRun, RunState
from clinical_peft.training.optimisation import (
    autocast,
    build_optimizer,
    clip_gradients,
    learning_rate,
    parameter_groups,
    require_finite,
    set_learning_rate,
)
from clinical_peft.training.throughput import DeviceMeter, Metered


class EvaluationStopped(Exception):
    """An evaluation was left because the job was asked to stop."""


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
        total, predicted, left = 0.0, 0.0, 0.0
        for number, documents in enumerate(mine):
            # A process that stops alone would leave the others waiting for its shards.
            if stop and not run.workers.sharded:
                left = 1.0
                break
            with autocast(run.recipe, run.device):
                # Masks of an evaluation must not depend on when it happens.
                nll, count = run.loss(model, documents, key=(0, 0, number))
            total += nll.item()
            predicted += count
        for _ in range(idle):
            with autocast(run.recipe, run.device):
                run.loss(model, run.shards.documents(every[0]), key=(0, 0, 0))
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


def train_language_model(model: nn.Module, run: LanguageRun) -> RunState:
    """Train a network's trainable parameters and leave it with the weights of the best evaluation.

    With the switch `last_epoch` it keeps the last weights. Training ends early when `recipe.patience` evaluations in a
    row are no better. Where memory runs out, forward passes are halved and an update makes more of them. A checkpoint
    of the same run is resumed, on a CPU to the same bytes as without the interruption; `remove_checkpoint` drops it
    once the result is saved.

    Returns:
        How the run went.

    Raises:
        StoppedError: A signal asked the job to stop; a checkpoint is saved.
        TrainingError: Nothing is trainable, there is no memory for a single document, or a loss, a gradient or a weight
            is not finite; the last good checkpoint is kept.
    """
    return _Trainer(model, run).train()


class _Trainer:
    def __init__(self, model: nn.Module, run: LanguageRun) -> None:
        self.model = model
        self.run = run
        shard(model, run.workers)
        run.workers.seed_dropout(run.seed)
        self.named = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
        recipe = run.recipe
        self.optimizer = build_optimizer(
            parameter_groups(self.named.items(), learning_rate=recipe.learning_rate, weight_decay=recipe.weight_decay)
        )
        self.updates = plan_updates(run.shards, recipe, run.seed)
        self.course = learning_rate(
            recipe,
            steps=len(self.updates),
            micro_steps_per_step=math.ceil(recipe.batch_tokens / recipe.micro_batch_tokens),
            switches=run.switches,
        )
        self.state = RunState()
        self.kept: dict[str, Tensor] = {}
        self.micro = MicroBatch(recipe.micro_batch_tokens, unit="tokens", title=run.title)
        self.meter = DeviceMeter(run.device)
        self.saved_step = 0

    def train(self) -> RunState:
        """Train as the recipe arranges activations, types and compilation."""
        run = self.run
        self.model.train()
        count = layers_to_recompute(
            run.recipe.checkpointing,
            self.model,
            self._probe,
            tokens=run.recipe.micro_batch_tokens,
            free=free_bytes(run.device),
            has_cache=hands_on_cache(self.model),
        )
        if run.recipe.compile:
            compile_layers(self.model, run.device)
        # PEFT would turn every input of an adapter into float32, which autocast turns back.
        plain_inputs = disable_input_dtype_casting(self.model, active=run.recipe.precision != "fp32")
        with recomputed(self.model, run.workers.largest(count)), plain_inputs:
            return self._train()

    def _probe(self, tokens: int) -> Tensor:
        """Run a forward pass over so many tokens, for the memory that it takes."""
        size = min(tokens, self.run.recipe.context)
        real = 0 if self.run.shards.summary["pad_token_id"] else 1
        documents = [np.full(min(size, tokens - start), real) for start in range(0, tokens, size)]
        with autocast(self.run.recipe, self.run.device):
            return self.run.loss(self.model, documents, key=(0,))[0]

    def _train(self) -> RunState:
        run, state = self.run, self.state
        self._resume()
        run.log.rewind(state.step)
        self.model.train()
        with stop_signals_noted() as stop:
            self._go_on(stop)
        state.stopped_early = state.step < len(self.updates)
        if state.kept_step and not run.switches.get("last_epoch", False):
            self._put_back(self.kept)
        self.model.eval()
        return state

    def _go_on(self, stop: StopRequest) -> None:
        """Make updates and evaluations until the end, and a checkpoint from time to time and at the end."""
        run, state, total = self.run, self.state, len(self.updates)
        if run.workers.first:
            print(f"{run.title} | {run.shards.described('train')} | {total:,} updates", file=sys.stderr, flush=True)
        progress = Progress(run.title, total, done=state.step)
        clock = CheckpointClock(run.recipe.checkpoint_seconds)
        saved = state.step == total
        self.meter.restart()
        while (state.step < total and not self._out_of_patience()) or self._evaluation_due():
            if self._evaluation_due():
                self._evaluate(stop)
                self.meter.restart()
            else:
                tokens = state.tokens
                loss = self._update(self.updates[state.step])
                if run.workers.first:
                    progress.update(state.step, tokens=state.tokens - tokens, note=f"loss {loss:.3f}")
            asked, due = run.workers.sums(bool(stop), run.workers.first and clock.due())
            saved = bool(asked or due) and self._save()
            if asked:
                # Only some of the processes may have seen the signal.
                request = stop if stop else StopRequest("a signal to another process")
                raise stopped(run.title, request, step=state.step, steps=total, saved=saved)
        if not saved:
            self._save()

    def _evaluation_due(self) -> bool:
        """Whether the weights as they are now belong to an evaluation that has not been made."""
        state, total, count = self.state, len(self.updates), self.run.recipe.evaluations
        evaluated = state.curve[-1]["step"] if state.curve else 0
        return evaluated < state.step and state.step in {math.ceil((n + 1) * total / count) for n in range(count)}

    def _out_of_patience(self) -> bool:
        patience = self.run.recipe.patience
        return patience is not None and self.state.stale >= patience

    def _update(self, rows: Rows) -> float:
        """Make one update from the rows of one batch; return its mean loss per predicted token, in nats."""
        run, state = self.run, self.state
        started = time.perf_counter()
        set_learning_rate(self.optimizer, self.course(state.step))
        generators = generator_tensors()

        def undo() -> None:
            self.optimizer.zero_grad(set_to_none=True)
            restore_generators(generators)

        losses, counts = self.micro.attempt(
            lambda size: self._add_gradients(rows, size),
            smallest=lambda: run.smallest_pass(rows, self.micro.size),
            undo=undo,
        )
        run.workers.add_gradients(self.named.values())
        nll, predicted, tokens = run.workers.sums(sum(losses), *counts)
        self._require_finite_losses(losses, nll, rows)
        state.tokens += int(tokens)
        mean = nll / max(predicted, 1)
        for parameter in self.named.values():
            if parameter.grad is not None:
                parameter.grad /= max(predicted, 1)
        penalty = run.penalty()
        if penalty is not None:
            penalty.backward()
        norm = clip_gradients(self.named.values(), run.recipe, run.switches)
        if norm is not None:
            self._require_finite(norm, what=f"gradient norm of the batch of {len(rows)} rows")
        self.optimizer.step()
        state.step += 1
        run.after_update(state.step)
        self.optimizer.zero_grad(set_to_none=True)
        state.nll += nll
        state.predicted += int(predicted)
        state.micro_batch_tokens = self.micro.size
        state.seconds += time.perf_counter() - started
        self.meter.add_to(state.metered)
        return mean

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

    def _require_finite_losses(self, losses: list[float], total: float, rows: Rows) -> None:
        """Check the sum of all processes' losses, so that all stop, and name the forward pass where it was here."""
        if math.isfinite(total):
            return
        wrong = first_not_finite(losses)
        number = "in another process" if wrong is None else f"{wrong + 1} of {len(losses)}"
        listed = ", ".join(map(str, rows[:4].tolist())) + (", ..." if len(rows) > 4 else "")
        place = f"micro-batch {number} (batch of rows {listed} of {self.run.shards.folder})"
        self._require_finite(total if wrong is None else losses[wrong], what=f"training loss of {place}")

    def _require_finite(self, value: float, *, what: str) -> None:
        require_finite(value, what=what, step=self.state.step + 1, note=kept_checkpoint(self.saved_step))

    def _evaluate(self, stop: StopRequest) -> None:
        """Measure perplexity on the validation split, note it, and keep the weights if they are the best so far.

        A stop that is asked for meanwhile leaves the evaluation to the run that goes on.
        """
        run, state = self.run, self.state
        started = time.perf_counter()
        try:
            value = measure_perplexity(self.model, run, "validation", stop=stop, step=state.step)
        except EvaluationStopped:
            return
        finally:
            self.model.train()
        state.evaluation_seconds += time.perf_counter() - started
        loss = state.nll / max(state.predicted, 1)
        state.nll, state.predicted = 0.0, 0
        state.curve.append(
            {"step": state.step, "train_loss": loss, "validation_perplexity": value, "tokens": state.tokens}
        )
        run.log.metrics({"train_loss": loss, "validation_perplexity": value, "tokens": state.tokens}, step=state.step)
        better = state.kept_perplexity is None or value < state.kept_perplexity
        if state.step >= run.keep_from:
            state.stale = 0 if better else state.stale + 1
        if state.step >= run.keep_from and better:
            state.kept_step, state.kept_perplexity = state.step, value
            self.kept = {name: whole(parameter) for name, parameter in self.named.items()}
        if state.step < len(self.updates):
            run.on_evaluation(state.curve)

    def _put_back(self, weights: Mapping[str, Tensor]) -> None:
        with torch.no_grad():
            for name, parameter in self.named.items():
                parameter.copy_(like(weights[name], parameter))

    def _save(self) -> bool:
        """Save a checkpoint and return whether it was written."""
        run = self.run
        extra_tensors, extra = run.extra_state()
        sections: dict[str, Mapping[str, Tensor]] = {
            "weight/": self.named,
            "kept/": self.kept,
            "optimizer/": optimizer_tensors(self.optimizer),
            "generator/": run.workers.gather(generator_tensors()),
            "extra/": extra_tensors,
        }
        tensors = {prefix + name: value for prefix, values in sections.items() for name, value in values.items()}
        if run.workers.sharded:
            tensors = {name: whole(value) for name, value in tensors.items()}
        weights = ((name, value) for name, value in tensors.items() if name.startswith("weight/"))
        require_finite_weights(weights, step=self.state.step, saved=self.saved_step)
        state = {"run": asdict(self.state), "extra": extra}
        saved = run.workers.first and save_checkpoint(run.work, identity=run.identity, tensors=tensors, state=state)
        saved = bool(run.workers.sums(saved)[0])
        self.saved_step = self.state.step if saved else self.saved_step
        return saved

    def _resume(self) -> None:
        run = self.run
        checkpoint = load_checkpoint(run.work, identity=run.identity) if run.workers.first else None
        run.workers.wait()
        if not run.workers.first:
            checkpoint = read_checkpoint(run.work, identity=run.identity)
        if checkpoint is None:
            return
        record = checkpoint.state["run"]
        self.state.__dict__.update(record | {"metered": Metered(**record["metered"])})
        self.saved_step = self.state.step
        self.micro.size = self.state.micro_batch_tokens or self.micro.size
        self.kept = checkpoint.section("kept/")
        self._put_back(checkpoint.section("weight/"))
        parameters = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        moments = checkpoint.section("optimizer/").items()
        restore_optimizer(
            self.optimizer, {key: like(value, parameters[int(key.split(".")[0])]) for key, value in moments}
        )
        run.restore_extra(checkpoint.section("extra/"), checkpoint.state["extra"])
        restore_generators(run.workers.own(checkpoint.section("generator/")))
