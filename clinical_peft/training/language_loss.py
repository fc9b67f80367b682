"""Language-model losses over real tokens only, without holding the logits of a whole batch."""

from dataclasses import dataclass
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import BertForMaskedLM

from clinical_peft.training.attention import Documents, laid_out
from clinical_peft.training.batching import on_device, pad_right
from clinical_peft.training.vocabulary import Tail, last_hidden, linear_cross_entropy, tail_cross_entropy

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
            key: Numbers that identify this forward pass, from which random choices derive.
        """


@dataclass(frozen=True)
class Pass:
    """A forward pass up to the states of the body.

    Attributes:
        states: Shape (rows, length, width), on the device.
        tail: What the network does with states.
    """

    states: Tensor
    tail: Tail


@dataclass(frozen=True)
class _Laid:
    """Documents as a forward pass reads them.

    Attributes:
        ids: Token ids on the CPU, shape (rows, length).
        first: Whether a document begins at a position, shape (length,).
        arguments: Further arguments of the forward pass.
    """

    ids: Tensor
    first: Tensor
    arguments: dict[str, Any]


class CausalLoss:
    """Next-token prediction; the first token of a document is not predicted, padding neither.

    It may be used for several networks of one base in turn.

    Args:
        pad: Id of the padding token.
        device: Where the network is.
        packed: Lay the documents of a pass one after the other instead of padding them; see
            `clinical_peft.training.attention`.
        columns: Tokens that share the probability, the first; None for every row of the vocabulary layer. A row that
            was added for padding is not part of the base.
    """

    def __init__(self, pad: int, device: torch.device, *, packed: bool = False, columns: int | None = None) -> None:
        self.pad = pad
        self.device = device
        self.packed = packed
        self.columns = columns
        self._linear: WeakKeyDictionary[nn.Module, bool] = WeakKeyDictionary()

    def __call__(self, model: nn.Module, sequences: Sequences, *, key: tuple[int, ...]) -> tuple[Tensor, int]:
        """Return the summed negative log-likelihood and the number of tokens predicted; draws nothing at random."""
        laid = self._laid_out(sequences)
        flat = laid.ids.flatten()
        # Chosen on the CPU: on a GPU, choosing by a mask would wait for the device. So would a copy after the pass.
        predicted = ((laid.ids != self.pad) & ~laid.first).flatten().nonzero()[:, 0]
        places, targets = on_device(predicted - 1, self.device), on_device(flat[predicted], self.device)
        found = self._run(model, laid)
        states = found.states.flatten(0, 1)
        before = states[places]
        matrix = found.tail.bare_matrix()
        if matrix is None or not self._is_linear(found.tail, states):
            return tail_cross_entropy(found.tail, before, targets, self.columns), len(predicted)
        kept = matrix if self.columns in (None, len(matrix)) else matrix[: self.columns]
        return linear_cross_entropy(before, kept, targets), len(predicted)

    def forward(self, model: nn.Module, sequences: Sequences) -> Pass:
        """Run the network up to the states of its body.

        Args:
            model: The network.
            sequences: Token ids, each of shape (length,).
        """
        return self._run(model, self._laid_out(sequences))

    def _laid_out(self, sequences: Sequences) -> _Laid:
        if not self.packed:
            ids = pad_right(sequences, self.pad)
            return _Laid(ids, torch.zeros(ids.shape[1], dtype=torch.bool).index_fill_(0, torch.tensor(0), True), {})
        documents = Documents.of([len(sequence) for sequence in sequences], self.device)
        ids = torch.from_numpy(np.concatenate(sequences).astype(np.int64))[None]
        positions = torch.from_numpy(documents.positions())
        arguments = {"position_ids": on_device(positions[None], self.device), "documents": documents}
        return _Laid(ids, positions == 0, arguments)

    def _run(self, model: nn.Module, laid: _Laid) -> Pass:
        with laid_out(model, "packed" if self.packed else "grouped"):
            states, tail = last_hidden(model, on_device(laid.ids, self.device), **laid.arguments)
        return Pass(states, tail)

    def describe(self, model: nn.Module) -> str:
        """Describe how the likelihoods of a network are computed."""
        linear = any(self._linear.get(module, False) for module in model.modules())
        return f"{'packed' if self.packed else 'grouped'}, {'bare matrix' if linear else 'logits of the network'}"

    def _is_linear(self, tail: Tail, states: Tensor) -> bool:
        if tail.network not in self._linear:
            self._linear[tail.network] = tail.is_linear(states[:2].detach())
        return self._linear[tail.network]


class MaskedLoss:
    """Masked-language modelling with new masks in every forward pass (Devlin et al. 2019; Liu et al. 2019).

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
