"""Language-model losses over real tokens only, without holding the logits of a whole batch."""

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import BertForMaskedLM

from clinical_peft.training.attention import Documents, base_network, set_layout
from clinical_peft.training.batching import pad_right

LOGITS_AT_ONCE = {"cpu": 2**22, "cuda": 2**26}
MASKED_SHARE = 0.3

Sequences = list[npt.NDArray[np.integer]]


class LanguageLoss(Protocol):
    """Computes the loss of one forward pass.

    Attributes:
        packed: Whether documents of a pass lie one after the other rather than as rows of a batch.
    """

    packed: bool

    def __call__(self, model: nn.Module, sequences: Sequences, *, key: tuple[int, ...]) -> tuple[Tensor, int]:
        """Return the summed negative log-likelihood (nats, float32 scalar) and the number of tokens predicted.

        Args:
            model: The network.
            sequences: Token ids, each of shape (length,).
            key: Numbers that tell this forward pass from every other, from which random choices derive.
        """


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
        matrix = weight.to(hidden.dtype)
        rows = max(1, LOGITS_AT_ONCE[hidden.device.type] // len(weight))
        for start in range(0, len(hidden), rows):
            part, wanted = hidden[start : start + rows], targets[start : start + rows, None]
            scores = (part @ matrix.T).float()
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
                grad_weight += share.T @ (part / norm).to(hidden.dtype)
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


def last_hidden(model: nn.Module, ids: Tensor, **arguments: Any) -> tuple[Tensor, Tensor]:
    """Run a causal network up to its vocabulary layer.

    Args:
        model: A causal language model, with or without an adapter.
        ids: Token ids, shape (rows, length), padded on the right.
        **arguments: Further arguments of the forward pass.

    Returns:
        The vocabulary layer's inputs at the positions of `ids`, shape (rows, length, width), and its matrix.
    """
    network: Any = base_network(model)
    head: nn.Linear = network.lm_head
    network.lm_head = nn.Identity()
    try:
        # With a cache, transformers takes a packed sequence for one document.
        hidden = model(input_ids=ids, use_cache=False, **arguments).logits
    finally:
        network.lm_head = head
    # Prompt methods put their virtual tokens in front.
    return hidden[:, -ids.shape[1] :], head.weight


class CausalLoss:
    """Next-token prediction; the first token of a document is not predicted, padding neither.

    Args:
        pad: Id of the padding token.
        device: Where the network is.
        packed: Lay the documents of a pass one after the other instead of padding them; see
            `clinical_peft.training.attention`.
    """

    def __init__(self, pad: int, device: torch.device, *, packed: bool = False) -> None:
        self.pad = pad
        self.device = device
        self.packed = packed

    def __call__(self, model: nn.Module, sequences: Sequences, *, key: tuple[int, ...]) -> tuple[Tensor, int]:
        """Return the summed negative log-likelihood and the number of tokens predicted; draws nothing at random."""
        set_layout(model, "packed" if self.packed else "grouped")
        if self.packed:
            documents = Documents.of([len(sequence) for sequence in sequences], self.device)
            ids = torch.from_numpy(np.concatenate(sequences).astype(np.int64))[None]
            positions = torch.from_numpy(documents.positions())
            arguments = {"position_ids": positions[None].to(self.device), "documents": documents}
            first = positions == 0
        else:
            ids = pad_right(sequences, self.pad)
            arguments = {}
            first = torch.zeros(ids.shape[1], dtype=torch.bool).index_fill_(0, torch.tensor(0), True)
        flat = ids.flatten()
        # Chosen on the CPU: on a GPU, choosing by a mask would wait for the device.
        predicted = ((ids != self.pad) & ~first).flatten().nonzero()[:, 0]
        hidden, weight = last_hidden(model, ids.to(self.device), **arguments)
        before = hidden.flatten(0, 1)[(predicted - 1).to(self.device)]
        return linear_cross_entropy(before, weight, flat[predicted].to(self.device)), len(predicted)


class MaskedLoss:
    """Masked-language modelling with masks drawn anew for every forward pass (Devlin et al. 2019; Liu et al. 2019).

    Of the tokens 30 % are predicted rather than the usual 15 %, so that a short training learns more from the same text
    (Wettig et al. 2023, "Should you mask 15% in masked language modeling?"); of these 80 % are hidden behind [MASK],
    10 % replaced by a random token and 10 % left as they are.

    Args:
        pad: Id of the padding token.
        mask: Id of the [MASK] token.
        special: Ids that are never predicted.
        vocabulary: Number of tokens.
        device: Where the network is.
    """

    packed = False

    def __init__(self, *, pad: int, mask: int, special: list[int], vocabulary: int, device: torch.device) -> None:
        self.pad = pad
        self.mask = mask
        self.special = torch.tensor(sorted(special))
        self.vocabulary = vocabulary
        self.device = device

    def __call__(self, model: nn.Module, sequences: Sequences, *, key: tuple[int, ...]) -> tuple[Tensor, int]:
        """Return the summed negative log-likelihood of the masked tokens and their number."""
        assert isinstance(model, BertForMaskedLM)
        ids = pad_right(sequences, self.pad)
        generator = torch.Generator().manual_seed(int(np.random.default_rng(list(key)).integers(2**62)))
        chance, kind = torch.rand(2, *ids.shape, generator=generator)
        random_ids = torch.randint(self.vocabulary, ids.shape, generator=generator)
        chosen = (chance < MASKED_SHARE) & ~torch.isin(ids, self.special)
        corrupted = torch.where(chosen & (kind < 0.8), self.mask, ids)
        corrupted = torch.where(chosen & (kind >= 0.8) & (kind < 0.9), random_ids, corrupted).to(self.device)
        real = (ids != self.pad).to(self.device)
        hidden = model.bert(input_ids=corrupted, attention_mask=real.long()).last_hidden_state
        chosen = chosen.to(self.device)
        logits = model.cls(hidden[chosen]).float()
        loss = functional.cross_entropy(logits, ids.to(self.device)[chosen], reduction="sum")
        return loss, int(chosen.sum())
