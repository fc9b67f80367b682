"""Virtual tokens in front of a note, on a classifier.

PEFT puts them there in its own forward pass, which computes the logits of whole notes. Here a classifier's body is run
by itself, to pool one position of it, so the same tokens are handed to the body.
"""

from typing import Any

import torch
from peft import PeftModel
from torch import Tensor
from transformers import PreTrainedModel

from clinical_peft.recipes.variants import TASK

ENCODER = "prompt_encoder"
"""Name of the module that learns virtual tokens, in PEFT's wrapper and in the network here."""


class NotePrompt:
    """The virtual tokens of a classifier's task adapter.

    Args:
        adapted: PEFT's wrapper around the classifier.
    """

    def __init__(self, adapted: PeftModel) -> None:
        self._adapted = adapted
        self._in_cache = "PREFIX" in str(adapted.peft_config[TASK].peft_type)
        self._tokens = int(adapted.peft_config[TASK].num_virtual_tokens)

    @property
    def states(self) -> int:
        """How many of the body's states come before those of a note."""
        return 0 if self._in_cache else self._tokens

    def inputs(self, body: Any, input_ids: Tensor) -> dict[str, Any]:
        """Return what the body reads: notes behind virtual tokens, or notes and a cache of learned keys and values.

        Args:
            body: Decoder of `transformers`.
            input_ids: Token ids, int64 of shape (batch, longest).
        """
        prompt: Any = self._adapted.get_prompt(len(input_ids))
        if self._in_cache:
            return {"input_ids": input_ids, "past_key_values": prompt}
        notes = body.get_input_embeddings()(input_ids)
        return {"inputs_embeds": torch.cat([prompt.to(notes.dtype), notes], dim=1)}

    def mask(self, mask: Tensor) -> Tensor:
        """Return a mask of notes, int64 of shape (batch, longest), with ones for the virtual tokens before it."""
        return torch.cat([mask.new_ones(len(mask), self._tokens), mask], dim=1)


def add_prompt(network: PreTrainedModel, adapted: PeftModel) -> None:
    """Let a classifier's body read the virtual tokens of its task adapter, and hold what learns them.

    Args:
        network: Sequence classifier of `transformers`.
        adapted: PEFT's wrapper around it, with a task adapter of virtual tokens.
    """
    network.add_module(ENCODER, adapted.get_submodule(ENCODER))
    # An attribute that is no module: PEFT's wrapper holds the network, which would otherwise hold the wrapper.
    network.note_prompt = NotePrompt(adapted)


def prompt_of(network: Any) -> NotePrompt | None:
    """Return the virtual tokens that a classifier's body reads before a note, or None without any."""
    found: NotePrompt | None = getattr(network, "note_prompt", None)
    return found
