"""Parts of every training loop: determinism, precision, AdamW, the learning-rate schedule, gradient clipping."""

import math
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import nn

from clinical_peft.errors import TrainingError
from clinical_peft.recipes import Optimisation, PoolJob, Schedule
from clinical_peft.recipes.switches import switch_on
from clinical_peft.training.distributed import norm_of

RateFactor = Callable[[str, int], float]
"""Factor of the learning rate of a parameter, by its name and the number of its dimensions."""


def one_rate(name: str, dimensions: int) -> float:
    """Give every parameter the same learning rate."""
    return 1.0


def prepare_torch(seed: int, threads: int) -> torch.device:
    """Seed every generator, fix the number of CPU threads and ask for deterministic kernels.

    An operation without one, of which a GPU has more than a CPU, runs all the same, with one warning.

    Args:
        seed: Seed of PyTorch's global generators, on which initialisation and dropout draw.
        threads: CPU threads; they change the order of float sums.

    Returns:
        The device to train on: a GPU when one is visible, else the CPU.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Otherwise every new tensor is filled with NaN before it is written.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def autocast(recipe: Optimisation | PoolJob, device: torch.device) -> AbstractContextManager[object]:
    """Return the context of a forward pass: bfloat16 activations if the recipe asks for them."""
    if recipe.precision != "fp32":
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return nullcontext()


def to_device(model: nn.Module, device: torch.device) -> nn.Module:
    """Move a model to a device and make every trainable parameter float32, also on a base of another type."""
    model.to(device)
    for parameter in model.parameters():
        if parameter.requires_grad and parameter.is_floating_point():
            parameter.data = parameter.data.float()
    return model


def parameter_groups(
    named: Iterable[tuple[str, nn.Parameter]],
    *,
    learning_rate: float,
    weight_decay: float,
    rate_factor: RateFactor = one_rate,
) -> list[dict[str, object]]:
    """Sort trainable parameters into AdamW groups: matrices decay; vectors (biases, norms, gates) do not.

    Args:
        named: Names and parameters; those that do not require gradients are dropped.
        learning_rate: Peak learning rate of these parameters.
        weight_decay: Weight decay of the matrices.
        rate_factor: Factor of the learning rate of each.

    Returns:
        Groups of one learning rate and one weight decay, the lower rates and the matrices first, parameters in the
        order given.
    """
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for name, parameter in named:
        if parameter.requires_grad:
            key = (rate_factor(name, parameter.ndim), parameter.ndim < 2)
            groups.setdefault(key, []).append(parameter)
    return [
        {"params": found, "lr": learning_rate * factor, "weight_decay": 0.0 if vectors else weight_decay}
        for (factor, vectors), found in sorted(groups.items(), key=lambda item: item[0])
    ]


def build_optimizer(groups: list[dict[str, object]]) -> torch.optim.AdamW:
    """Build AdamW over parameter groups, fused where the device has a fused kernel.

    Raises:
        TrainingError: No parameter is trainable.
    """
    if not groups:
        raise TrainingError("no trainable parameter: expected a head, an adapter or an unfrozen base to train")
    optimizer = torch.optim.AdamW(groups, fused=True)
    for group in optimizer.param_groups:
        group["peak_learning_rate"] = group["lr"]
    return optimizer


@dataclass(frozen=True)
class LearningRateSchedule:
    """A learning rate as a factor of its peak, a pure function of the optimizer step.

    Attributes:
        steps: Optimizer steps over which the schedule is laid out.
        warmup: Steps of linear warm-up; the first update after a warm-up start is not zero.
        schedule: After warm-up: down to zero linearly or along a cosine, or constant.
        first_update_zero: Count warm-up from zero, so that the first update does nothing.
    """

    steps: float
    warmup: float
    schedule: Schedule
    first_update_zero: bool = False

    def __call__(self, step: int) -> float:
        """Return the factor at optimizer step `step`, counted from zero."""
        if self.first_update_zero and step < self.warmup:
            return step / max(1.0, self.warmup)
        if step < self.warmup:
            return (step + 1) / self.warmup
        if self.schedule == "constant":
            return 1.0
        left = min(1.0, max(0.0, (self.steps - step) / max(1.0, self.steps - self.warmup)))
        return left if self.schedule == "linear" else 0.5 * (1 - math.cos(math.pi * left))


def learning_rate_schedule(
    recipe: Optimisation, *, steps: int, passes_per_step: float, switches: Mapping[str, bool]
) -> LearningRateSchedule:
    """Lay out a recipe's learning rate over a run.

    Args:
        recipe: Warm-up ratio and schedule.
        steps: Optimizer steps of the run.
        passes_per_step: Forward passes per optimizer step.
        switches: `warmup_as_steps` passes the warm-up ratio where a number of steps is expected: the first update
            has a learning rate of zero and there is no warm-up. `schedule_in_micro_steps` lays the schedule out over
            forward passes but advances it once per update, so that it ends near its peak.
    """
    length = steps * passes_per_step if switch_on(switches, "schedule_in_micro_steps") else float(steps)
    if switch_on(switches, "warmup_as_steps"):
        return LearningRateSchedule(length, recipe.warmup_ratio, recipe.schedule, first_update_zero=True)
    return LearningRateSchedule(length, math.ceil(recipe.warmup_ratio * length), recipe.schedule)


def set_learning_rate(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Set every group's learning rate to `factor` times its peak."""
    for group in optimizer.param_groups:
        group["lr"] = group["peak_learning_rate"] * factor


def clip_gradients(
    parameters: Iterable[nn.Parameter], recipe: Optimisation, switches: Mapping[str, bool]
) -> float | None:
    """Scale gradients down to the recipe's largest norm.

    Args:
        parameters: Parameters with gradients.
        recipe: Holds the largest norm, or none.
        switches: `unclipped` turns clipping off.

    Returns:
        The norm before clipping, or None where nothing is clipped.
    """
    if switch_on(switches, "unclipped") or recipe.clip_norm is None:
        return None
    return norm_of(nn.utils.clip_grad_norm_(list(parameters), recipe.clip_norm))


def require_finite(value: float, *, what: str, step: int, note: str = "") -> float:
    """Return a loss or a norm, or stop the run when it is not finite.

    Args:
        value: The loss or norm.
        what: Its name.
        step: Optimizer step, counted from one.
        note: What else the message says, such as which checkpoint is left.

    Raises:
        TrainingError: The value is NaN or infinite.
    """
    if not math.isfinite(value):
        raise TrainingError(
            f"{what} at optimizer step {step}: expected a finite number, found {value}; {note}{'; ' if note else ''}"
            "lower learning_rate, set clip_norm, or use precision fp32"
        )
    return value
