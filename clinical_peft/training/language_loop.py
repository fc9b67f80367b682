"""The training loop of language models: token batches, updates, evaluations, checkpoints, choice of weights."""

import math
import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft.helpers import disable_input_dtype_casting
from torch import Tensor, nn

from clinical_peft.errors import DataError
from clinical_peft.events import RunLog
from clinical_peft.progress import Progress
from clinical_peft.recipes import LanguageRecipe
from clinical_peft.signals import StopRequest, stop_signals_noted
from clinical_peft.tokens.reading import TokenShards
from clinical_peft.training.activations import free_bytes, layers_to_recompute, recomputed
from clinical_peft.training.attention import hands_on_cache
from clinical_peft.training.batching import Rows, passes, token_batches
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
from clinical_peft.training.distributed import ALONE, Workers, like, shard, whole
from clinical_peft.training.language_loss import LanguageLoss, Sequences
from clinical_peft.training.optimisation import (
    autocast,
    build_optimizer,
    clip_gradients,
    learning_rate,
    parameter_groups,
    require_finite,
    set_learning_rate,
)


def _nothing(_: int) -> None:
    """Do nothing after an update."""


@dataclass(frozen=True, kw_only=True)
class LanguageRun:
    """What a training run is made of.

    Attributes:
        title: How the run calls itself in progress lines.
        recipe: Optimisation and budget.
        seed: Seed of the order of rows and of masks.
        shards: Rows to train and validate on.
        loss: The objective.
        device: Where the network is.
        work: Folder for checkpoints.
        identity: Digest of everything that decides the result; a checkpoint of another run is not resumed.
        log: Where figures are reported.
        salt: Decides which rows an evaluation reads if it may not read all.
        switches: Named deviations of the protocol.
        after_update: Called with the number of updates done, before gradients are reset.
        penalty: A further term of the loss of an update, or None.
        extra_state: Returns tensors and values that a checkpoint must hold besides the weights.
        restore_extra: Puts them back.
        keep_from: Weights of an earlier evaluation than at this update are never kept.
        on_evaluation: Called with the curve after every evaluation but the last, those of interrupted runs included;
            what it raises ends the run.
        workers: The processes that train together.
    """

    title: str
    recipe: LanguageRecipe
    seed: int
    shards: TokenShards
    loss: LanguageLoss
    device: torch.device
    work: Path
    identity: str
    log: RunLog
    salt: str
    switches: Mapping[str, bool] = field(default_factory=dict)
    after_update: Callable[[int], None] = _nothing
    penalty: Callable[[], Tensor | None] = lambda: None
    extra_state: Callable[[], tuple[dict[str, Tensor], dict[str, Any]]] = lambda: ({}, {})
    restore_extra: Callable[[Mapping[str, Tensor], Mapping[str, Any]], None] = lambda tensors, state: None
    keep_from: int = 0
    on_evaluation: Callable[[Sequence[Mapping[str, float]]], None] = lambda curve: None
    workers: Workers = ALONE

    def passes(self, rows: Rows) -> list[Sequences]:
        """Divide the documents of some rows among forward passes."""
        documents = [document for row in rows for document in self.shards.documents(row)]
        return passes(documents, self.recipe.micro_batch_tokens, packed=self.loss.packed)


@dataclass
class RunState:
    """How far a run is.

    Attributes:
        step: Updates done.
        tokens: Real tokens trained on.
        seconds: Time spent on updates, evaluations not counted.
        curve: One entry per evaluation: step, train_loss, validation_perplexity, tokens.
        kept_step: Update after which the kept weights were validated; 0 for none yet.
        kept_perplexity: Validation perplexity of the kept weights; null for none yet.
        nll: Training loss summed since the last evaluation, in nats.
        predicted: Tokens predicted since the last evaluation.
    """

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    curve: list[dict[str, float]] = field(default_factory=list)
    kept_step: int = 0
    kept_perplexity: float | None = None
    nll: float = 0.0
    predicted: int = 0


def plan_updates(shards: TokenShards, recipe: LanguageRecipe, seed: int) -> list[Rows]:
    """Decide which rows each update reads.

    Args:
        shards: Rows; only the training split is used.
        recipe: Budget.
        seed: Decides the order, together with the epoch.

    Returns:
        Row numbers per update, over all epochs, ended when `recipe.train_tokens` is reached.
    """
    train = shards.rows("train")
    lengths = shards.lengths[train]
    updates: list[Rows] = []
    tokens = 0
    for epoch in range(recipe.epochs):
        for batch in token_batches(lengths, recipe.batch_tokens, np.random.default_rng([seed, epoch])):
            if recipe.train_tokens is not None and tokens >= recipe.train_tokens:
                return updates
            updates.append(train[batch])
            tokens += int(lengths[batch].sum())
    return updates


def evaluation_rows(shards: TokenShards, split: str, limit: int | None, salt: str) -> Rows:
    """Choose the rows of a split that a perplexity is measured on, the same for every network of a study.

    Args:
        shards: Rows.
        split: Which split.
        limit: About so many tokens, drawn at random; None for all rows.
        salt: Decides the draw.
    """
    rows = shards.rows(split)
    if limit is None or int(shards.lengths[rows].sum()) <= limit:
        return rows
    order = np.random.default_rng(list(f"{salt}:{split}".encode())).permutation(rows)
    enough = int(np.searchsorted(np.cumsum(shards.lengths[order]), limit)) + 1
    return np.sort(order[:enough])


class EvaluationStopped(Exception):
    """An evaluation was left because the job was asked to stop."""


@torch.no_grad()
def measure_perplexity(model: nn.Module, run: LanguageRun, split: str, *, stop: StopRequest | None = None) -> float:
    """Return exp of the mean negative log-likelihood per predicted token.

    Processes that train together share the rows, and each row counts once.

    Args:
        model: The network; left in evaluation mode.
        run: Loss, rows, batch size and precision.
        split: Which split is read, up to `recipe.evaluation_tokens`.
        stop: Ends the evaluation when it asks for it.

    Raises:
        DataError: No token of the split is predicted.
        EvaluationStopped: `stop` asked for it.
        TrainingError: The likelihood is not finite.
    """
    model.eval()
    every = evaluation_rows(run.shards, split, run.recipe.evaluation_tokens, run.salt)
    mine = run.passes(run.workers.share(every, run.shards.lengths))
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
    total, predicted, left = run.workers.sums(total, predicted, left)
    if left:
        raise EvaluationStopped
    if predicted == 0:
        raise DataError(
            f"{run.shards.folder}: no token of the {split} split can be predicted; use more or longer notes"
        )
    return math.exp(require_finite(total / predicted, what=f"{split} loss", step=0))


def train_language_model(model: nn.Module, run: LanguageRun) -> RunState:
    """Train a network's trainable parameters and leave it with the weights of the best evaluation.

    With the switch `last_epoch` it keeps the last weights. A checkpoint of the same run is resumed, on a CPU to the
    same bytes as without the interruption; `remove_checkpoint` drops it once the result is saved.

    Returns:
        How the run went.

    Raises:
        StoppedError: A signal asked the job to stop; a checkpoint is saved.
        TrainingError: Nothing is trainable, or a loss or gradient is not finite.
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
        plain_inputs = disable_input_dtype_casting(self.model, active=run.recipe.precision == "bf16")
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
        while state.step < total or self._evaluation_due():
            if self._evaluation_due():
                self._evaluate(stop)
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

    def _update(self, rows: Rows) -> float:
        """Make one update from the rows of one batch; return its mean loss per predicted token, in nats."""
        run, state = self.run, self.state
        started = time.perf_counter()
        set_learning_rate(self.optimizer, self.course(state.step))
        summed, predicted, tokens = torch.zeros((), dtype=torch.float64, device=run.device), 0.0, 0.0
        mine = run.passes(run.workers.share(rows, run.shards.lengths))
        idle = run.workers.idle_passes(len(mine))
        for number, documents in enumerate(mine):
            with autocast(run.recipe, run.device):
                loss, count = run.loss(self.model, documents, key=(run.seed, state.step + 1, number))
            loss.backward()
            # Read once per update: reading waits for a GPU.
            summed += loss.detach()
            predicted += count
            tokens += run.shards.real_tokens(documents)
        for _ in range(idle):
            with autocast(run.recipe, run.device):
                loss, _ = run.loss(self.model, run.shards.documents(rows[0]), key=(run.seed, 0, 0))
            (loss * 0).backward()
        run.workers.add_gradients(self.named.values())
        nll, predicted, tokens = run.workers.sums(summed.item(), predicted, tokens)
        state.tokens += int(tokens)
        mean = require_finite(nll / max(predicted, 1), what="training loss", step=state.step + 1)
        for parameter in self.named.values():
            if parameter.grad is not None:
                parameter.grad /= max(predicted, 1)
        penalty = run.penalty()
        if penalty is not None:
            penalty.backward()
        norm = clip_gradients(self.named.values(), run.recipe, run.switches)
        if norm is not None:
            require_finite(norm, what="gradient norm", step=state.step + 1)
        self.optimizer.step()
        state.step += 1
        run.after_update(state.step)
        self.optimizer.zero_grad(set_to_none=True)
        state.nll += nll
        state.predicted += int(predicted)
        state.seconds += time.perf_counter() - started
        return mean

    def _evaluate(self, stop: StopRequest) -> None:
        """Measure perplexity on the validation split, note it, and keep the weights if they are the best so far.

        A stop that is asked for meanwhile leaves the evaluation to the run that goes on.
        """
        run, state = self.run, self.state
        try:
            value = measure_perplexity(self.model, run, "validation", stop=stop)
        except EvaluationStopped:
            return
        finally:
            self.model.train()
        loss = state.nll / max(state.predicted, 1)
        state.nll, state.predicted = 0.0, 0
        state.curve.append(
            {"step": state.step, "train_loss": loss, "validation_perplexity": value, "tokens": state.tokens}
        )
        run.log.metrics({"train_loss": loss, "validation_perplexity": value, "tokens": state.tokens}, step=state.step)
        better = state.kept_perplexity is None or value < state.kept_perplexity
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
        state = {"run": asdict(self.state), "extra": extra}
        saved = run.workers.first and save_checkpoint(run.work, identity=run.identity, tensors=tensors, state=state)
        return bool(run.workers.sums(saved)[0])

    def _resume(self) -> None:
        run = self.run
        checkpoint = load_checkpoint(run.work, identity=run.identity) if run.workers.first else None
        run.workers.wait()
        if not run.workers.first:
            checkpoint = read_checkpoint(run.work, identity=run.identity)
        if checkpoint is None:
            return
        self.state.__dict__.update(checkpoint.state["run"])
        self.kept = checkpoint.section("kept/")
        self._put_back(checkpoint.section("weight/"))
        parameters = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        moments = checkpoint.section("optimizer/").items()
        restore_optimizer(
            self.optimizer, {key: like(value, parameters[int(key.split(".")[0])]) for key, value in moments}
        )
        run.restore_extra(checkpoint.section("extra/"), checkpoint.state["extra"])
        restore_generators(run.workers.own(checkpoint.section("generator/")))


def peak_memory_bytes(device: torch.device) -> int:
    """Return the largest memory in use so far: of the GPU if there is one, else of the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
