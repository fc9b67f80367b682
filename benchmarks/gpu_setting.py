"""What the claims about GPUs share: the device, networks with an adapter, documents, and comparisons of gradients."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pretraining_case import FIRST_ID, LORA, PAD, SEED, SHAPES, SampleShards, document_lengths
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor, nn
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from clinical_peft.models.base_folders import write_base
from clinical_peft.models.bases import DTYPES, llama_config
from clinical_peft.models.new_adapters import add_adapter
from clinical_peft.recipes import LanguageRecipe, Precision
from clinical_peft.recipes.switches import resolve_switches
from clinical_peft.runtime.events import NullLog
from clinical_peft.tokens.reading import Ids
from clinical_peft.training.language_loss import CausalLoss
from clinical_peft.training.language_run import LanguageRun
from clinical_peft.training.optimisation import prepare_torch, to_device

PADDING = 0.3  # share of rows that padding to the context would take
Gradients = dict[str, Tensor]


@dataclass(frozen=True)
class Finding:
    """What a measurement says of a claim.

    Attributes:
        claim: The claim in words.
        holds: Whether it holds; None where nothing could be asked.
        facts: What was measured.
    """

    claim: str
    holds: bool | None
    facts: Mapping[str, Any]


@dataclass
class Setting:
    """Where and how large the claims are asked.

    Attributes:
        small: Use a tiny network, on any device.
        seconds: Budget of all claims together.
        started: When the budget began.
        device: The device.
    """

    small: bool
    seconds: float
    started: float = field(default_factory=time.monotonic)
    device: torch.device = field(init=False)

    def __post_init__(self) -> None:
        self.device = prepare_torch(SEED, 1 if self.small else torch.get_num_threads())

    @property
    def gpu(self) -> bool:
        """Whether the device is a GPU."""
        return self.device.type == "cuda"

    @property
    def precision(self) -> Precision:
        """Type of the activations: that of training on this device."""
        return "bf16" if self.gpu else "fp32"

    @property
    def context(self) -> int:
        """Longest document."""
        return 64 if self.small else 512

    @property
    def middle(self) -> str:
        """Name of the shape that correctness is asked with."""
        return "tiny" if self.small else "23m"

    @property
    def large(self) -> str:
        """Name of the shape that speed is asked with."""
        return "tiny" if self.small else "7b"

    def seconds_left(self) -> float:
        """Seconds of the budget that are left."""
        return self.seconds - (time.monotonic() - self.started)

    def wait(self) -> None:
        """Wait for the device."""
        if self.gpu:
            torch.cuda.synchronize(self.device)

    def autocast(self, precision: Precision) -> torch.autocast:
        """The context of a forward pass."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=precision != "fp32")

    def network(self, shape: str, dtype: torch.dtype, **changes: float) -> LlamaForCausalLM:
        """Build a frozen network of random weights on the device; `changes` are keys of its configuration."""
        before = torch.get_default_dtype()
        torch.set_default_dtype(dtype)
        torch.manual_seed(SEED)
        try:
            with self.device:
                config = llama_config(SHAPES[shape], pad_token_id=PAD)
                config.update(changes)
                return LlamaForCausalLM(config).requires_grad_(False)
        finally:
            torch.set_default_dtype(before)

    def adapted(self, network: nn.Module) -> Any:
        """Put a LoRA adapter onto a network, every matrix of it away from zero."""
        model = add_adapter(network, LORA, total_steps=8, context=self.context)
        to_device(model, self.device)
        generator = torch.Generator().manual_seed(SEED)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "lora_B" in name:
                    parameter.copy_((torch.randn(parameter.shape, generator=generator) / 100).to(parameter))
        return model

    def documents(self, count: int, *, shape: str | None = None) -> list[Ids]:
        """Draw documents of random ids, of log-normal lengths up to the context."""
        draw = np.random.default_rng(SEED)
        lengths = document_lengths(count, context=self.context, padding=PADDING)
        most = SHAPES[shape or self.middle].vocabulary
        return [draw.integers(FIRST_ID, most, length, dtype=np.int32) for length in lengths]

    def run(
        self, documents: list[Ids], work: Path, recipe: LanguageRecipe, *, packed: bool, **more: Any
    ) -> LanguageRun:
        """Return a training run over documents."""
        return LanguageRun(
            title="claim",
            recipe=recipe,
            seed=SEED,
            shards=SampleShards(documents),
            loss=CausalLoss(PAD, self.device, packed=packed),
            device=self.device,
            work=work,
            identity="claim",
            log=NullLog(),
            salt="",
            switches=resolve_switches("corrected", {}),
            **more,
        )

    def base(self, folder: Path, precision: Precision) -> Path:
        """Write a base folder with a network of the middle shape and a tokenizer of words."""
        network = self.network(self.middle, DTYPES[precision]).cpu()
        words = {"<pad>": PAD, "<unk>": 1, "</s>": 2}
        words |= {f"w{number}": number for number in range(FIRST_ID, network.config.vocab_size)}
        tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        fast = PreTrainedTokenizerFast(
            tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>", eos_token="</s>"
        )
        write_base(network, fast, folder, {"name": "claim", "family": "causal", "source": "random", "note": ""})
        return folder


@dataclass(frozen=True)
class Claim:
    """A claim, the seconds that asking it takes on an H100, and its measurement."""

    name: str
    seconds: int
    measure: Callable[[Setting], Iterator[Finding]]


def gradients(model: nn.Module, tokens: int) -> Gradients:
    """Return the gradients per token, by name, on the CPU."""
    found = ((name, parameter.grad) for name, parameter in model.named_parameters())
    return {name: value.float().cpu() / tokens for name, value in found if value is not None}


def weights(model: nn.Module) -> Gradients:
    """Return the trained weights, by name, on the CPU."""
    return {
        name: parameter.detach().float().cpu().clone()
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }


def distance(found: Gradients, expected: Gradients) -> float:
    """Distance of two sets of tensors, as a share of the length of the second."""
    apart = sum((found[name] - value).square().sum().item() for name, value in expected.items())
    return math.sqrt(apart / max(sum(value.square().sum().item() for value in expected.values()), 1e-30))


def difference(found: Tensor, expected: Tensor) -> float:
    """Largest difference of two tensors, as a share of the largest value of the second."""
    return float((found - expected).abs().max() / expected.abs().max())
