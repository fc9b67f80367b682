"""Guards of a training run: smaller forward passes where memory runs out, errors where numbers are not finite."""

import logging
from collections.abc import Callable, Iterable
from typing import TypeVar

import torch
from torch import Tensor

from clinical_peft.errors import TrainingError

logger = logging.getLogger(__name__)

Result = TypeVar("Result")


class MicroBatch:
    """The size of a forward pass, halved whenever the device runs out of memory.

    As passes get smaller their number grows, so an optimizer step sees the same rows.

    Args:
        size: Size to begin with.
        unit: What is counted, for messages: `tokens` or `notes`.
        title: Name of the run in the log.
    """

    def __init__(self, size: int, *, unit: str, title: str) -> None:
        self.size = size
        self.unit = unit
        self.title = title

    def attempt(
        self, work: Callable[[int], Result], *, smallest: Callable[[], int], undo: Callable[[], None]
    ) -> Result:
        """Do some work in forward passes of the current size, halved until they fit.

        Args:
            work: Called with the size.
            smallest: Returns the size below which there is nothing left to divide.
            undo: Called before the work is tried again, to discard the partial results of the failed attempt.

        Raises:
            TrainingError: Not even the smallest forward pass fits.
        """
        while True:
            try:
                return work(self.size)
            except torch.OutOfMemoryError:
                least = smallest()
                if self.size <= least:
                    raise TrainingError(
                        f"{self.title}: out of memory in a forward pass of {least} {self.unit}, which cannot be "
                        "divided; lower context or the micro-batch, use precision bf16 or nf4, or a device with more "
                        "memory"
                    ) from None
            # Outside the handler, which keeps the failed pass's tensors alive.
            undo()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            failed, self.size = self.size, max(self.size // 2, least)
            logger.warning(
                "%s: out of memory with forward passes of %d %s; from now on %d, accumulated to the same batch",
                self.title,
                failed,
                self.unit,
                self.size,
            )


def first_not_finite(values: Iterable[float]) -> int | None:
    """Return the index of the first value that is NaN or infinite, or None."""
    finite = torch.isfinite(torch.tensor(list(values), dtype=torch.float64))
    return None if finite.all() else int((~finite).nonzero()[0])


def kept_checkpoint(step: int) -> str:
    """Name the checkpoint that a failed run keeps: that of a step, or none for step 0."""
    return f"the checkpoint of step {step} is kept" if step else "no checkpoint yet"


def require_finite_weights(named: Iterable[tuple[str, Tensor]], *, step: int, saved: int) -> None:
    """Check weights before they replace the last good checkpoint.

    Args:
        named: Weights and their names.
        step: Optimizer steps done, for the message.
        saved: Step of the last good checkpoint; 0 for none.

    Raises:
        TrainingError: A weight is NaN or infinite.
    """
    for name, value in named:
        if not torch.isfinite(value).all():
            raise TrainingError(
                f"weight {name} after optimizer step {step}: expected finite numbers, found others; "
                f"{kept_checkpoint(saved)}; lower learning_rate, set clip_norm, or use precision fp32"
            )
