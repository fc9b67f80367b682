"""Where a classifier of each family has its features and its head.

Reading features that were pooled before needs a head and no network, so nothing here imports `transformers` unless a
note is encoded.
"""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from clinical_peft.errors import ConfigError
from clinical_peft.recipes import PoolBy
from clinical_peft.recipes.families import Family


class Pooling(ABC):
    """Features and head of a family's classifiers in `transformers`.

    Attributes:
        head: Name of the head in the network.
        pooler: Prefix of the weights between body and head that a base may lack, or None.
        is_of_token: Whether a note's features are the state of one token, so that the rest of the last layer may be
            left out, and the switch `pool_last_position` has a meaning.
    """

    head: ClassVar[str]
    pooler: ClassVar[str | None] = None
    is_of_token: ClassVar[bool] = False

    @property
    def new_weights(self) -> tuple[str, ...]:
        """Prefixes of the weights of a classifier that a base may lack."""
        return (f"{self.head}.", self.pooler) if self.pooler else (f"{self.head}.",)

    @abstractmethod
    def features(
        self, network: Any, input_ids: Tensor, lengths: Tensor, *, last_position: bool, every_position: bool = False
    ) -> Tensor:
        """Encode notes into one vector each.

        Args:
            network: Sequence classifier of `transformers`, with or without adapters injected into it.
            input_ids: Token ids padded on the right, int64 of shape (batch, longest).
            lengths: Real tokens of each note, int64 of shape (batch,).
            last_position: Take the state at the last position, padding included, where `is_of_token`.
            every_position: Let the last layer compute all positions, also where the pooled one would do.

        Returns:
            Features of shape (batch, hidden).
        """

    def logits(self, network: Any, features: Tensor) -> Tensor:
        """Apply the head, with the dropout that belongs before it.

        Args:
            network: Sequence classifier of `transformers`.
            features: Pooled features of shape (batch, hidden), of any floating-point type.

        Returns:
            Logits of shape (batch, classes), float32.
        """
        head: nn.Module = getattr(network, self.head)
        return head(features.float())


class LastToken(Pooling):
    """LLaMA-like classifiers: the state of a note's last token, under the head `score`."""

    head = "score"
    is_of_token = True

    def features(
        self, network: Any, input_ids: Tensor, lengths: Tensor, *, last_position: bool, every_position: bool = False
    ) -> Tensor:
        """Encode notes into the states of their last tokens."""
        from clinical_peft.models.encoding import states_at
        from clinical_peft.models.prompts import prompt_of

        last = torch.full_like(lengths, input_ids.shape[1] - 1) if last_position else lengths - 1
        mask = real_tokens(input_ids, lengths) if last_position else None
        prompt = prompt_of(network)
        return states_at(network.base_model, input_ids, last, mask=mask, every_position=every_position, prompt=prompt)


class MeanOfTokens(Pooling):
    """LLaMA-like classifiers: the mean of the states of a note's tokens, under the head `score`."""

    head = "score"

    def features(
        self, network: Any, input_ids: Tensor, lengths: Tensor, *, last_position: bool, every_position: bool = False
    ) -> Tensor:
        """Encode notes into the means of their tokens' states."""
        from clinical_peft.models.encoding import states_of
        from clinical_peft.models.prompts import prompt_of

        states = states_of(network.base_model, input_ids, prompt=prompt_of(network)).float()
        real = real_tokens(input_ids, lengths)[..., None]
        return (states * real).sum(1) / lengths[:, None]


class PooledStart(Pooling):
    """BERT-like classifiers: what the pooler makes of a note's first token, under dropout and the head `classifier`."""

    head = "classifier"
    pooler = "bert.pooler."

    def features(
        self, network: Any, input_ids: Tensor, lengths: Tensor, *, last_position: bool, every_position: bool = False
    ) -> Tensor:
        """Encode notes by the pooler, which reads the whole last layer."""
        output = network.base_model(input_ids=input_ids, attention_mask=real_tokens(input_ids, lengths))
        features: Tensor = output.pooler_output
        return features

    def logits(self, network: Any, features: Tensor) -> Tensor:
        """Apply dropout and the head."""
        return super().logits(network, network.dropout(features))


POOLINGS: dict[Family, Pooling] = {"causal": LastToken(), "encoder": PooledStart()}
MEANS: dict[Family, Pooling] = {"causal": MeanOfTokens()}
"""Poolings by the mean, of families that have one; the others pool as they always do."""


def find_pooling(family: Family, by: PoolBy = "last") -> Pooling:
    """Return the pooling of a family.

    Args:
        family: The family.
        by: What a decoder's head reads of a note.

    Raises:
        ConfigError: There is no such family.
    """
    if family not in POOLINGS:
        raise ConfigError(f"family: expected one of {', '.join(POOLINGS)}, found {family}")
    return MEANS.get(family, POOLINGS[family]) if by == "mean" else POOLINGS[family]


def real_tokens(input_ids: Tensor, lengths: Tensor) -> Tensor:
    """Return 1 at the tokens of notes and 0 at their padding, int64 of the shape of `input_ids`."""
    return (torch.arange(input_ids.shape[1], device=input_ids.device) < lengths[:, None]).long()
