"""States of decoders at one position of each note.

`transformers` computes a causal classifier's logits at every position and picks one afterwards; here the one position
is picked as early as possible. Notes are padded on the right, so a causal network needs no attention mask: no real
token can attend to a later, padded position.

Attention in the last layer has to see the whole note, but what follows it works on every position separately, so that
the pooled position is enough there too. In a network of two layers that saves a quarter of a training step, in one of
thirty-two a fiftieth, and the result is the same.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from transformers.models.llama.modeling_llama import LlamaDecoderLayer

from clinical_peft.models.prompts import NotePrompt


def states_at(
    body: Any,
    input_ids: Tensor,
    positions: Tensor,
    *,
    mask: Tensor | None,
    every_position: bool = False,
    prompt: NotePrompt | None = None,
) -> Tensor:
    """Encode notes into the state at one position each.

    Args:
        body: Decoder of `transformers`, with or without adapters injected into it.
        input_ids: Token ids padded on the right, int64 of shape (batch, longest).
        positions: Where to take the state, int64 of shape (batch,).
        mask: 1 at real tokens, int64 of shape (batch, longest); None where each position comes before all padding.
        every_position: Let the last layer compute all of them, also where the pooled one would do.
        prompt: Virtual tokens before every note, or None without any.

    Returns:
        States of shape (batch, hidden).
    """
    given: dict[str, Any] = {"input_ids": input_ids}
    if prompt is not None:
        given, positions = prompt.inputs(body, input_ids), positions + prompt.states
        mask = None if mask is None else prompt.mask(mask)
    with nullcontext(False) if every_position else _last_layer_at(body, positions) as only_these:
        states = body(**given, attention_mask=mask, use_cache=False).last_hidden_state
    return states[:, 0] if only_these else _take(states, positions)[:, 0]


def states_of(body: Any, input_ids: Tensor, *, prompt: NotePrompt | None = None) -> Tensor:
    """Encode notes into the states at all of their positions.

    Args:
        body: Decoder of `transformers`, with or without adapters injected into it.
        input_ids: Token ids padded on the right, int64 of shape (batch, longest).
        prompt: Virtual tokens before every note, or None without any; their own states are dropped.

    Returns:
        States of shape (batch, longest, hidden).
    """
    given = {"input_ids": input_ids} if prompt is None else prompt.inputs(body, input_ids)
    states: Tensor = body(**given, use_cache=False).last_hidden_state
    return states[:, states.shape[1] - input_ids.shape[1] :]


class _LayerAt(nn.Module):
    """A LLaMA layer that returns the states at given positions, shape (batch, 1, hidden)."""

    def __init__(self, layer: LlamaDecoderLayer, positions: Tensor) -> None:
        super().__init__()
        self.layer, self.positions = layer, positions

    def forward(self, hidden_states: Tensor, **settings: Any) -> Tensor:
        attended, _ = self.layer.self_attn(hidden_states=self.layer.input_layernorm(hidden_states), **settings)
        states = _take(hidden_states, self.positions) + _take(attended, self.positions)
        return states + self.layer.mlp(self.layer.post_attention_layernorm(states))


def _take(states: Tensor, positions: Tensor) -> Tensor:
    return states[torch.arange(len(positions), device=states.device), positions].unsqueeze(1)


@contextmanager
def _last_layer_at(body: Any, positions: Tensor) -> Iterator[bool]:
    """Let the last layer compute nothing after attention but the given positions, shape (batch,).

    Yields:
        Whether it does; layers of other architectures than LLaMA's compute every position.
    """
    layers: Any = getattr(body, "layers", (None,))
    layer = layers[-1]
    if type(layer) is not LlamaDecoderLayer:
        yield False
        return
    layers[-1] = _LayerAt(layer, positions)
    try:
        yield True
    finally:
        layers[-1] = layer
