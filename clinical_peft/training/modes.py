"""Setting a network's training or evaluation mode for a block."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def training_mode(model: nn.Module, *, on: bool) -> Iterator[None]:
    """Set a network's mode and put back that of each of its modules, which may differ."""
    modes = [(module, module.training) for module in model.modules()]
    model.train(on)
    try:
        yield
    finally:
        for module, was_training in modes:
            module.training = was_training
