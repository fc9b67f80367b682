"""Settings of the PEFT methods, and of full fine-tuning: plain dataclasses that check their own values.

What a method is in `peft` says `clinical_peft.models.methods`.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

STRICT: dict[str, Any] = {"extra": "forbid"}


def require(condition: bool, message: str) -> None:
    """Raise `ValueError` with the message unless the condition holds."""
    if not condition:
        raise ValueError(message)


def require_from_one(settings: object, *names: str) -> None:
    """Require settings of the given names to be at least 1."""
    for name in names:
        value = getattr(settings, name)
        require(value >= 1, f"{name} must be at least 1, found {value}")


def _require_adapted(dropout: float, target_modules: tuple[str, ...]) -> None:
    require(0 <= dropout < 1, "dropout must be in [0, 1)")
    require(bool(target_modules), "target_modules must name at least one kind of layer")


@dataclass(frozen=True, kw_only=True)
class Lora:
    """Low-rank adaptation (Hu et al. 2021).

    Attributes:
        r: Rank of every update.
        alpha: The update is scaled by `alpha / r`.
        rank_stabilised: Scale by `alpha / sqrt(r)` instead, so that a higher rank does not learn more slowly
            (Kalajdzievski 2023, rsLoRA).
        dora: Learn the length of every row of a weight apart from its direction (Liu et al. 2024, DoRA).
    """

    __pydantic_config__: ClassVar = STRICT
    type: Literal["lora"] = "lora"
    r: int = 16
    alpha: int = 32
    dropout: float = 0.0
    rank_stabilised: bool = False
    dora: bool = False
    target_modules: tuple[str, ...] = ("q_proj", "v_proj")

    def __post_init__(self) -> None:
        require_from_one(self, "r", "alpha")
        _require_adapted(self.dropout, self.target_modules)


@dataclass(frozen=True, kw_only=True)
class AdaLora:
    """Adaptive budget allocation for low-rank adaptation (Zhang et al. 2023).

    The phases are shares of all optimizer steps, since PEFT's step counts depend on the length of a run.

    Attributes:
        init_r: Rank of every matrix before allocation.
        target_r: Average rank that remains.
        initial_ratio: Share of steps before pruning starts (PEFT's `tinit`).
        final_ratio: Share of steps after the budget is final (PEFT's `tfinal`).
        interval: Optimizer steps between two allocations (PEFT's `deltaT`).
        orthogonality: Weight of the orthogonality penalty.
    """

    __pydantic_config__: ClassVar = STRICT
    type: Literal["adalora"] = "adalora"
    init_r: int = 12
    target_r: int = 8
    alpha: int = 32
    dropout: float = 0.0
    initial_ratio: float = 0.1
    final_ratio: float = 0.3
    interval: int = 1
    beta: float = 0.85
    orthogonality: float = 0.5
    target_modules: tuple[str, ...] = ("q_proj", "v_proj")

    def __post_init__(self) -> None:
        require_from_one(self, "init_r", "target_r", "alpha", "interval")
        _require_adapted(self.dropout, self.target_modules)
        require(0 < self.beta < 1, "beta must be in (0, 1)")
        for ratio in ("initial_ratio", "final_ratio"):
            require(0 <= getattr(self, ratio) < 1, f"{ratio} must be in [0, 1)")


@dataclass(frozen=True, kw_only=True)
class AdaptionPrompt:
    """LLaMA-Adapter: learned prompts with gated attention in the top layers (Zhang et al. 2023)."""

    __pydantic_config__: ClassVar = STRICT
    type: Literal["adaption_prompt"] = "adaption_prompt"
    adapter_len: int = 10
    adapter_layers: int = 30

    def __post_init__(self) -> None:
        require_from_one(self, "adapter_len", "adapter_layers")


@dataclass(frozen=True, kw_only=True)
class PrefixTuning:
    """Prefix tuning (Li and Liang 2021)."""

    __pydantic_config__: ClassVar = STRICT
    type: Literal["prefix_tuning"] = "prefix_tuning"
    num_virtual_tokens: int = 20
    prefix_projection: bool = False

    def __post_init__(self) -> None:
        require_from_one(self, "num_virtual_tokens")


@dataclass(frozen=True, kw_only=True)
class PromptTuning:
    """Prompt tuning (Lester et al. 2021); `init_text` null starts from random embeddings."""

    __pydantic_config__: ClassVar = STRICT
    type: Literal["prompt_tuning"] = "prompt_tuning"
    num_virtual_tokens: int = 15
    init_text: str | None = None

    def __post_init__(self) -> None:
        require_from_one(self, "num_virtual_tokens")


@dataclass(frozen=True, kw_only=True)
class PTuning:
    """P-tuning (Liu et al. 2021): virtual tokens from a small prompt encoder."""

    __pydantic_config__: ClassVar = STRICT
    type: Literal["p_tuning"] = "p_tuning"
    num_virtual_tokens: int = 20
    encoder: Literal["MLP", "LSTM"] = "LSTM"
    hidden_size: int = 256
    layers: int = 4
    dropout: float = 0.0

    def __post_init__(self) -> None:
        require_from_one(self, "num_virtual_tokens", "hidden_size", "layers")
        require(0 <= self.dropout < 1, "dropout must be in [0, 1)")


@dataclass(frozen=True, kw_only=True)
class Full:
    """Full fine-tuning: every weight of the base is trained; the reference that parameter-efficient methods save."""

    __pydantic_config__: ClassVar = STRICT
    type: Literal["full"] = "full"


PeftMethod = Lora | AdaLora | AdaptionPrompt | PrefixTuning | PromptTuning | PTuning
Method = PeftMethod | Full
