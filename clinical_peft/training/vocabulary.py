"""From a decoder's last states to likelihoods of tokens, without the logits of a whole batch at once.

What follows a decoder's body differs: a matrix in LLaMA; with a bias (Phi), a factor (Cohere, Granite), a cap
(Gemma 2), under other names (RWKV), or with an adapter in it. None of that is reimplemented here. Where the logits are
those of a bare matrix, as a network shows on its own states, the matrix is used; everywhere else the network itself
computes them from some states at a time, with its body bypassed.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from clinical_peft.training.attention import base_network

LOGITS_AT_ONCE = {"cpu": 2**22, "cuda": 2**26}
# Rows of a vocabulary's matrix are padded to a multiple of this.
ROUND_ROWS = {"cpu": 1, "cuda": 64}
# Factors of the states on which a network shows that its logits are linear: a cap shows on large ones alone.
MAGNITUDES = (1.0, 64.0)
LINEAR_WITHIN = {torch.float32: 1e-5}
LINEAR_WITHIN_HALF = 5e-3


def _padded(matrix: Tensor) -> Tensor:
    """Add rows of zeros on a GPU, whose kernels for matrix products are slow for sizes that are no round number."""
    missing = -len(matrix) % ROUND_ROWS[matrix.device.type]
    return functional.pad(matrix, (0, 0, 0, missing)) if missing else matrix


class _LinearCrossEntropy(torch.autograd.Function):
    """Sum of cross-entropies of `hidden @ weight.T`, computed a few rows at a time.

    The gradients are computed in the forward pass while a group's logits are at hand, so that no logits are kept. A
    row's gradient is its softmax times the weights, less the weights of the right answer; the softmax's denominator
    divides the product, which is narrower than the logits.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, grad: bool) -> Tensor:
        total = hidden.new_zeros((), dtype=torch.float32)
        need_hidden, need_weight = grad and hidden.requires_grad, grad and weight.requires_grad
        grad_hidden = torch.empty_like(hidden) if need_hidden else None
        grad_weight = torch.zeros_like(weight, dtype=torch.float32) if need_weight else None
        count = len(weight)
        matrix = _padded(weight.to(hidden.dtype))
        rows = max(1, LOGITS_AT_ONCE[hidden.device.type] // len(matrix))
        for start in range(0, len(hidden), rows):
            part, wanted = hidden[start : start + rows], targets[start : start + rows, None]
            scores = (part @ matrix.T).float()
            scores[:, count:] = -torch.inf
            right = scores.gather(1, wanted)
            largest = scores.amax(dim=1, keepdim=True)
            likely = scores.sub_(largest).exp_()
            norm = likely.sum(dim=1, keepdim=True)
            total += (norm.log() + largest - right).sum()
            if not (need_hidden or need_weight):
                continue
            # In bfloat16 too: likelihoods are at most 1, and what is divided and subtracted is float32.
            share = likely.to(hidden.dtype)
            if grad_hidden is not None:
                grad_hidden[start : start + rows] = (share @ matrix).float().div_(norm).sub_(matrix[wanted[:, 0]])
            if grad_weight is not None:
                grad_weight += (share.T @ (part / norm).to(hidden.dtype))[:count]
                grad_weight.index_add_(0, wanted[:, 0], part.float(), alpha=-1)
        ctx.save_for_backward(*(grad for grad in (grad_hidden, grad_weight) if grad is not None))
        ctx.needed = (need_hidden, need_weight)
        ctx.weight_dtype = weight.dtype
        return total

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        saved = list(ctx.saved_tensors)
        grad_hidden = saved.pop(0) * upstream[0] if ctx.needed[0] else None
        grad_weight = (saved.pop(0) * upstream[0]).to(ctx.weight_dtype) if ctx.needed[1] else None
        return grad_hidden, grad_weight, None, None


def linear_cross_entropy(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    """Sum the cross-entropies of a linear layer's outputs.

    Logits are computed in the type of autocast where that is on, else in that of `hidden`, and summed in float32. No
    more than `LOGITS_AT_ONCE` of them exist at any time.

    Args:
        hidden: Inputs of the layer, shape (tokens, width).
        weight: Its matrix, shape (vocabulary, width); it has no bias.
        targets: Right answers, shape (tokens,), int64.

    Returns:
        The sum in nats, a float32 scalar with gradients to `hidden` and `weight`.
    """
    device = hidden.device.type
    if torch.is_autocast_enabled(device):
        hidden = hidden.to(torch.get_autocast_dtype(device))
    with torch.autocast(device, enabled=False):
        total: Tensor = _LinearCrossEntropy.apply(hidden, weight, targets, torch.is_grad_enabled())
    return total


class Tail:
    """What a network does with the states of its body: states of shape (tokens, width) to logits (tokens, vocabulary).

    Args:
        network: A causal language model, its adapters injected.
        body: The part of it that turns tokens into states.
        output: What the body returned in a forward pass.
    """

    def __init__(self, network: PreTrainedModel, body: nn.Module, output: Any) -> None:
        self.network = network
        self.body = body
        self.output = output

    def __call__(self, states: Tensor) -> Tensor:
        """Compute the network's own logits, in its own type."""
        ids = torch.zeros((1, len(states)), dtype=torch.int64, device=states.device)
        with _forward_of(self.body, lambda *args, **kwargs: _with_states(self.output, states[None])):
            logits: Tensor = self.network(input_ids=ids, use_cache=False).logits
        return logits[0]

    def bare_matrix(self) -> Tensor | None:
        """Return the vocabulary layer's matrix, shape (vocabulary, width), if it has no bias and no adapter."""
        head = self.network.get_output_embeddings()
        return head.weight if type(head) is nn.Linear and head.bias is None else None

    @torch.no_grad()
    def is_linear(self, states: Tensor) -> bool:
        """Whether the logits are the products with the bare matrix and nothing else.

        Args:
            states: Some states of the body, shape (tokens, width).
        """
        matrix = self.bare_matrix()
        if matrix is None or states.shape[-1] != matrix.shape[1]:
            return False
        tried = torch.cat([states * factor for factor in MAGNITUDES])
        products = functional.linear(tried, matrix)
        own = self(tried)
        if own.shape != products.shape:
            return False
        within = LINEAR_WITHIN.get(products.dtype, LINEAR_WITHIN_HALF)
        error = torch.linalg.vector_norm(own.float() - products.float(), dim=1)
        return bool((error <= within * products.float().norm(dim=1)).all())


def bodies(network: PreTrainedModel) -> list[nn.Module]:
    """Return the parts of a causal language model that may turn tokens into states, the outer before the inner.

    Most networks call the outermost; OPT calls the decoder inside it.
    """
    outer = network.base_model
    if outer is network:
        outer = getattr(network, "model", network)
    decoder = outer.get_decoder() if hasattr(outer, "get_decoder") else outer
    return [body for body in dict.fromkeys((outer, decoder)) if body is not network]


def last_hidden(model: nn.Module, ids: Tensor, **arguments: Any) -> tuple[Tensor, Tail]:
    """Run a causal network up to the states of its body.

    Args:
        model: A causal language model, with or without an adapter.
        ids: Token ids, shape (rows, length), padded on the right.
        **arguments: Other arguments of the forward pass.

    Returns:
        The body's states at the positions of `ids`, shape (rows, length, width), and what the network does with them.

    Raises:
        ValueError: No part of the network turns tokens into states.
    """
    network = base_network(model)
    called: list[nn.Module] = []
    found: list[Any] = []

    def note(module: nn.Module, args: Any) -> None:
        called.append(module)

    def keep(module: nn.Module, args: Any, output: Any) -> Any:
        if module is not called[0]:
            return output
        found.append(output)
        # What comes after the body runs, too: for one position a row.
        return _with_states(output, output.last_hidden_state[:, :1])

    with ExitStack() as stack:
        for body in bodies(network):
            stack.callback(body.register_forward_pre_hook(note).remove)
            stack.callback(body.register_forward_hook(keep).remove)
        # With a cache, transformers takes a packed sequence for one document.
        model(input_ids=ids, use_cache=False, **arguments)
    if not found:
        raise ValueError(f"{type(network).__name__}: expected a body below the language model, found none")
    # Prompt methods put their virtual tokens in front.
    return found[0].last_hidden_state[:, -ids.shape[1] :], Tail(network, called[0], found[0])


def tail_cross_entropy(tail: Tail, hidden: Tensor, targets: Tensor, columns: int | None) -> Tensor:
    """Sum the cross-entropies of the network's own logits, computed for some states at a time and again backwards.

    Args:
        tail: From `last_hidden`.
        hidden: Some of its states, shape (tokens, width).
        targets: Right answers, shape (tokens,), int64.
        columns: Logits that take part, the first; None for all.

    Returns:
        The sum in nats, a float32 scalar with gradients to `hidden` and to what the tail trains.
    """

    def part(states: Tensor, wanted: Tensor) -> Tensor:
        return functional.cross_entropy(tail(states)[:, :columns].float(), wanted, reduction="sum")

    total = hidden.float().sum() * 0
    rows = max(1, LOGITS_AT_ONCE[hidden.device.type] // tail.network.config.get_text_config().vocab_size)
    for states, wanted in zip(hidden.split(rows), targets.split(rows), strict=True):
        if len(states):
            total = total + (
                checkpoint(part, states, wanted, use_reentrant=False)
                if torch.is_grad_enabled()
                else part(states, wanted)
            )
    return total


def _with_states(output: Any, states: Tensor) -> Any:
    return type(output)(**(dict(output) | {"last_hidden_state": states}))


@contextmanager
def _forward_of(module: nn.Module, forward: Callable[..., Any]) -> Iterator[None]:
    """Replace what a module computes."""
    kept = module.__dict__.get("forward")
    module.__dict__["forward"] = forward
    try:
        yield
    finally:
        del module.__dict__["forward"]
        if kept is not None:
            module.__dict__["forward"] = kept
