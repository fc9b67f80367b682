"""The loop in which every network and every head is trained: updates, evaluations, checkpoints, choice of weights.

`TrainingLoop.train` is the loop. A subclass says what an update reads and computes and what an evaluation measures:
`clinical_peft.training.fitting` for clinical tasks, `clinical_peft.training.language_loop` for language models.
"""

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from clinical_peft.recipes import FinetuneRecipe, LanguageRecipe
from clinical_peft.runtime.events import RunLog
from clinical_peft.runtime.progress import Progress
from clinical_peft.runtime.signals import StopRequest, stop_signals_noted
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
from clinical_peft.training.distributed import SINGLE_PROCESS, Workers, like, whole
from clinical_peft.training.guards import MicroBatch, first_not_finite, kept_checkpoint, require_finite_weights
from clinical_peft.training.optimisation import (
    build_optimizer,
    clip_gradients,
    learning_rate_schedule,
    require_finite,
    set_learning_rate,
)

Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class TrainingRun:
    """Settings of a training run, whatever it trains.

    Attributes:
        title: Name of the run in progress lines and messages.
        recipe: Optimisation and budget.
        seed: Seed of the order of rows and of all other random draws during training.
        switches: Named deviations of the protocol; those of the training schedule are read.
        work: Folder for checkpoints, which outlives a failed run.
        log: Where metrics are reported.
        identity: Digest of everything that decides the result; only a checkpoint with the same one is resumed.
        on_evaluation: Called with the curve after every evaluation but the last, those of interrupted runs included;
            what it raises ends the run.
        workers: The processes that train together.
    """

    title: str
    recipe: FinetuneRecipe | LanguageRecipe
    seed: int
    switches: Mapping[str, bool]
    work: Path
    log: RunLog
    identity: str = ""
    on_evaluation: Callable[[Sequence[Mapping[str, Any]]], None] = lambda curve: None
    workers: Workers = SINGLE_PROCESS


@dataclass
class LoopState:
    """Progress of a run; all of it fits into JSON.

    Attributes:
        step: Updates done.
        tokens: Real tokens trained on.
        seconds: Time spent on updates, earlier, interrupted runs included.
        evaluation_seconds: Time spent on evaluations, likewise.
        micro_batch: Size of a forward pass, smaller than the recipe's where memory ran out; 0 before the first update.
        curve: One entry per evaluation.
        best_step: Update after which the best weights were evaluated; 0 before the first evaluation.
        best_value: Metric of that evaluation, higher is better; None before the first.
        stale: Evaluations in a row since the best one.
    """

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    evaluation_seconds: float = 0.0
    micro_batch: int = 0
    curve: list[dict[str, Any]] = field(default_factory=list)
    best_step: int = 0
    best_value: float | None = None
    stale: int = 0


State = TypeVar("State", bound=LoopState)


class TrainingLoop(ABC, Generic[State]):
    """Trains some parameters and leaves them with the weights that the recipe keeps.

    An interrupted run resumes from its checkpoint, on a CPU to the same bytes as without the interruption.

    Args:
        run: Settings of the run.
        parameters: What is trained, by name: float32, on its device.
        groups: The same parameters in AdamW groups; see `clinical_peft.training.optimisation.parameter_groups`.
        updates: Rows that each update reads.
        evaluation_steps: Updates after which the weights are evaluated; the last one is among them.
        micro_batch: Size of a forward pass, as the recipe has it, and its unit.
        passes_per_update: Forward passes of an update, as the recipe has it.
        state: An initial state.
        keeps_best: Whether the best weights are put back at the end, or the last ones stay.
        keep_from: Weights of an earlier evaluation than at this update are never the best.
        patience: Training ends after so many evaluations in a row without a better one; None never ends it early.

    Attributes:
        state: Progress of the run.

    Raises:
        TrainingError: No parameter is trained.
    """

    def __init__(
        self,
        run: TrainingRun,
        *,
        parameters: Mapping[str, nn.Parameter],
        groups: list[dict[str, object]],
        updates: Sequence[Rows],
        evaluation_steps: set[int],
        micro_batch: MicroBatch,
        passes_per_update: float,
        state: State,
        keeps_best: bool = True,
        keep_from: int = 0,
        patience: int | None = None,
    ) -> None:
        self.run = run
        self.parameters = parameters
        self.updates = updates
        self.evaluation_steps = evaluation_steps
        self.micro_batch = micro_batch
        self.state = state
        self.keeps_best, self.keep_from, self.patience = keeps_best, keep_from, patience
        self.optimizer = build_optimizer(groups)
        self.schedule = learning_rate_schedule(
            run.recipe, steps=len(updates), passes_per_step=passes_per_update, switches=run.switches
        )
        self.best: dict[str, Tensor] = {}
        self.saved_step = 0

    @abstractmethod
    def _train_mode(self) -> None:
        """Switch dropout on in what is trained."""

    @abstractmethod
    def _update(self, rows: Rows) -> float:
        """Make one update from the rows of a batch, and return its mean loss.

        A subclass computes gradients within `_within_memory` and applies them by `_apply_gradients`.
        """

    @abstractmethod
    def _validate(self, stop: StopRequest) -> tuple[dict[str, Any], float] | None:
        """Evaluate the weights on the validation split.

        Returns:
            The entry of the curve, `step` among its keys, and the metric that is compared, higher is better; None where
            the evaluation ended early because of `stop`.
        """

    @abstractmethod
    def _place_of(self, rows: Rows) -> str:
        """Describe the batch of an update, for messages."""

    def _after_step(self) -> None:
        """Act between the optimizer's step and the reset of the gradients."""

    def _extra_state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return tensors and values that a checkpoint must hold besides weights, optimizer and state."""
        return {}, {}

    def _restore_extra(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        """Restore what `_extra_state` returned."""

    def _read_state(self, record: Mapping[str, Any]) -> State:
        """Return the state of a checkpoint."""
        return type(self.state)(**record)

    def train(self) -> State:
        """Train to the end, resuming an interrupted run, and keep the weights that the recipe asks for.

        The checkpoint of a finished run stays: it holds the weights to keep, and a run that finds it does not train.

        Returns:
            The final state.

        Raises:
            StoppedError: A signal asked the job to stop; a checkpoint is saved.
            TrainingError: There is no memory for the smallest forward pass; or a loss, a gradient or a weight is not
                finite, and the last good checkpoint is kept.
        """
        self._resume()
        self.run.log.rewind(self.state.step)
        with stop_signals_noted() as stop:
            self._train_until(stop)
        if self._weights_to_keep() is self.best:
            self._place(self.best)
        return self.state

    @property
    def finished(self) -> bool:
        """Whether nothing is left to train or to evaluate."""
        return (self.state.step == len(self.updates) or self._is_out_of_patience()) and not self._evaluation_is_due()

    def _is_out_of_patience(self) -> bool:
        return self.patience is not None and self.state.stale >= self.patience

    def _evaluation_is_due(self) -> bool:
        """Whether the weights as they are now belong to an evaluation that has not been made."""
        evaluated = self.state.curve[-1]["step"] if self.state.curve else 0
        return evaluated < self.state.step and self.state.step in self.evaluation_steps

    def _train_until(self, stop: StopRequest) -> None:
        """Make updates and evaluations until the end, and a checkpoint from time to time and at the end."""
        run, workers = self.run, self.run.workers
        progress = Progress(run.title, len(self.updates), done=self.state.step)
        clock = CheckpointClock(run.recipe.checkpoint_seconds)
        saved = self.finished
        self._train_mode()
        while not self.finished:
            if self._evaluation_is_due():
                self._evaluate(stop)
            else:
                self._update_once(progress)
            asked, due = workers.sums(bool(stop), workers.first and clock.due())
            saved = bool(asked or due) and self._save()
            if asked:
                # Only some of the processes may have seen the signal.
                request = stop if stop else StopRequest("a signal to another process")
                raise stopped(run.title, request, step=self.state.step, steps=len(self.updates), saved=saved)
        if not saved:
            self._save()

    def _update_once(self, progress: Progress) -> None:
        started, tokens = time.perf_counter(), self.state.tokens
        loss = self._update(self.updates[self.state.step])
        self.state.seconds += time.perf_counter() - started
        self.state.micro_batch = self.micro_batch.size
        if self.run.workers.first:
            progress.update(self.state.step, tokens=self.state.tokens - tokens, note=f"loss {loss:.3f}")

    def _evaluate(self, stop: StopRequest) -> None:
        """Evaluate, and keep the weights if they are the best so far.

        If a stop is asked for meanwhile, the resumed run evaluates instead.
        """
        state, started = self.state, time.perf_counter()
        found = self._validate(stop)
        self._train_mode()
        if found is None:
            return
        state.evaluation_seconds += time.perf_counter() - started
        entry, value = found
        state.curve.append(entry)
        if state.step >= self.keep_from:
            better = state.best_value is None or value > state.best_value
            state.stale = 0 if better else state.stale + 1
            if better:
                state.best_step, state.best_value = state.step, value
                self.best = {name: whole(parameter) for name, parameter in self.parameters.items()}
        if state.step < len(self.updates):
            self.run.on_evaluation(state.curve)

    def _within_memory(self, work: Callable[[int], Result], *, smallest: Callable[[], int]) -> Result:
        """Compute gradients in forward passes of the current size, or of a smaller one that fits.

        Args:
            work: Called with the size; adds to gradients that are zero.
            smallest: Returns the size below which there is nothing left to divide.
        """
        generators = generator_tensors()

        def undo() -> None:
            self.optimizer.zero_grad(set_to_none=True)
            restore_generators(generators)

        self.optimizer.zero_grad(set_to_none=True)
        return self.micro_batch.attempt(work, smallest=smallest, undo=undo)

    def _apply_gradients(self, rows: Rows) -> float | None:
        """Clip the gradients, make the optimizer's step at the scheduled learning rate, and reset them.

        Returns:
            The norm of the gradients before clipping, or None where they are not clipped.
        """
        norm = clip_gradients(self.parameters.values(), self.run.recipe, self.run.switches)
        if norm is not None:
            self._require_finite(norm, "gradient norm", rows)
        set_learning_rate(self.optimizer, self.schedule(self.state.step))
        self.optimizer.step()
        self.state.step += 1
        self._after_step()
        self.optimizer.zero_grad(set_to_none=True)
        return norm

    def _require_finite_losses(self, losses: Sequence[float], total: float, rows: Rows) -> None:
        """Check the sum of all processes' losses, so that all stop, and name the forward pass where it was here."""
        if math.isfinite(total):
            return
        wrong = first_not_finite(losses)
        number = "in another process" if wrong is None else f"{wrong + 1} of {len(losses)}"
        self._require_finite(total if wrong is None else losses[wrong], f"training loss of micro-batch {number}", rows)

    def _require_finite(self, value: float, what: str, rows: Rows) -> None:
        note = kept_checkpoint(self.saved_step)
        require_finite(value, what=f"{what} {self._place_of(rows)}", step=self.state.step + 1, note=note)

    def _weights_to_keep(self) -> Mapping[str, Tensor]:
        return self.best if self.keeps_best and self.best else self.parameters

    def _place(self, weights: Mapping[str, Tensor]) -> None:
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(like(weights[name], parameter))

    def _save(self) -> bool:
        """Save a checkpoint and return whether it was written."""
        run, workers = self.run, self.run.workers
        extra_tensors, extra = self._extra_state()
        weights = self._weights_to_keep() if self.finished else self.parameters
        sections: dict[str, Mapping[str, Tensor]] = {"weight": weights, "extra": extra_tensors}
        if not self.finished:
            sections |= {"best": self.best, "optimizer": optimizer_tensors(self.optimizer)}
            sections["generator"] = workers.gather(generator_tensors())
        tensors = {f"{section}/{name}": value for section, held in sections.items() for name, value in held.items()}
        if workers.sharded:
            tensors = {name: whole(value) for name, value in tensors.items()}
        saved_weights = ((name, value) for name, value in tensors.items() if name.startswith("weight/"))
        require_finite_weights(saved_weights, step=self.state.step, saved=self.saved_step)
        state = {"run": asdict(self.state), "extra": extra}
        saved = workers.first and save_checkpoint(run.work, identity=run.identity, tensors=tensors, state=state)
        saved = bool(workers.sums(saved)[0])
        self.saved_step = self.state.step if saved else self.saved_step
        return saved

    def _resume(self) -> None:
        """Restore what an interrupted run of the same identity has saved, if there is one."""
        run, workers = self.run, self.run.workers
        checkpoint = load_checkpoint(run.work, identity=run.identity) if workers.first else None
        workers.wait()
        if not workers.first:
            checkpoint = read_checkpoint(run.work, identity=run.identity)
        if checkpoint is None:
            return
        self.state = self._read_state(checkpoint.state["run"])
        self.saved_step = self.state.step
        self.micro_batch.size = self.state.micro_batch or self.micro_batch.size
        self._place(checkpoint.section("weight/"))
        self._restore_extra(checkpoint.section("extra/"), checkpoint.state["extra"])
        if self.finished:
            return
        self.best = checkpoint.section("best/")
        parameters = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        moments = checkpoint.section("optimizer/").items()
        restore_optimizer(
            self.optimizer, {key: like(value, parameters[int(key.split(".")[0])]) for key, value in moments}
        )
        restore_generators(workers.own(checkpoint.section("generator/")))
