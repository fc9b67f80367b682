"""The two ways to adapt a base to notes: beside its weights, with an adapter of PEFT, or in them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from peft import AdaLoraConfig, PeftModel
from torch import nn
from transformers import PreTrainedModel

from clinical_peft.errors import TrainingError
from clinical_peft.models.adapters import load_adapter, save_adapter
from clinical_peft.models.base_folders import write_base
from clinical_peft.models.bases import DTYPES, BaseIdentity, load_causal
from clinical_peft.models.methods import (
    add_adapter,
    allocate_ranks,
    allocation_state,
    orthogonality_penalty,
    peft_config,
    remaining_ranks,
    require_positions,
    restore_allocation,
)
from clinical_peft.recipes import PretrainJob
from clinical_peft.recipes.methods import Full, PeftMethod
from clinical_peft.tokens.tokenizer import load_tokenizer
from clinical_peft.training.language_run import MethodHooks


class Adaptation(Protocol):
    """What a method does with a base before, during and after training."""

    def prepare(self, network: PreTrainedModel, *, updates: int) -> nn.Module:
        """Return the network to train, gradients switched on for what the method trains.

        Args:
            network: The base; it may be changed.
            updates: Optimizer steps of the run.
        """

    def hooks(self, model: nn.Module) -> MethodHooks:
        """Return what the method does at every update of a network from `prepare`."""

    def save(self, model: nn.Module, folder: Path) -> None:
        """Write what was trained, without a card."""

    def load(self, folder: Path) -> nn.Module:
        """Load the base with what `save` wrote."""

    def remaining_ranks(self, model: nn.Module) -> list[int]:
        """Return the ranks that an allocation has left each matrix; empty for methods without one."""


def adaptation(job: PretrainJob, base: Path, identity: BaseIdentity) -> Adaptation:
    """Return how a job's method adapts a base.

    Args:
        job: Method, recipe and seed.
        base: Base folder.
        identity: What `base` holds.

    Raises:
        TrainingError: Full fine-tuning of a base in four bits.
    """
    if not isinstance(job.method, Full):
        return _WithAdapter(job, job.method, base, identity)
    if job.recipe.precision == "nf4":
        raise TrainingError(
            f"adapter {job.adapter}: full fine-tuning cannot train the matrices of a base in four bits; use bf16"
        )
    return _WholeNetwork(job, base, identity)


@dataclass(frozen=True)
class _WithAdapter:
    job: PretrainJob
    method: PeftMethod
    base: Path
    identity: BaseIdentity

    def prepare(self, network: PreTrainedModel, *, updates: int) -> PeftModel:
        config = peft_config(self.method, total_steps=updates, base=self.base)
        torch.manual_seed(self.job.seed)
        return add_adapter(network, config, context=self.job.recipe.context)

    def hooks(self, model: nn.Module) -> MethodHooks:
        """AdaLoRA's weights may be kept only once its ranks are final."""
        assert isinstance(model, PeftModel)
        config = model.peft_config["default"]
        return MethodHooks(
            after_update=lambda step: allocate_ranks(model, step),
            penalty=lambda: orthogonality_penalty(model),
            state=lambda: allocation_state(model),
            restore_state=lambda tensors, values: restore_allocation(model, tensors, values),
            keep_from=config.total_step - config.tfinal if isinstance(config, AdaLoraConfig) else 0,
        )

    def save(self, model: nn.Module, folder: Path) -> None:
        assert isinstance(model, PeftModel)
        save_adapter(model, folder, base=self.identity, card="")

    def load(self, folder: Path) -> PeftModel:
        network = load_causal(self.base, precision=self.job.recipe.precision)
        return load_adapter(network, folder, base=self.identity)

    def remaining_ranks(self, model: nn.Module) -> list[int]:
        assert isinstance(model, PeftModel)
        return remaining_ranks(model)


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

    def hooks(self, model: nn.Module) -> MethodHooks:
        return MethodHooks()

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

    def remaining_ranks(self, model: nn.Module) -> list[int]:
        return []
