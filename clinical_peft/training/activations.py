"""Which activations a forward pass keeps for the backward pass, and which are recomputed.

Keeping all is fastest; recomputing a decoder layer costs its forward pass once more and keeps its input alone. As many
layers are recomputed as memory demands, and no more.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers.modeling_layers import GradientCheckpointingLayer

from clinical_peft.errors import TrainingError
from clinical_peft.recipes import Checkpointing
from clinical_peft.training.attention import base_network, laid_out, layout_now

PROBE_TOKENS = (64, 192)
USABLE = 0.85  # of free memory: the allocator leaves gaps, and a backward pass holds temporaries
Forward = Callable[[int], Tensor]


def decoder_layers(model: nn.Module) -> list[GradientCheckpointingLayer]:
    """Return the blocks of a network, first to last."""
    return [module for module in base_network(model).modules() if isinstance(module, GradientCheckpointingLayer)]


@contextmanager
def recomputed(model: nn.Module, count: int) -> Iterator[None]:
    """Let `count` layers, evenly spread, recompute their activations in backward passes of training.

    Args:
        model: Network, with or without an adapter.
        count: How many layers; 0 keeps every activation.
    """
    layers = decoder_layers(model)
    chosen = [
        layer for index, layer in enumerate(layers) if (index + 1) * count // len(layers) > index * count // len(layers)
    ]

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        """Let a layer attend in the backward pass, when the network's layout may be another, as it does now."""
        return nullcontext(), laid_out(model, layout_now(model))

    for layer in chosen:
        # Reentrant checkpoints give no gradients where a layer's input needs none, as that of the first.
        layer._gradient_checkpointing_func = partial(checkpoint, use_reentrant=False, context_fn=contexts)
        layer.gradient_checkpointing = True
    try:
        yield
    finally:
        for layer in chosen:
            layer.gradient_checkpointing = False


def layers_to_recompute(
    wanted: Checkpointing, model: nn.Module, forward: Forward, *, tokens: int, free: int | None, has_cache: bool
) -> int:
    """Decide how many layers recompute their activations.

    Args:
        wanted: What the recipe says.
        model: Network in training mode.
        forward: Runs a training forward pass over so many tokens and returns its loss.
        tokens: Tokens of the largest forward pass to come.
        free: Bytes that activations may take up; None for no limit.
        has_cache: Whether the method hands the layers a cache, as prefix tuning does.

    Raises:
        TrainingError: Layers that need a cache are to be recomputed, for which transformers drops it.
    """
    layers = len(decoder_layers(model))
    if has_cache:
        if wanted not in ("auto", "none"):
            raise TrainingError(
                f"checkpointing is {wanted}, but prefix tuning passes every layer a cache, which a recomputed "
                "layer does not see; set checkpointing to none and lower micro_batch_tokens if memory is short"
            )
        return 0
    if wanted == "full" or not layers:
        return layers
    if wanted == "none" or (wanted == "auto" and free is None):
        return 0
    if isinstance(wanted, int):
        return math.ceil(layers / wanted)
    assert free is not None
    kept = kept_bytes(model, forward, tokens)
    with recomputed(model, layers):
        least = kept_bytes(model, forward, tokens)
    return count_for_memory(layers, kept=kept, least=least, free=int(USABLE * free))


def count_for_memory(layers: int, *, kept: int, least: int, free: int) -> int:
    """Return the smallest number of layers to recompute that fits.

    Args:
        layers: Layers of the network.
        kept: Bytes of activations when none is recomputed.
        least: Bytes of activations when all are.
        free: Bytes there are. A layer being recomputed needs its own activations for a while, too.
    """
    layer = max(0, kept - least) / layers
    for count in range(layers):
        if kept - count * layer + (layer if count else 0) <= free:
            return count
    return layers


def kept_bytes(model: nn.Module, forward: Forward, tokens: int) -> int:
    """Estimate the bytes that a forward pass keeps for its backward pass, parameters not counted.

    Two small passes are measured; what they keep grows in proportion to their tokens.

    Args:
        model: Network in training mode; its generators are left as they were.
        forward: Runs a training forward pass over so many tokens and returns its loss.
        tokens: Tokens of the pass to estimate.
    """
    few, more = (_measure_kept(model, forward, number) for number in PROBE_TOKENS)
    return int(few + (more - few) / (PROBE_TOKENS[1] - PROBE_TOKENS[0]) * (tokens - PROBE_TOKENS[0]))


def _measure_kept(model: nn.Module, forward: Forward, tokens: int) -> int:
    parameters = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    sizes: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.random.fork_rng(), torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        loss = forward(tokens)
    del loss
    return sum(sizes.values())


def free_bytes(device: torch.device) -> int | None:
    """Return how many bytes a GPU has left for this process; None on a CPU."""
    if device.type != "cuda":
        return None
    free, _ = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
