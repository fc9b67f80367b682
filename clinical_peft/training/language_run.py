"""What a language-model training run is made of, and how far it is."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from clinical_peft.recipes import LanguageRecipe
from clinical_peft.runtime.events import RunLog
from clinical_peft.training.batching import Rows, passes
from clinical_peft.training.distributed import ALONE, Workers
from clinical_peft.training.general_text import TokenRows
from clinical_peft.training.language_loss import LanguageLoss, Sequences
from clinical_peft.training.throughput import Metered


def _nothing(_: int) -> None:
    """Do nothing after an update."""


@dataclass(frozen=True, kw_only=True)
class LanguageRun:
    """What a training run is made of.

    Attributes:
        title: How the run calls itself in progress lines.
        recipe: Optimisation and budget.
        seed: Seed of the order of rows and of masks.
        shards: Rows to train and validate on.
        loss: The objective.
        device: Where the network is.
        work: Folder for checkpoints.
        identity: Digest of everything that decides the result; a checkpoint of another run is not resumed.
        log: Where figures are reported.
        salt: Decides which rows an evaluation reads if it may not read all.
        switches: Named deviations of the protocol.
        after_update: Called with the number of updates done, before gradients are reset.
        penalty: A further term of the loss of an update, or None.
        extra_state: Returns tensors and values that a checkpoint must hold besides the weights.
        restore_extra: Puts them back.
        keep_from: Weights of an earlier evaluation than at this update are never kept.
        on_evaluation: Called with the curve after every evaluation but the last, those of interrupted runs included;
            what it raises ends the run.
        workers: The processes that train together.
    """

    title: str
    recipe: LanguageRecipe
    seed: int
    shards: TokenRows
    loss: LanguageLoss
    device: torch.device
    work: Path
    identity: str
    log: RunLog
    salt: str
    switches: Mapping[str, bool] = field(default_factory=dict)
    after_update: Callable[[int], None] = _nothing
    penalty: Callable[[], Tensor | None] = lambda: None
    extra_state: Callable[[], tuple[dict[str, Tensor], dict[str, Any]]] = lambda: ({}, {})
    restore_extra: Callable[[Mapping[str, Tensor], Mapping[str, Any]], None] = lambda tensors, state: None
    keep_from: int = 0
    on_evaluation: Callable[[Sequence[Mapping[str, float]]], None] = lambda curve: None
    workers: Workers = ALONE

    def passes(self, rows: Rows, tokens: int) -> list[Sequences]:
        """Divide the documents of some rows among forward passes of so many tokens, padding included."""
        documents = [document for row in rows for document in self.shards.documents(row)]
        return passes(documents, tokens, packed=self.loss.packed)

    def smallest_pass(self, rows: Rows, tokens: int) -> int:
        """Return the tokens of the smallest forward passes, instead of `tokens`, in which some rows can be read.

        A document is not divided. A sharded network computes only when all processes do, so one of them cannot repeat
        a pass in parts.
        """
        if self.workers.sharded:
            return tokens
        return max((len(document) for row in rows for document in self.shards.documents(row)), default=1)


@dataclass
class RunState:
    """How far a run is.

    Attributes:
        step: Updates done.
        tokens: Real tokens trained on.
        seconds: Time spent on updates, evaluations not counted.
        evaluation_seconds: Time spent on evaluations.
        curve: One entry per evaluation: step, train_loss, validation_perplexity, tokens.
        kept_step: Update after which the kept weights were validated; 0 for none yet.
        kept_perplexity: Validation perplexity of the kept weights; null for none yet.
        stale: Evaluations in a row that gave nothing to keep.
        stopped_early: Whether they were too many to go on.
        micro_batch_tokens: Tokens per forward pass, fewer than the recipe's where memory ran out; 0 before the first
            update.
        nll: Training loss summed since the last evaluation, in nats.
        predicted: Tokens predicted since the last evaluation.
        metered: What the device's sensors told.
    """

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    evaluation_seconds: float = 0.0
    curve: list[dict[str, float]] = field(default_factory=list)
    kept_step: int = 0
    kept_perplexity: float | None = None
    stale: int = 0
    stopped_early: bool = False
    micro_batch_tokens: int = 0
    nll: float = 0.0
    predicted: int = 0
    metered: Metered = field(default_factory=Metered)
