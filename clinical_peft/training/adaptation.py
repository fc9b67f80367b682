"""Adaptation of a base to notes: with a PEFT adapter, or by training the whole network."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from peft import PeftModel
from torch import nn
from transformers import PreTrainedModel

from clinical_peft.errors import TrainingError
from clinical_peft.methods.method import TrainingHooks
from clinical_peft.models.adapters import load_adapter, save_adapter
from clinical_peft.models.base_folders import write_base
from clinical_peft.models.bases import DTYPES, BaseIdentity, load_causal
from clinical_peft.models.new_adapters import add_adapter, require_positions
from clinical_peft.recipes import PretrainJob
from clinical_peft.tokens.tokenizer import load_tokenizer


class Adaptation(Protocol):
    """What a method does with a base before, during and after training."""

    def prepare(self, network: PreTrainedModel, *, updates: int) -> nn.Module:
        """Return the network to train, gradients switched on for what the method trains.

        Args:
            network: The base; it may be changed.
            updates: Optimizer steps of the run.
        """

    def hooks(self, model: nn.Module) -> TrainingHooks:
        """Return what the method does at every update of a network from `prepare`."""

    def save(self, model: nn.Module, folder: Path) -> None:
        """Write what was trained, without a card."""

    def load(self, folder: Path) -> nn.Module:
        """Load the base with what `save` wrote."""


def adaptation_of(job: PretrainJob, base: Path, identity: BaseIdentity) -> Adaptation:
    """Return how a job's method adapts a base.

    Args:
        job: Method, recipe and seed.
        base: Base folder.
        identity: What `base` holds.

    Raises:
        TrainingError: The method cannot train a base in four bits.
    """
    if job.recipe.precision == "nf4" and not job.method.can.four_bits:
        raise TrainingError(
            f"adapter {job.adapter}: {job.method.title} cannot train the matrices of a base in four bits; use bf16"
        )
    return (_WholeNetwork if job.method.trains_every_weight else _WithAdapter)(job, base, identity)


@dataclass(frozen=True)
class _WithAdapter:
    job: PretrainJob
    base: Path
    identity: BaseIdentity

    def prepare(self, network: PreTrainedModel, *, updates: int) -> PeftModel:
        torch.manual_seed(self.job.seed)
        context = self.job.recipe.context
        return add_adapter(network, self.job.method, total_steps=updates, context=context, base=self.base)

    def hooks(self, model: nn.Module) -> TrainingHooks:
        assert isinstance(model, PeftModel)
        return self.job.method.hooks(model)

    def save(self, model: nn.Module, folder: Path) -> None:
        assert isinstance(model, PeftModel)
        save_adapter(model, folder, base=self.identity, card="")

    def load(self, folder: Path) -> PeftModel:
        network = load_causal(self.base, precision=self.job.recipe.precision)
        return load_adapter(network, folder, base=self.identity)


@dataclass(frozen=True)
class _WholeNetwork:
    """Full fine-tuning; what is written is a base folder of its own, since PEFT has no form for it."""

    job: PretrainJob
    base: Path
    identity: BaseIdentity

    def prepare(self, network: PreTrainedModel, *, updates: int) -> PreTrainedModel:
        require_positions(network, context=self.job.recipe.context)
        torch.manual_seed(self.job.seed)
        return network.requires_grad_(True)

    def hooks(self, model: nn.Module) -> TrainingHooks:
        return TrainingHooks()

    def save(self, model: nn.Module, folder: Path) -> None:
        assert isinstance(model, PreTrainedModel)
        model.to(DTYPES[self.job.recipe.precision])
        record = {
            "name": self.job.adapter,
            "family": self.identity.family,
            "source": f"full fine-tuning of base {self.identity.name} at revision {self.identity.revision}",
            "note": "a whole network, not an adapter",
        }
        write_base(model, load_tokenizer(self.base), folder, record)

    def load(self, folder: Path) -> PreTrainedModel:
        return load_causal(folder, precision=self.job.recipe.precision)
