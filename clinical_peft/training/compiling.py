"""Compiling the layers of a network with `torch.compile`, where a compiler is installed."""

import logging
from functools import cache

import torch
from torch import nn

from clinical_peft.training.activations import decoder_layers

_log = logging.getLogger(__name__)


@cache
def compiler_works(device: torch.device) -> bool:
    """Whether `torch.compile` can build and run code for a device."""

    def double(value: torch.Tensor) -> torch.Tensor:
        return value.sin() * 2

    try:
        torch.compile(double)(torch.ones(8, device=device))
    except (RuntimeError, OSError, ImportError) as error:
        _log.info("compile: no working compiler for %s here (%s); running without", device.type, type(error).__name__)
        return False
    return True


def compile_layers(model: nn.Module, device: torch.device) -> bool:
    """Compile every decoder layer of a network in place, for sequences of any length.

    The layers are alike, so one compilation serves all of them. Names and values of parameters do not change.
    Attention over packed documents is not compiled, since their number changes from pass to pass.

    Args:
        model: Network, with or without an adapter.
        device: Where it is.

    Returns:
        Whether the layers were compiled; False, with a log line, where no compiler works.
    """
    if not compiler_works(device):
        return False
    for layer in decoder_layers(model):
        if layer._compiled_call_impl is None:
            layer.compile(dynamic=True)
    return True
