"""Attention inside the documents of a packed sequence, and the choice between packing and grouping by length.

Packed: the documents of a forward pass lie one after the other in a single sequence, without padding. Grouped:
documents of like length are rows of a batch, padded on the right; a causal network needs no mask for that. Both
compute for every token what a forward pass over its document alone would compute.

transformers recognises a packed sequence by its positions, but silently ignores it where a cache or a mask is passed,
and hands the attention a dense mask of tokens x tokens. Here the documents are a keyword argument of the forward pass,
which every layer passes to the attention function, PEFT's layers too; without it that function raises.
"""

import inspect
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt
import torch
from peft import PeftModel
from torch import Tensor, nn
from torch.nn import functional
from transformers import AttentionInterface, PretrainedConfig, PreTrainedModel

from clinical_peft.methods import Method, find_peft_method
from clinical_peft.recipes import LanguageRecipe
from clinical_peft.training.batching import on_device

PACKED = "packed_documents"
FLASH_CAPABILITY = (8, 0)  # of a CUDA device: flash attention needs Ampere or newer
PROBE = (5, 130, 64)  # lengths of the documents on which a kernel is tested
PROBE_TOLERANCE = 0.03  # bfloat16 keeps 8 bits, and the values are averages of standard normal ones
# What layers pass to every attention function without an effect on the scores: positions are already in queries and
# keys, whose shapes show whether there is a cache.
WITHOUT_EFFECT = frozenset(
    {
        "cache_position",
        "num_items_in_batch",
        "output_hidden_states",
        "output_router_logits",
        "position_ids",
        "use_cache",
    }
)
# What configurations call the chance of dropping attention weights.
ATTENTION_DROPOUT = ("attention_dropout", "attn_pdrop", "attn_dropout", "attention_probs_dropout_prob")

Layout = Literal["grouped", "packed"]
Kernel = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor, int, int], Tensor]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Documents:
    """Where the documents of a packed sequence lie.

    Attributes:
        lengths: Tokens of each document, in order.
        borders: Where each document starts, and the end of the last, int32 of shape (documents + 1,), on the device.
    """

    lengths: tuple[int, ...]
    borders: Tensor

    @classmethod
    def of(cls, lengths: Sequence[int], device: torch.device) -> "Documents":
        """Lay documents of the given lengths one after the other."""
        borders = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
        return cls(tuple(int(length) for length in lengths), on_device(torch.from_numpy(borders), device))

    def positions(self) -> npt.NDArray[np.int64]:
        """Return each token's position in its document, shape (tokens,)."""
        return np.concatenate([np.arange(length, dtype=np.int64) for length in self.lengths])


@torch.compiler.disable
def packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    documents: Documents | None = None,
    sliding_window: int | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Causal attention within each document; an attention function of `transformers`.

    Args:
        module: Attention layer; not used.
        query: Shape (1, heads, tokens, width).
        key: Shape (1, key-value heads, tokens, width).
        value: Shape (1, key-value heads, tokens, width).
        attention_mask: Must be None.
        dropout: Chance of dropping an attention weight.
        scaling: Factor of the scores; None for 1 / sqrt(width).
        documents: Where the documents lie.
        sliding_window: Tokens that a token sees, itself included; None for all before it.
        **kwargs: Other keywords of the layers.

    Returns:
        Outputs of shape (1, tokens, heads, width), and None for the attention weights.

    Raises:
        ValueError: The documents are missing, do not fill the sequence or are longer than the window, there is a
            mask, a cache or a batch, or a layer passes what this function does not compute: attention sinks, a cap of
            the scores and the like.
    """
    unknown = sorted(name for name, value in kwargs.items() if value is not None and name not in WITHOUT_EFFECT)
    if unknown:
        raise ValueError(f"packed attention: expected no keyword {', '.join(unknown)} from the network's layers")
    if documents is None:
        raise ValueError("packed attention: expected the keyword `documents` in the forward pass, found none")
    if sliding_window is not None and sliding_window < max(documents.lengths):
        raise ValueError(f"packed attention: a window of {sliding_window} tokens is narrower than a document")
    tokens = sum(documents.lengths)
    if attention_mask is not None or query.shape[0] != 1 or not query.shape[2] == key.shape[2] == tokens:
        raise ValueError(
            f"packed attention: expected one sequence of {tokens} tokens without mask and cache, found queries of "
            f"shape {tuple(query.shape)} and keys of shape {tuple(key.shape)}; set use_cache=False and pass no "
            "attention_mask"
        )
    kernel = varlen_kernel() if query.is_cuda and dropout == 0.0 else None
    if kernel is None:
        return _by_document(query, key, value, documents, dropout, scaling), None
    return _varlen(kernel, query, key, value, documents, scaling), None


def _for_each_query(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    """Repeat keys and values for the query heads that share them; the second dimension counts heads."""
    if key.shape[1] == query.shape[1]:
        return key, value
    repeats = query.shape[1] // key.shape[1]
    return key.repeat_interleave(repeats, dim=1), value.repeat_interleave(repeats, dim=1)


def _by_document(
    query: Tensor, key: Tensor, value: Tensor, documents: Documents, dropout: float, scaling: float | None
) -> Tensor:
    """Attend within each document by `scaled_dot_product_attention`, neighbours of equal length as one batch."""
    key, value = _for_each_query(query, key, value)
    parts = []
    start = 0
    for length, equal in groupby(documents.lengths):
        count = len(tuple(equal))
        end = start + count * length
        # (1, heads, tokens, width) -> (count, heads, length, width), without a copy.
        batch = [heads[0, :, start:end].unflatten(1, (count, length)).transpose(0, 1) for heads in (query, key, value)]
        attended = functional.scaled_dot_product_attention(
            batch[0], batch[1], batch[2], dropout_p=dropout, is_causal=True, scale=scaling
        )
        parts.append(attended.transpose(1, 2).flatten(0, 1))
        start = end
    return torch.cat(parts)[None]


def _varlen(
    kernel: Kernel, query: Tensor, key: Tensor, value: Tensor, documents: Documents, scaling: float | None
) -> Tensor:
    """Attend within all documents by one kernel, which computes in bfloat16 and scales by 1 / sqrt(width)."""
    if scaling is not None and scaling != query.shape[-1] ** -0.5:
        query = query * (scaling * query.shape[-1] ** 0.5)
    # Autocast does not know the kernel, and rotated queries may be float32.
    half = value.dtype if value.dtype == torch.float16 else torch.bfloat16
    flat = [heads[0].transpose(0, 1).to(half) for heads in (query, key, value)]
    longest = max(documents.lengths)
    return kernel(flat[0], flat[1], flat[2], documents.borders, documents.borders, longest, longest)[None]


@cache
def varlen_kernel() -> Kernel | None:
    """Return PyTorch's causal attention over sequences of varying length, or None where this PyTorch has none.

    Query heads may share keys and values. They are repeated for a kernel that does not know this.
    """
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None
    parameters = inspect.signature(varlen_attn).parameters
    causal: dict[str, Any]
    if "is_causal" in parameters:
        causal = {"is_causal": True}
    elif "window_size" in parameters:
        causal = {"window_size": (-1, 0)}
    else:
        return None
    knows_groups = "enable_gqa" in parameters

    def kernel(
        query: Tensor, key: Tensor, value: Tensor, from_: Tensor, to: Tensor, longest_from: int, longest_to: int
    ) -> Tensor:
        settings = causal
        if key.shape[1] != query.shape[1] and knows_groups:
            settings = causal | {"enable_gqa": True}
        else:
            key, value = _for_each_query(query, key, value)
        return cast("Tensor", varlen_attn(query, key, value, from_, to, longest_from, longest_to, **settings))

    return kernel


@cache
def varlen_works(device: torch.device, width: int, queries: int = 1) -> bool:
    """Whether the kernel computes on a device what attention over each document alone computes, gradients too.

    Args:
        device: A CUDA device.
        width: Width of a head.
        queries: Query heads that share a head of keys and values.
    """
    kernel = varlen_kernel()
    if kernel is None or torch.cuda.get_device_capability(device) < FLASH_CAPABILITY:
        return False
    documents = Documents.of(PROBE, device)
    generator = torch.Generator(device).manual_seed(0)
    counts = (2 * queries, 2, 2, 2 * queries)  # heads of queries, keys, values and the gradient of the output
    inputs = [
        torch.randn((1, count, sum(PROBE), width), device=device, generator=generator).to(torch.bfloat16)
        for count in counts
    ]
    results = []
    try:
        for attend in (
            lambda q, k, v: _varlen(kernel, q, k, v, documents, None),
            lambda q, k, v: _by_document(q, k, v, documents, 0.0, None),
        ):
            heads = [value.clone().requires_grad_() for value in inputs[:3]]
            output = attend(heads[0], heads[1], heads[2])
            gradients = torch.autograd.grad(output, heads, inputs[3].transpose(1, 2))
            results.append((output.detach(), *gradients))
    except (RuntimeError, TypeError, ValueError) as error:
        _log.info("torch.nn.attention.varlen does not run here (%s)", type(error).__name__)
        return False
    return all(
        torch.allclose(ours.float(), plain.float(), atol=PROBE_TOLERANCE, rtol=PROBE_TOLERANCE)
        for ours, plain in zip(*results, strict=True)
    )


AttentionInterface.register(PACKED, packed_attention)


def base_network(model: nn.Module) -> PreTrainedModel:
    """Return the network of `transformers` in a model, with or without an adapter."""
    network = model.get_base_model() if isinstance(model, PeftModel) else model
    assert isinstance(network, PreTrainedModel)
    return network


def hands_on_cache(model: nn.Module) -> bool:
    """Whether a model's method hands every layer a cache of learned keys and values."""
    method = find_peft_method(model.active_peft_config.peft_type) if isinstance(model, PeftModel) else None
    return method is not None and method.hands_on_cache


def layout_now(model: nn.Module) -> Layout:
    """Return how a causal network attends at the moment."""
    return "packed" if base_network(model).config._attn_implementation == PACKED else "grouped"


def set_layout(model: nn.Module, layout: Layout) -> None:
    """Let a causal network attend within packed documents, or by the implementation that it was loaded with."""
    network: Any = base_network(model)
    if layout == layout_now(model):
        return
    if layout == "packed":
        network.loaded_attention = _implementations(network.config)
        network.config._attn_implementation = PACKED
    else:
        for config, implementation in network.loaded_attention:
            config._attn_implementation = implementation


@contextmanager
def laid_out(model: nn.Module, layout: Layout) -> Iterator[None]:
    """Set a layout for a forward pass, or for layers that a backward pass computes again."""
    before = layout_now(model)
    set_layout(model, layout)
    try:
        yield
    finally:
        set_layout(model, before)


def _implementations(config: PretrainedConfig) -> list[tuple[PretrainedConfig, Any]]:
    """List a configuration and those inside it, each after the one that holds it, with their implementations."""
    inner = (getattr(config, name, None) for name in config.sub_configs)
    found = [pair for each in inner if each is not None for pair in _implementations(each)]
    return [(config, config._attn_implementation), *found]


def layout_of(network: PreTrainedModel, recipe: LanguageRecipe, method: Method | None, device: torch.device) -> Layout:
    """Decide whether the forward passes of a run are packed.

    Args:
        network: The base.
        recipe: Says what is wanted, and the type of the activations; `auto` packs.
        method: What is trained, or None for a network from scratch.
        device: Where the network is.

    Returns:
        `grouped` for methods that cannot pack, for a base whose tokens do not see all of the context, and on a GPU
        without a kernel for packed documents, or for a base that drops attention weights there. Whether the base
        computes what it should is not looked at here; see `clinical_peft.training.decoder_checks`.
    """
    if recipe.attention == "grouped" or (method is not None and not method.can.pack):
        return "grouped"
    config = network.config.get_text_config()
    window = getattr(config, "sliding_window", None)
    if window is not None and window < recipe.context:
        _log.info(
            "attention: layers of this base see %d tokens back, fewer than the context; grouped by length", window
        )
        return "grouped"
    if device.type != "cuda":
        return "packed"
    if _attention_dropout(config):
        _log.info("attention: no kernel for packed documents drops attention weights, as this base does; grouped")
        return "grouped"
    if recipe.precision == "fp32" or not varlen_works(device, _head_width(config), _queries_per_key(config)):
        _log.info("attention: no kernel for packed %s documents on this GPU; grouped by length", recipe.precision)
        return "grouped"
    return "packed"


def _head_width(config: PretrainedConfig) -> int:
    """Return the width of an attention head; 1, which no kernel takes, for a network that has none."""
    heads = getattr(config, "num_attention_heads", None)
    return getattr(config, "head_dim", None) or (config.hidden_size // heads if heads else 1)


def _queries_per_key(config: PretrainedConfig) -> int:
    """Return how many query heads share a head of keys and values."""
    heads = getattr(config, "num_attention_heads", None) or 1
    return int(heads // (getattr(config, "num_key_value_heads", None) or heads))


def _attention_dropout(config: PretrainedConfig) -> float:
    """Return the chance with which a network drops attention weights in training, under whatever name it has."""
    return max(float(getattr(config, name, None) or 0.0) for name in ATTENTION_DROPOUT)
