"""Settings and progress of a training run of a language model."""

from dataclasses import dataclass, field

import torch

from clinical_peft.methods.method import TrainingHooks
from clinical_peft.recipes import LanguageRecipe
from clinical_peft.training.batching import Rows, passes
from clinical_peft.training.general_text import TokenRows
from clinical_peft.training.language_loss import LanguageLoss, Sequences
from clinical_peft.training.loop import LoopState, TrainingRun
from clinical_peft.training.optimisation import RateFactor, one_rate
from clinical_peft.training.throughput import DeviceUsage


@dataclass(frozen=True, kw_only=True)
class LanguageRun(TrainingRun):
    """Settings of a training run of a language model.

    Attributes:
        recipe: Optimisation and budget.
        shards: Rows to train and validate on.
        loss: The objective.
        device: Where the network is.
        salt: Salt of the random choice of evaluation rows where a limit is set.
        hooks: What the method does while it trains.
        rate_factor: Factor of the learning rate of a tensor, by its name and the number of its dimensions.
    """

    recipe: LanguageRecipe
    shards: TokenRows
    loss: LanguageLoss
    device: torch.device
    salt: str
    hooks: TrainingHooks = field(default_factory=TrainingHooks)
    rate_factor: RateFactor = one_rate

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
class LanguageState(LoopState):
    """Progress of a run; entries of its curve hold step, train_loss, validation_perplexity and tokens.

    Attributes:
        stopped_early: Whether training ended before its last update because evaluations did not improve.
        nll: Training loss summed since the last evaluation, in nats.
        predicted: Tokens predicted since the last evaluation.
        usage: Energy and load of the device, as its sensors report them.
    """

    stopped_early: bool = False
    nll: float = 0.0
    predicted: int = 0
    usage: DeviceUsage = field(default_factory=DeviceUsage)

    @property
    def best_perplexity(self) -> float | None:
        """Validation perplexity of the best weights; None before the first evaluation."""
        return None if self.best_value is None else -self.best_value
