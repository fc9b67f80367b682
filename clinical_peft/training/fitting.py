"""Training a classifier on a clinical task, or a head alone, epoch by epoch."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from clinical_peft.disclosure.counts import coarse, few
from clinical_peft.methods import Method
from clinical_peft.models.pooling import find_pooling
from clinical_peft.models.scores import link_of, log_odds
from clinical_peft.recipes import FinetuneJob, FinetuneRecipe
from clinical_peft.recipes.families import Family
from clinical_peft.recipes.job_records import has_switch_on
from clinical_peft.recipes.variants import CLINICAL, TASK
from clinical_peft.runtime.signals import StopRequest
from clinical_peft.training.batching import Rows, row_batches
from clinical_peft.training.features import Features, KeptFeatures, read_forward
from clinical_peft.training.guards import MicroBatch, kept_checkpoint
from clinical_peft.training.loop import LoopState, TrainingLoop, TrainingRun
from clinical_peft.training.objectives import Objective, class_weights
from clinical_peft.training.optimisation import parameter_groups, require_finite
from clinical_peft.training.selection import is_defined, selection_value
from clinical_peft.training.task_data import TaskData


class Trainable(Protocol):
    """A classifier, or a head alone, that the training loop can train."""

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
class FitState(LoopState):
    """Progress of a run.

    Entries of its curve, one per epoch, hold epoch, step, tokens, train_loss, validation_loss and the validation metric
    of the recipe's `selection`, validation_auroc where it names none (None where undefined).

    Attributes:
        loss: Sum of the running epoch's batch losses.
    """

    loss: float = 0.0


def task_objective(job: FinetuneJob, data: TaskData) -> Objective:
    """Build a task's loss, with class weights where the recipe asks for them."""
    weights = None
    if job.recipe.class_weights and data.type != "multilabel":
        weights = torch.from_numpy(class_weights(data.targets[data.rows("train")], len(data.classes)))
    return Objective(data.type, weights)


def head_and_adapter_groups(
    classifier: Trainable, recipe: FinetuneRecipe, *methods: tuple[str, Method | None]
) -> list[dict[str, object]]:
    """Sort the trained parameters into AdamW groups: the head with its own learning rate, then everything else.

    Args:
        classifier: What is trained.
        recipe: Learning rates and weight decay.
        methods: Names of adapters in the network, with their methods, whose tensors may have several learning rates;
            None where an adapter has one rate, or the network lacks it.
    """

    def rate_factor(name: str, dimensions: int) -> float:
        found = (method for adapter, method in methods if method is not None and f".{adapter}." in name)
        return next((method.rate_factor(name, dimensions) for method in found), 1.0)

    prefix = f"{find_pooling(classifier.family).head}."
    head: list[tuple[str, nn.Parameter]] = []
    rest: list[tuple[str, nn.Parameter]] = []
    for name, parameter in classifier.trained_parameters().items():
        (head if name.startswith(prefix) else rest).append((name, parameter))
    learning_rate = recipe.learning_rate if recipe.head_learning_rate is None else recipe.head_learning_rate
    decay = recipe.weight_decay
    return [
        *parameter_groups(head, learning_rate=learning_rate, weight_decay=decay),
        *parameter_groups(rest, learning_rate=recipe.learning_rate, weight_decay=decay, rate_factor=rate_factor),
    ]


def predict_logits(classifier: Trainable, features: Features, rows: Rows) -> np.ndarray:
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


def selection_metric(job: FinetuneJob, data: TaskData) -> str:
    """Return which validation metric picks the epoch to keep: auroc or another, loss, or last for the last epoch.

    Where the metric is undefined on the validation split, the loss picks.
    """
    if has_switch_on(job, "last_epoch"):
        return "last"
    targets = data.targets[data.rows("validation")]
    if job.recipe.selection != job.recipe.compared or is_defined(
        job.recipe.compared, targets, len(data.classes), data.type
    ):
        return job.recipe.selection
    return "loss"


def batch_widths(job: FinetuneJob, lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the positions that each training note takes, by which notes of like length meet in a batch."""
    if has_switch_on(job, "pool_last_position"):
        return np.full_like(lengths, job.recipe.context)
    return lengths


class Fit(TrainingLoop[FitState]):
    """One run of fine-tuning.

    Args:
        run: Settings of the run.
        job: Recipe and switches.
        data: The task.
        classifier: What to train; its trained parameters are float32 and on their device.
        features: Source of pooled features of every admission.
    """

    def __init__(
        self, run: TrainingRun, job: FinetuneJob, data: TaskData, classifier: Trainable, features: Features
    ) -> None:
        recipe = job.recipe
        self.job, self.data, self.classifier, self.features = job, data, classifier, features
        self.objective = task_objective(job, data)
        self.selection = selection_metric(job, data)
        self.targets = torch.from_numpy(data.targets)
        self.train_rows, self.validation_rows = data.rows("train"), data.rows("validation")
        widths = batch_widths(job, features.lengths[self.train_rows])
        epochs = [
            row_batches(widths, recipe.batch_size, np.random.default_rng([run.seed, epoch]))
            for epoch in range(recipe.epochs)
        ]
        self.steps_per_epoch = len(epochs[0])
        super().__init__(
            run,
            parameters=classifier.trained_parameters(),
            groups=head_and_adapter_groups(
                classifier, recipe, (TASK, job.task_method), (CLINICAL, job.clinical_method)
            ),
            updates=[self.train_rows[batch] for batches in epochs for batch in batches],
            evaluation_steps={(epoch + 1) * self.steps_per_epoch for epoch in range(recipe.epochs)},
            micro_batch=MicroBatch(recipe.micro_batch_size, unit="notes", title=run.title),
            passes_per_update=recipe.batch_size / recipe.micro_batch_size,
            state=FitState(),
        )

    @property
    def keeps_features(self) -> bool:
        """Whether the features were computed before, once for all epochs."""
        return isinstance(self.features, KeptFeatures)

    @property
    def best_epoch(self) -> int:
        """Epoch whose weights are the best so far, counted from 1; 0 before the first."""
        return self.state.best_step // self.steps_per_epoch

    def train(self) -> FitState:
        """Train all epochs, or those that an interrupted run left, and put the weights to keep in place."""
        torch.manual_seed(self.run.seed)
        return super().train()

    def check(self, look: Callable[[Tensor], None]) -> None:
        """Call a function with the loss of a first forward pass, smaller where memory runs out; nothing is trained."""
        self.micro_batch.attempt(
            lambda size: look(self.loss(self.train_rows[:size])),
            smallest=lambda: 1,
            undo=lambda: self.optimizer.zero_grad(set_to_none=True),
        )

    def loss(self, rows: Rows) -> Tensor:
        """Summed loss of some admissions, with gradients."""
        logits = self.classifier.logits(self.features(rows))
        return self.objective(logits, self.targets[rows].to(logits.device))

    def _train_mode(self) -> None:
        self.classifier.train_mode()

    def _update(self, rows: Rows) -> float:
        """Make one update from the admissions of a batch, the longest first; return its mean loss."""
        state, recipe, lengths = self.state, self.job.recipe, self.features.lengths
        rows = rows[np.argsort(-lengths[rows], kind="stable")]
        weight = self.objective.weight(self.targets[rows])
        losses = self._within_memory(lambda size: self._add_gradients(rows, size, weight), smallest=lambda: 1)
        loss = float(sum(losses))
        self._require_finite_losses(losses, loss, rows)
        learning_rate = self.schedule(state.step) * recipe.learning_rate
        norm = self._apply_gradients(rows)
        state.loss += loss
        state.tokens += int(lengths[rows].sum())
        metrics = {"train_loss": loss, "learning_rate": learning_rate, "tokens": state.tokens}
        self.run.log.metrics(metrics if norm is None else metrics | {"gradient_norm": norm}, step=state.step)
        return loss

    def _add_gradients(self, rows: Rows, size: int, weight: float) -> list[float]:
        """Run a batch forward and backward, `size` admissions at a time; return each part's share of the mean loss."""
        shares = []
        for start in range(0, len(rows), size):
            share = self.loss(rows[start : start + size]) / weight
            share.backward()
            shares.append(share.detach())
        # Once a step: a GPU that is asked for a number finishes all its work first.
        losses: list[float] = torch.stack(shares).tolist()
        return losses

    def _place_of(self, rows: Rows) -> str:
        epoch, batch = divmod(self.state.step, self.steps_per_epoch)
        return f"in batch {batch + 1} of epoch {epoch + 1}"

    def _validate(self, stop: StopRequest) -> tuple[dict[str, Any], float]:
        state, epoch = self.state, self.state.step // self.steps_per_epoch
        loss, value = self._validation_metrics(epoch)
        compared = self.job.recipe.compared
        entry = {
            "epoch": epoch,
            "step": state.step,
            "tokens": state.tokens,
            "train_loss": state.loss / self.steps_per_epoch,
            "validation_loss": loss,
            f"validation_{compared}": None if math.isnan(value) else value,
        }
        state.loss = 0.0
        metrics = {"validation_loss": loss, f"validation_{compared}": value}
        self.run.log.metrics({**self._shareable(metrics), "epoch": epoch}, step=state.step)
        return entry, {compared: value, "loss": -loss, "last": float(epoch)}[self.selection]

    def _validation_metrics(self, epoch: int) -> tuple[float, float]:
        """Mean loss and metric of the validation split."""
        logits = predict_logits(self.classifier, self.features, self.validation_rows)
        targets = self.targets[self.validation_rows]
        loss = float(self.objective(torch.from_numpy(logits), targets)) / max(self.objective.weight(targets), 1e-12)
        note = kept_checkpoint(self.saved_step)
        require_finite(loss, what=f"validation loss of epoch {epoch}", step=self.state.step, note=note)
        odds = log_odds(logits, link_of(self.data.type, self.job.switches))
        return loss, selection_value(self.job.recipe.compared, odds, targets.numpy(), self.data.type)

    def _shareable(self, metrics: Mapping[str, float]) -> Mapping[str, float]:
        """Validation metrics as the run log may hold them: rounded where a class has few admissions."""
        return metrics if self._has_enough_of_each_class else {name: coarse(value) for name, value in metrics.items()}

    @cached_property
    def _has_enough_of_each_class(self) -> bool:
        if self.data.type == "multilabel":
            return True
        counts = torch.bincount(self.targets[self.validation_rows], minlength=len(self.data.classes))
        return not few(counts.tolist())
