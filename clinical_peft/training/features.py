"""Admission notes as tokens, and as the pooled features that a classification head reads.

Where nothing but the head is trained, a note's features never change: they are computed once and kept, and an epoch
costs a matrix product instead of passes through the network.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from clinical_peft.recipes import FinetuneRecipe, PoolJob
from clinical_peft.training.batching import Rows, micro_batches, pad_right
from clinical_peft.training.guards import MicroBatch
from clinical_peft.training.optimisation import autocast

if TYPE_CHECKING:  # a head that is trained on kept features needs no network, and so none of the libraries behind it
    from clinical_peft.models.classifiers import Classifier

# A forward pass without gradients keeps no activations, so it may hold more notes than a training pass.
INFERENCE_FACTOR = 4
KEPT_AT_ONCE = 8192
ENCODED_AT_ONCE = 1024  # notes


class Features(Protocol):
    """Where the pooled features of a cohort's notes come from."""

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Tokens of each note, shape (notes,)."""

    @property
    def forward(self) -> MicroBatch:
        """Size of a forward pass without gradients."""

    def __call__(self, rows: Rows) -> Tensor:
        """Features of some notes, shape (rows, hidden), on the device."""

    def groups(self, rows: Rows, size: int) -> list[Rows]:
        """Divide notes into forward passes of a given size."""

    def smallest(self, rows: Rows) -> int:
        """Return the size below which there is nothing left to divide."""


def read_forward(features: Features, rows: Rows, read: Callable[[Tensor], Tensor]) -> Tensor:
    """Pass notes through a network without gradients, fewer at a time where memory runs out.

    Args:
        features: Source of their features.
        rows: Notes, int64 of shape (M,).
        read: Called with the features of a forward pass, of shape (notes, width).

    Returns:
        Results of `read` for all notes, shape (M, width), in the order of `rows`.

    Raises:
        TrainingError: There is no memory for a single note.
    """
    place = {row: position for position, row in enumerate(rows.tolist())}

    def attempt(size: int) -> Tensor:
        found: Tensor | None = None
        for group in features.groups(rows, size):
            part = read(features(group))
            if found is None:
                found = part.new_empty(len(rows), part.shape[1])
            found[torch.tensor([place[row] for row in group.tolist()], device=part.device)] = part
        assert found is not None
        return found

    with torch.no_grad():
        return features.forward.attempt(attempt, smallest=lambda: features.smallest(rows), undo=lambda: None)


@dataclass(frozen=True)
class TokenisedNotes:
    """Notes as token ids, in one array.

    Attributes:
        ids: Token ids of all notes, int32 of shape (tokens,).
        starts: Where each note starts, and the end of the last, int64 of shape (notes + 1,).
        pad: Id that fills up a batch.
    """

    ids: npt.NDArray[np.int32]
    starts: npt.NDArray[np.int64]
    pad: int

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Tokens of each note, shape (notes,)."""
        return np.diff(self.starts)

    def batch(self, rows: Rows, *, width: int | None = None) -> tuple[Tensor, Tensor]:
        """Stack notes, padded on the right.

        Args:
            rows: Notes to stack.
            width: Length to pad to, or None for the longest note of the batch.

        Returns:
            Token ids, int64 of shape (rows, width), and real lengths, int64 of shape (rows,).
        """
        ids = pad_right([self.ids[self.starts[row] : self.starts[row + 1]] for row in rows], self.pad)
        if width is not None:
            ids = functional.pad(ids, (0, width - ids.shape[1]), value=self.pad)
        return ids, torch.from_numpy(self.lengths[rows])


def tokenise(texts: Sequence[str], tokenizer: Any, context: int, *, pad_with_end: bool = False) -> TokenisedNotes:
    """Tokenise notes, framed as in token shards, keeping at most `context` tokens of each.

    A note for a causal network ends with the end-of-text token, also when it is cut off: the pooled state then
    belongs to the same token in every note, not to whatever piece of a word comes last. A note that happens to spell a
    special token, such as `</s>`, is not read as one, neither here nor in token shards.

    Args:
        texts: Notes.
        tokenizer: Fast tokenizer of `transformers` with a padding token.
        context: Most tokens of a note, special ones included.
        pad_with_end: As the original: the tokenizer's own template alone frames a note, and the end-of-text token,
            where the tokenizer has one, pads it.
    """
    end = tokenizer.eos_token_id
    encode = _by_template if pad_with_end else _framed
    lengths: list[int] = []
    ids = [np.zeros(0, np.int32)]
    # What an encoder returns takes many times the memory of the ids.
    for first in range(0, len(texts), ENCODED_AT_ONCE):
        notes = encode(texts[first : first + ENCODED_AT_ONCE], tokenizer, context)
        lengths += [len(note) for note in notes]
        ids.append(np.concatenate([np.asarray(note, dtype=np.int32) for note in notes]))
    return TokenisedNotes(
        ids=np.concatenate(ids),
        starts=np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]),
        pad=end if pad_with_end and end is not None else tokenizer.pad_token_id,
    )


def _framed(texts: Sequence[str], tokenizer: Any, context: int) -> list[list[int]]:
    # Heads on pooled features import this module and need no tokenizer.
    from clinical_peft.tokens.encoding import reference_encoder
    from clinical_peft.tokens.tokenizer import frame_ids, room_for_text

    start, end = frame_ids(tokenizer)
    room = room_for_text(tokenizer, context)
    ids, offsets = reference_encoder(tokenizer)(texts)
    spans = pairwise(offsets.tolist())
    return [[*start, *ids[first : min(last, first + room)].tolist(), *end] for first, last in spans]


def _by_template(texts: Sequence[str], tokenizer: Any, context: int) -> list[list[int]]:
    return tokenizer(
        list(texts),
        truncation=True,
        max_length=context,
        return_attention_mask=False,
        return_token_type_ids=False,
        split_special_tokens=True,
    )["input_ids"]


class KeptFeatures:
    """Pooled features that were computed before.

    Args:
        features: Features of every note, shape (notes, hidden), on the device.
        lengths: Tokens of each note, shape (notes,).
    """

    def __init__(self, features: Tensor, lengths: npt.NDArray[np.int64]) -> None:
        self.features = features
        self.lengths = lengths
        self.forward = MicroBatch(KEPT_AT_ONCE, unit="notes", title="kept features")

    def __call__(self, rows: Rows) -> Tensor:
        """Features of some notes, shape (rows, hidden)."""
        return self.features[torch.from_numpy(rows).to(self.features.device)]

    def groups(self, rows: Rows, size: int) -> list[Rows]:
        """Divide notes into parts of at most `size`."""
        return [rows[start : start + size] for start in range(0, len(rows), size)]

    def smallest(self, rows: Rows) -> int:
        """Return one note."""
        return 1


class NoteFeatures:
    """Pooled features of notes, computed on request.

    Args:
        classifier: Network that computes them.
        notes: The cohort's notes.
        recipe: Precision and batch sizes.
        device: Device of the network.
        title: Name of the run in the log.
        last_position: Pool the last position of notes that are all padded to the recipe's context.
    """

    def __init__(
        self,
        classifier: Classifier,
        notes: TokenisedNotes,
        recipe: FinetuneRecipe | PoolJob,
        device: torch.device,
        *,
        title: str,
        last_position: bool = False,
    ) -> None:
        self.classifier = classifier
        self.notes = notes
        self.recipe = recipe
        self.device = device
        self.last_position = last_position
        tokens = INFERENCE_FACTOR * recipe.micro_batch_size * recipe.context
        self.forward = MicroBatch(tokens, unit="tokens", title=f"{title}, forward alone")

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Tokens of each note, shape (notes,)."""
        return self.notes.lengths

    def __call__(self, rows: Rows) -> Tensor:
        """Features of some notes.

        Args:
            rows: Notes, int64 of shape (batch,).

        Returns:
            Features of shape (batch, hidden), on the device; with gradients unless in a no-grad context.
        """
        ids, lengths = self.notes.batch(rows, width=self.recipe.context if self.last_position else None)
        with autocast(self.recipe, self.device):
            return self.classifier.features(
                ids.to(self.device), lengths.to(self.device), last_position=self.last_position
            )

    def groups(self, rows: Rows, size: int) -> list[Rows]:
        """Divide notes into forward passes of a limited number of tokens, notes of similar length together."""
        return micro_batches(rows, self.notes.lengths, size)

    def smallest(self, rows: Rows) -> int:
        """Return the tokens of the smallest forward passes, of one note each."""
        lengths = self.notes.lengths[rows]
        return int(lengths.min() if self.last_position else lengths.max())

    def all(self) -> Tensor:
        """Compute the features of every note, without gradients and with dropout as it is set.

        Returns:
            Features of shape (notes, hidden), of the network's type, on the device.
        """
        return read_forward(self, np.arange(len(self.lengths)), lambda features: features)
