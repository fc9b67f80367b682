"""Training a classifier epoch by epoch, keeping the best one, through interruptions."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from clinical_peft.disclosure.counts import coarse, few
from clinical_peft.models.heads import HEAD_MODULES
from clinical_peft.models.scores import link_of, log_odds
from clinical_peft.recipes import Family, FinetuneJob, FinetuneRecipe
from clinical_peft.runtime.events import RunLog
from clinical_peft.runtime.progress import Progress
from clinical_peft.runtime.signals import StopRequest, stop_signals_noted
from clinical_peft.training.batching import Rows, row_batches
from clinical_peft.training.checkpoint import (
    CheckpointClock,
    generator_tensors,
    load_checkpoint,
    optimizer_tensors,
    restore_generators,
    restore_optimizer,
    save_checkpoint,
    stopped,
)
from clinical_peft.training.features import Features, KeptFeatures, read_forward
from clinical_peft.training.guards import MicroBatch, first_not_finite, kept_checkpoint, require_finite_weights
from clinical_peft.training.objectives import Objective
from clinical_peft.training.optimisation import (
    build_optimizer,
    clip_gradients,
    learning_rate,
    parameter_groups,
    require_finite,
    set_learning_rate,
)
from clinical_peft.training.selection import selection_auroc
from clinical_peft.training.task_data import TaskData


class Trained(Protocol):
    """A classifier, or a head alone, as the training loop sees it."""

    @property
    def family(self) -> Family:
        """Kind of network."""

    def trained_parameters(self) -> dict[str, nn.Parameter]:
        """Trained parameters by name, those of the head beginning with its name."""

    def logits(self, features: Tensor) -> Tensor:
        """Logits of pooled features, shape (batch, classes)."""

    def train_mode(self) -> None:
        """Switch dropout on in what is trained."""

    def eval_mode(self) -> None:
        """Switch dropout off."""


@dataclass
class FitState:
    """How far a run is; all of it fits into JSON.

    Attributes:
        epoch: Epochs finished.
        batch: Optimizer steps of the running epoch.
        step: Optimizer steps in all.
        tokens: Real tokens of the training notes seen so far.
        seconds: Time spent, earlier, interrupted runs included.
        loss: Sum of the running epoch's batch losses.
        best_epoch: Epoch kept so far, counted from 1; 0 before the first.
        best_value: Its figure, the larger the better.
        micro_batch_size: Admissions per forward pass, fewer than the recipe's where memory ran out; 0 before the first.
        curve: Per epoch: epoch, train_loss, validation_loss, validation_auroc (None where undefined), step, tokens.
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    loss: float = 0.0
    best_epoch: int = 0
    best_value: float | None = None
    micro_batch_size: int = 0
    curve: list[dict[str, Any]] = field(default_factory=list)


def head_and_adapter_groups(classifier: Trained, recipe: FinetuneRecipe) -> list[dict[str, object]]:
    """Sort the trained parameters into AdamW groups: the head with its own learning rate, then everything else."""
    head = f"{HEAD_MODULES[classifier.family]}."
    named = classifier.trained_parameters().items()
    head_rate = recipe.learning_rate if recipe.head_learning_rate is None else recipe.head_learning_rate
    groups = parameter_groups(
        [item for item in named if item[0].startswith(head)], learning_rate=head_rate, weight_decay=recipe.weight_decay
    )
    return groups + parameter_groups(
        [item for item in named if not item[0].startswith(head)],
        learning_rate=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
    )


def predict_logits(classifier: Trained, features: Features, rows: Rows) -> np.ndarray:
    """Logits of some admissions, without dropout.

    Args:
        classifier: The classifier; left in evaluation mode.
        features: Source of its features.
        rows: Admissions, int64 of shape (M,).

    Returns:
        Float32 of shape (M, K), in the order of `rows`.

    Raises:
        TrainingError: There is no memory for a single note.
    """
    classifier.eval_mode()
    return read_forward(features, rows, lambda pooled: classifier.logits(pooled).float().cpu()).numpy()


class Fit:
    """One run of fine-tuning.

    Args:
        classifier: What to train; its trained parameters are float32 and on their device.
        features: Source of pooled features of every admission.
        data: The task.
        objective: Its loss.
        job: Recipe and switches.
        seed: Seed of the order of admissions and of dropout.
        work: Folder of the checkpoint.
        identity: Digest of everything that decides the result; only a checkpoint with the same one is resumed.
        log: Where figures are reported.
        on_epoch: Called with the curve after every epoch but the last, interrupted runs' epochs included; what it
            raises ends the run.
    """

    def __init__(
        self,
        classifier: Trained,
        features: Features,
        data: TaskData,
        objective: Objective,
        job: FinetuneJob,
        *,
        seed: int,
        work: Path,
        identity: str,
        log: RunLog,
        on_epoch: Callable[[Sequence[Mapping[str, Any]]], None] | None = None,
    ) -> None:
        self.on_epoch = on_epoch
        self.classifier, self.objective, self.job = classifier, objective, job
        self.features: Features = features
        self.recipe, self.seed, self.work, self.identity, self.log = job.recipe, seed, work, identity, log
        self.type, self.classes = data.type, len(data.classes)
        self.targets = torch.from_numpy(data.targets)
        self.train_rows, self.validation_rows = data.rows("train"), data.rows("validation")
        self.steps_per_epoch = math.ceil(len(self.train_rows) / self.recipe.batch_size)
        self.total_steps = self.recipe.epochs * self.steps_per_epoch
        self.parameters = classifier.trained_parameters()
        self.optimizer = build_optimizer(head_and_adapter_groups(classifier, self.recipe))
        self.schedule = learning_rate(
            self.recipe,
            steps=self.total_steps,
            micro_steps_per_step=self.recipe.batch_size / self.recipe.micro_batch_size,
            switches=job.switches,
        )
        self.selection = self._selection(data)
        self.micro = MicroBatch(
            self.recipe.micro_batch_size, unit="notes", title=f"finetune {job.model} {job.task} seed {seed}"
        )
        self.state = FitState()
        self.best: dict[str, Tensor] = {}
        self.saved_step = 0

    @property
    def keeps_features(self) -> bool:
        """Whether the features were computed before, once for all epochs."""
        return isinstance(self.features, KeptFeatures)

    def _selection(self, data: TaskData) -> str:
        if self.job.switches.get("last_epoch", False):
            return "last"
        targets = data.targets[self.validation_rows]
        undefined = math.isnan(selection_auroc(np.zeros((len(targets), len(data.classes))), targets, data.type))
        return "loss" if self.recipe.selection == "auroc" and undefined else self.recipe.selection

    def run(self) -> FitState:
        """Train all epochs, or those that an interrupted run left, and put the best epoch's parameters in place.

        The checkpoint of a finished run stays, so that a job of several seeds does not train one again when it ends
        during the next; it holds the best epoch's parameters alone.

        Raises:
            StoppedError: A signal asked the job to stop; a checkpoint is saved.
            TrainingError: A loss or a gradient norm is not finite; the last good checkpoint is kept.
        """
        torch.manual_seed(self.seed)
        self._resume()
        self.log.rewind(self.state.step)
        if not self._finished():
            with stop_signals_noted() as stop:
                self._train(stop)
            self._restore_best()
            self._save()
        return self.state

    def _finished(self) -> bool:
        return self.state.epoch == self.recipe.epochs

    def _train(self, stop: StopRequest) -> None:
        started = time.monotonic() - self.state.seconds
        clock = CheckpointClock(self.recipe.checkpoint_seconds)
        progress = Progress(self.micro.title, self.total_steps, done=self.state.step)
        while not self._finished():
            generator = np.random.default_rng([self.seed, self.state.epoch])
            batches = row_batches(self._train_widths(), self.recipe.batch_size, generator)
            self.classifier.train_mode()
            while self.state.batch < len(batches):
                rows = self.train_rows[batches[self.state.batch]]
                loss = self._step(rows)
                self.state.seconds = time.monotonic() - started
                progress.update(self.state.step, tokens=int(self.features.lengths[rows].sum()), note=f"loss {loss:.3f}")
                saved = (clock.due() or bool(stop)) and self._save()
                if stop:
                    raise stopped(self.micro.title, stop, step=self.state.step, steps=self.total_steps, saved=saved)
            self._end_epoch()
            self.state.seconds = time.monotonic() - started

    def _train_widths(self) -> npt.NDArray[np.int64]:
        """Positions that each training note takes, by which notes of like length meet in a batch."""
        lengths = self.features.lengths[self.train_rows]
        every_note_is_padded = self.job.switches.get("pool_last_position", False)
        return np.full_like(lengths, self.recipe.context) if every_note_is_padded else lengths

    def _step(self, rows: Rows) -> float:
        lengths = self.features.lengths
        rows = rows[np.argsort(-lengths[rows], kind="stable")]
        weight = self.objective.weight(self.targets[rows])
        factor = self.schedule(self.state.step)
        set_learning_rate(self.optimizer, factor)
        generators = generator_tensors()
        loss = self.micro.attempt(
            lambda size: self._add_gradients(rows, size, weight),
            smallest=lambda: 1,
            undo=lambda: restore_generators(generators),
        )
        norm = clip_gradients(self.parameters.values(), self.recipe, self.job.switches)
        if norm is not None:
            self._require_finite(norm, what="gradient norm")
        self.optimizer.step()
        state = self.state
        state.step, state.batch, state.loss = state.step + 1, state.batch + 1, state.loss + loss
        state.tokens += int(lengths[rows].sum())
        state.micro_batch_size = self.micro.size
        figures = {"train_loss": loss, "learning_rate": factor * self.recipe.learning_rate, "tokens": state.tokens}
        self.log.metrics(figures if norm is None else figures | {"gradient_norm": norm}, step=state.step)
        return loss

    def _add_gradients(self, rows: Rows, size: int, weight: float) -> float:
        """Run a batch forward and backward, `size` admissions at a time; return its mean loss."""
        self.optimizer.zero_grad(set_to_none=True)
        shares = []
        for start in range(0, len(rows), size):
            share = self.loss(rows[start : start + size]) / weight
            share.backward()
            shares.append(share.detach())
        # Once a step: a GPU that is asked for a number finishes all its work first.
        losses = torch.stack(shares).tolist()
        wrong = first_not_finite(losses)
        if wrong is not None:
            self._require_finite(losses[wrong], what=f"training loss of micro-batch {wrong + 1} of {len(losses)}")
        return float(sum(losses))

    def _require_finite(self, value: float, *, what: str) -> None:
        state = self.state
        place = f"{what} in batch {state.batch + 1} of epoch {state.epoch + 1}"
        require_finite(value, what=place, step=state.step + 1, note=kept_checkpoint(self.saved_step))

    def check(self, look: Callable[[Tensor], None]) -> None:
        """Show the loss of a first forward pass, a smaller one where memory runs out; nothing is trained."""
        self.micro.attempt(
            lambda size: look(self.loss(self.train_rows[:size])),
            smallest=lambda: 1,
            undo=lambda: self.optimizer.zero_grad(set_to_none=True),
        )

    def loss(self, rows: Rows) -> Tensor:
        """Summed loss of some admissions, with gradients."""
        logits = self.classifier.logits(self.features(rows))
        return self.objective(logits, self.targets[rows].to(logits.device))

    def _end_epoch(self) -> None:
        state = self.state
        figures = self._validate()
        train_loss = state.loss / state.batch
        state.epoch, state.batch, state.loss = state.epoch + 1, 0, 0.0
        auroc, loss = figures["validation_auroc"], figures["validation_loss"]
        state.curve.append(
            {
                "epoch": state.epoch,
                "step": state.step,
                "tokens": state.tokens,
                "train_loss": train_loss,
                "validation_loss": loss,
                "validation_auroc": None if math.isnan(auroc) else auroc,
            }
        )
        self.log.metrics({**self._logged(figures), "epoch": state.epoch}, step=state.step)
        value = {"auroc": auroc, "loss": -loss, "last": float(state.epoch)}[self.selection]
        if state.best_value is None or value > state.best_value:
            state.best_epoch, state.best_value = state.epoch, value
            self.best = {name: parameter.detach().cpu().clone() for name, parameter in self.parameters.items()}
        if self.on_epoch is not None and state.epoch < self.recipe.epochs:
            self.on_epoch(state.curve)

    def _logged(self, figures: Mapping[str, float]) -> Mapping[str, float]:
        """Validation metrics as they may leave with the run log: coarse where a class has few admissions."""
        if self.type == "multilabel":
            return figures
        counts = torch.bincount(self.targets[self.validation_rows], minlength=self.classes)
        return {name: coarse(value) for name, value in figures.items()} if few(counts.tolist()) else figures

    def _validate(self) -> Mapping[str, float]:
        logits = predict_logits(self.classifier, self.features, self.validation_rows)
        targets = self.targets[self.validation_rows]
        loss = float(self.objective(torch.from_numpy(logits), targets)) / max(self.objective.weight(targets), 1e-12)
        place = f"validation loss of epoch {self.state.epoch + 1}"
        require_finite(loss, what=place, step=self.state.step, note=kept_checkpoint(self.saved_step))
        odds = log_odds(logits, link_of(self.type, self.job.switches))
        return {
            "validation_loss": loss,
            "validation_auroc": selection_auroc(odds, targets.numpy(), self.type),
        }

    def _restore_best(self) -> None:
        if self.state.best_epoch != self.state.epoch:
            self._place(self.best)

    def _place(self, tensors: Mapping[str, Tensor]) -> None:
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(tensors[name])

    def _save(self) -> bool:
        require_finite_weights(self.parameters.items(), step=self.state.step, saved=self.saved_step)
        tensors: dict[str, Tensor] = {f"parameter.{name}": value for name, value in self.parameters.items()}
        if not self._finished():
            tensors |= {f"best.{name}": value for name, value in self.best.items()}
            tensors |= {f"optimizer.{name}": value for name, value in optimizer_tensors(self.optimizer).items()}
            tensors |= {f"generator.{name}": value for name, value in generator_tensors().items()}
        saved = save_checkpoint(self.work, identity=self.identity, tensors=tensors, state=asdict(self.state))
        self.saved_step = self.state.step if saved else self.saved_step
        return saved

    def _resume(self) -> None:
        checkpoint = load_checkpoint(self.work, identity=self.identity)
        if checkpoint is None:
            return
        self._place(checkpoint.section("parameter."))
        self.state = FitState(**checkpoint.state)
        self.saved_step = self.state.step
        self.micro.size = self.state.micro_batch_size or self.micro.size
        if not self._finished():
            self.best = checkpoint.section("best.")
            restore_optimizer(self.optimizer, checkpoint.section("optimizer."))
            restore_generators(checkpoint.section("generator."))
