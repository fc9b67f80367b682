"""Classification heads: their names, their first weights, and the logits they give."""

from typing import Any

import torch
from torch import Tensor, nn

from clinical_peft.recipes import Family

HEAD_MODULES: dict[Family, str] = {"causal": "score", "encoder": "classifier"}


def float32_head(network: Any, family: Family) -> nn.Linear:
    """Make the head of a network of any type compute in float32; to be called before adapters are added."""
    return getattr(network, HEAD_MODULES[family]).float()


def draw_head(head: nn.Linear, *, spread: float, seed: int) -> None:
    """Draw a head's weights anew, normally distributed around zero, and set its bias to zero.

    The weights depend on nothing but their shape, so that every variant of a base starts from the same head.

    Args:
        head: Classification head.
        spread: Standard deviation, a network's `initializer_range`.
        seed: Seed of the weights.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        head.weight.copy_(torch.randn(head.weight.shape, generator=generator) * spread)
        if head.bias is not None:
            head.bias.zero_()


def head_logits(network: Any, family: Family, features: Tensor) -> Tensor:
    """Apply the classification head, with the dropout that an encoder puts before it.

    Args:
        network: Sequence classifier of `transformers`.
        family: Kind of network.
        features: Pooled features of shape (batch, hidden), of any floating-point type.

    Returns:
        Logits of shape (batch, classes), float32.
    """
    head: nn.Module = getattr(network, HEAD_MODULES[family])
    if family == "encoder":
        features = network.dropout(features)
    return head(features.float())
