"""The training loop of language models: token batches, updates, evaluations, checkpoints, choice of weights."""

import math
import resource
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from clinical_peft.errors import DataError
from clinical_peft.events import RunLog
from clinical_peft.progress import Progress
from clinical_peft.recipes import LanguageRecipe
from clinical_peft.tokens.reading import TokenShards
from clinical_peft.training.batching import Rows, micro_batches, token_batches
from clinical_peft.training.checkpoint import (
    CheckpointClock,
    generator_tensors,
    load_checkpoint,
    optimizer_tensors,
    restore_generators,
    restore_optimizer,
    save_checkpoint,
)
from clinical_peft.training.language_loss import LanguageLoss
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


@torch.no_grad()
def measure_perplexity(model: nn.Module, run: LanguageRun, split: str) -> float:
    """Return exp of the mean negative log-likelihood per predicted token.

    Args:
        model: The network; left in evaluation mode.
        run: Loss, rows, batch size and precision.
        split: Which split is read, up to `recipe.evaluation_tokens`.

    Raises:
        DataError: No token of the split is predicted.
        TrainingError: The likelihood is not finite.
    """
    model.eval()
    rows = evaluation_rows(run.shards, split, run.recipe.evaluation_tokens, run.salt)
    total, predicted = 0.0, 0
    for number, part in enumerate(micro_batches(rows, run.shards.lengths, run.recipe.micro_batch_tokens)):
        with autocast(run.recipe, run.device):
            # Masks of an evaluation must not depend on when it happens.
            documents = [document for row in part for document in run.shards.documents(row)]
            nll, count = run.loss(model, documents, key=(0, 0, number))
        total += nll.item()
        predicted += count
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
        TrainingError: Nothing is trainable, or a loss or gradient is not finite.
    """
    return _Trainer(model, run).train()


class _Trainer:
    def __init__(self, model: nn.Module, run: LanguageRun) -> None:
        self.model = model
        self.run = run
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
        run, state, total = self.run, self.state, len(self.updates)
        self._resume()
        evaluations = {
            math.ceil((index + 1) * total / run.recipe.evaluations) for index in range(run.recipe.evaluations)
        }
        print(f"{run.title} | {run.shards.described('train')} | {total:,} updates", file=sys.stderr, flush=True)
        progress = Progress(run.title, total, done=state.step)
        clock = CheckpointClock(run.recipe.checkpoint_seconds)
        self.model.train()
        while state.step < total:
            tokens = state.tokens
            loss = self._update(self.updates[state.step])
            progress.update(state.step, tokens=state.tokens - tokens, note=f"loss {loss:.3f}")
            if state.step in evaluations:
                self._evaluate()
            if clock.due():
                self._save()
        if self.kept and not run.switches.get("last_epoch", False):
            self._put_back(self.kept)
        self.model.eval()
        return state

    def _update(self, rows: Rows) -> float:
        """Make one update from the rows of one batch; return its mean loss per predicted token, in nats."""
        run, state = self.run, self.state
        started = time.perf_counter()
        set_learning_rate(self.optimizer, self.course(state.step))
        nll, predicted = 0.0, 0
        for number, part in enumerate(micro_batches(rows, run.shards.lengths, run.recipe.micro_batch_tokens)):
            sequences = [document for row in part for document in run.shards.documents(row)]
            with autocast(run.recipe, run.device):
                loss, count = run.loss(self.model, sequences, key=(run.seed, state.step + 1, number))
            loss.backward()
            nll += loss.item()
            predicted += count
            state.tokens += run.shards.real_tokens(sequences)
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
        state.predicted += predicted
        state.seconds += time.perf_counter() - started
        return mean

    def _evaluate(self) -> None:
        """Measure perplexity on the validation split, note it, and keep the weights if they are the best so far."""
        run, state = self.run, self.state
        value = measure_perplexity(self.model, run, "validation")
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
            self.kept = {name: parameter.detach().cpu().clone() for name, parameter in self.named.items()}

    def _put_back(self, weights: Mapping[str, Tensor]) -> None:
        with torch.no_grad():
            for name, parameter in self.named.items():
                parameter.copy_(weights[name])

    def _save(self) -> None:
        extra_tensors, extra = self.run.extra_state()
        sections: dict[str, Mapping[str, Tensor]] = {
            "weight/": self.named,
            "kept/": self.kept,
            "optimizer/": optimizer_tensors(self.optimizer),
            "generator/": generator_tensors(),
            "extra/": extra_tensors,
        }
        tensors = {prefix + name: value for prefix, values in sections.items() for name, value in values.items()}
        state = {"run": asdict(self.state), "extra": extra}
        save_checkpoint(self.run.work, identity=self.run.identity, tensors=tensors, state=state)

    def _resume(self) -> None:
        checkpoint = load_checkpoint(self.run.work, identity=self.run.identity)
        if checkpoint is None:
            return
        self.state.__dict__.update(checkpoint.state["run"])
        self.kept = checkpoint.section("kept/")
        self._put_back(checkpoint.section("weight/"))
        restore_optimizer(self.optimizer, checkpoint.section("optimizer/"))
        self.run.restore_extra(checkpoint.section("extra/"), checkpoint.state["extra"])
        restore_generators(checkpoint.section("generator/"))


def peak_memory_bytes(device: torch.device) -> int:
    """Return the largest memory in use so far: of the GPU if there is one, else of the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
