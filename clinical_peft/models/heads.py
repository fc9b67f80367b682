"""Classification heads: their type and their first weights."""

from typing import Any

import torch
from torch import nn

from clinical_peft.errors import TrainingError
from clinical_peft.models.pooling import find_pooling
from clinical_peft.recipes.families import Family

DEFAULT_SPREAD = 0.02


def float32_head(network: Any, family: Family) -> nn.Linear:
    """Make the head of a network of any type compute in float32; to be called before adapters are added.

    Raises:
        TrainingError: The network has no such head.
    """
    name = find_pooling(family).head
    head = getattr(network, name, None)
    if not isinstance(head, nn.Linear):
        raise TrainingError(
            f"a base of architecture {network.config.model_type}: expected a classifier with a head `{name}`, found "
            "none; choose another base for fine-tuning"
        )
    return head.float()


def head_spread(network: Any) -> float:
    """Return the standard deviation with which an architecture draws new weights; its name differs."""
    config = network.config
    return float(getattr(config, "initializer_range", None) or getattr(config, "init_std", None) or DEFAULT_SPREAD)


def draw_head(head: nn.Linear, *, spread: float, seed: int) -> None:
    """Draw a head's weights anew, normally distributed around zero, and set its bias to zero.

    The weights depend on nothing but their shape, so that every variant of a base starts from the same head.

    Args:
        head: Classification head.
        spread: Standard deviation, see `head_spread`.
        seed: Seed of the weights.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        head.weight.copy_(torch.randn(head.weight.shape, generator=generator) * spread)
        if head.bias is not None:
            head.bias.zero_()
