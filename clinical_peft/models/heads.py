"""The two halves of a sequence classifier: pooled features of a note, and the head that turns them into logits.

`transformers` computes a causal classifier's logits at every position and picks one afterwards; here the one position
is picked first. Notes are padded on the right, so a causal network needs no attention mask: no real token can attend to
a later, padded position.
"""

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


def pooled_features(network: Any, family: Family, input_ids: Tensor, lengths: Tensor, *, last_position: bool) -> Tensor:
    """Encode notes into one vector each.

    A causal network gives the state of a note's last token, an encoder its pooler's output at the first token.

    Args:
        network: Sequence classifier of `transformers`, with or without adapters injected into it.
        family: Kind of network.
        input_ids: Token ids padded on the right, int64 of shape (batch, longest).
        lengths: Real tokens of each note, int64 of shape (batch,).
        last_position: Take a causal network's state at the last position, padding included.

    Returns:
        Features of shape (batch, hidden).
    """
    mask = (torch.arange(input_ids.shape[1], device=input_ids.device) < lengths[:, None]).long()
    if family == "encoder":
        return network.base_model(input_ids=input_ids, attention_mask=mask).pooler_output
    if last_position:
        return network.base_model(input_ids=input_ids, attention_mask=mask, use_cache=False).last_hidden_state[:, -1]
    states = network.base_model(input_ids=input_ids, use_cache=False).last_hidden_state
    return states[torch.arange(len(lengths), device=states.device), lengths - 1]


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
