"""Low-rank adaptation, rank-stabilised or with DoRA's decomposition where asked."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from clinical_peft.errors import TrainingError
from clinical_peft.methods.method import (
    Abilities,
    Method,
    TaskType,
    also_named,
    as_lists,
    require,
    require_adapted,
    require_from_one,
    require_layers,
)

if TYPE_CHECKING:
    from peft import PeftConfig

PEFT_NAMES = {"lora_alpha": "alpha", "lora_dropout": "dropout", "use_rslora": "rank_stabilised", "use_dora": "dora"}
NEEDS_NOTES = "it reads training texts before the first step, which no job here does"
REFUSED_INITS = {
    "corda": NEEDS_NOTES,
    "eva": NEEDS_NOTES,
    "lora_ga": NEEDS_NOTES,
    "loftq": "it replaces the base's values by quantised ones; use precision nf4 with another",
    "mica": "it keeps lora_B as drawn from the base and trains only lora_A",
}
"""Initial values of PEFT that are refused, with the reason."""
TAKES_PART = re.compile(r"olora|pissa(_niter_[1-9]\d*)?")
"""Initial values that PEFT subtracts from the base's weights."""
REFUSED_FIELDS = {
    "bias": "it would train biases of the base, which stay as they are",
    "lora_bias": "a bias cannot be merged into layers without one",
    "fan_in_fan_out": "PEFT sets it by the kind of layer",
    "modules_to_save": "a classifier saves its head by itself, and nothing else of the base is trained",
    "trainable_token_indices": "it would train embeddings of the base, which stay as they are",
    "target_parameters": "name layers in target_modules",
    "layer_replication": "it would change the base",
    "ensure_weight_tying": "no tied layer is trained here",
    "runtime_config": "it changes no result",
    **dict.fromkeys(("megatron_config", "megatron_core"), "training here knows no Megatron"),
    **dict.fromkeys(("eva_config", "corda_config", "lora_ga_config"), NEEDS_NOTES),
    "loftq_config": REFUSED_INITS["loftq"],
    **dict.fromkeys(("use_qalora", "qalora_group_size"), "it is for bases quantised by GPTQ"),
    **dict.fromkeys(
        ("velora_config", "alora_invocation_tokens", "monteclora_config", "use_bdlora", "arrow_config", "kasa_config"),
        "this variant of LoRA is not proven here",
    ),
}
"""Fields of PEFT's `LoraConfig` that are no settings here, with the reason."""


@dataclass(frozen=True, kw_only=True)
class Lora(Method):
    """Low-rank adaptation (Hu et al. 2021).

    Attributes:
        r: Rank of every update.
        alpha: The update is scaled by `alpha / r`.
        rank_stabilised: Scale by `alpha / sqrt(r)` instead, so that a higher rank does not learn more slowly
            (Kalajdzievski 2023, rsLoRA).
        dora: Learn the length of every row of a weight apart from its direction (Liu et al. 2024, DoRA).
        target_modules: Names of layers or ends of them, `all-linear`, or a regular expression.
        init_lora_weights: Initial values: true, false, `gaussian`, `orthogonal`, `olora`, `pissa` or
            `pissa_niter_N`, as PEFT has them.
        rank_pattern: Ranks of layers that differ from `r`, by name or regular expression.
        alpha_pattern: The same for `alpha`.
        exclude_modules: Layers that are not adapted, as in `target_modules`.
        layers_to_transform: Numbers of the blocks that are adapted; null for all.
        layers_pattern: Name of the list of blocks, where PEFT does not know it.
        loraplus_lr_ratio: Learning rate of B over that of A (Hayou et al. 2024, LoRA+); null for one rate.
    """

    __pydantic_config__: ClassVar = also_named(PEFT_NAMES)
    place: ClassVar[int] = 1
    peft_type: ClassVar[str | None] = "LORA"
    prefix: ClassVar[str | None] = "lora_"
    start_at_zero: ClassVar[tuple[str, ...]] = ("lora_B", "lora_embedding_B")
    peft_names: ClassVar[Mapping[str, str]] = PEFT_NAMES
    refused: ClassVar[Mapping[str, str]] = REFUSED_FIELDS
    optional: ClassVar[tuple[str, ...]] = (
        "init_lora_weights",
        "rank_pattern",
        "alpha_pattern",
        "exclude_modules",
        "layers_to_transform",
        "layers_pattern",
        "loraplus_lr_ratio",
    )
    type: Literal["lora"] = "lora"
    r: int = 16
    alpha: int = 32
    dropout: float = 0.0
    rank_stabilised: bool = False
    dora: bool = False
    target_modules: tuple[str, ...] | str = ("q_proj", "v_proj")
    init_lora_weights: bool | str = True
    rank_pattern: dict[str, int] = field(default_factory=dict)
    alpha_pattern: dict[str, int] = field(default_factory=dict)
    exclude_modules: tuple[str, ...] | str | None = None
    layers_to_transform: tuple[int, ...] | int | None = None
    layers_pattern: tuple[str, ...] | str | None = None
    loraplus_lr_ratio: float | None = None

    def __post_init__(self) -> None:
        require_from_one(self, "r", "alpha")
        require_adapted(self.dropout, self.target_modules)
        require_layers(vars(self))
        for name in ("rank_pattern", "alpha_pattern"):
            for layer, value in getattr(self, name).items():
                require(value >= 1, f"{name}.{layer} must be at least 1, found {value}")
        ratio = self.loraplus_lr_ratio
        require(ratio is None or ratio >= 1, f"loraplus_lr_ratio must be at least 1 or null, found {ratio}")
        self._check_init()

    def _check_init(self) -> None:
        init = self.init_lora_weights
        if isinstance(init, bool):
            return
        name = "corda" if init.startswith("corda") else init
        if name in REFUSED_INITS:
            raise ValueError(f"init_lora_weights: {init} is refused: {REFUSED_INITS[name]}")
        require(
            init in ("gaussian", "orthogonal") or self.takes_part_of_base,
            "init_lora_weights: expected true, false, gaussian, orthogonal, olora, pissa or pissa_niter_N, "
            f"found {init!r}",
        )
        ranks = (self.r, *self.rank_pattern.values())
        require(
            init != "orthogonal" or not any(rank % 2 for rank in ranks),
            "init_lora_weights: orthogonal needs even ranks; change r or rank_pattern",
        )
        require(
            not (self.dora and self.takes_part_of_base),
            f"init_lora_weights: {init} takes a part of the weights whose lengths dora learns; set only one of them",
        )

    @property
    def takes_part_of_base(self) -> bool:
        """Whether the initial adapter is a part of the base's weights, which PEFT subtracts from them."""
        return isinstance(self.init_lora_weights, str) and TAKES_PART.fullmatch(self.init_lora_weights) is not None

    @property
    def can(self) -> Abilities:
        """DoRA takes the norms of the base's weights, and in PEFT rescales what every adapter before it adds."""
        return Abilities(
            shard=not self.dora and not self.takes_part_of_base,
            four_bits=not self.takes_part_of_base,
            classify=True,
            merge=True,
            retrain=True,
            precede=True,
            follow=not self.dora,
            adapt_task=True,
            adapt_encoder=True,
            fuse=not self.dora and not self.rank_pattern and not self.alpha_pattern,
        )

    @property
    def title(self) -> str:
        """Name of the method on the card of an adapter."""
        name = ("rank-stabilised " if self.rank_stabilised else "") + ("DoRA" if self.dora else "LoRA")
        return f"{name}+" if self.loraplus_lr_ratio else name

    @property
    def counted(self) -> "Lora":
        """The method without initial values that need the base's weights."""
        return replace(self, init_lora_weights=True) if self.takes_part_of_base else self

    @property
    def has_several_rates(self) -> bool:
        """Whether the learning rate of B is another one than that of A (LoRA+)."""
        return self.loraplus_lr_ratio is not None

    def rate_factor(self, name: str, dimensions: int) -> float:
        """Return the factor of a tensor's learning rate: that of LoRA+ for B, and for vectors as PEFT has it."""
        is_faster = "lora_" in name and ("lora_B" in name or dimensions == 1)
        return self.loraplus_lr_ratio if self.loraplus_lr_ratio is not None and is_faster else 1.0

    def peft_config(
        self, *, total_steps: int, task_type: TaskType | None = "CAUSAL_LM", base: Path | None = None
    ) -> "PeftConfig":
        """Translate the settings into PEFT's configuration.

        Raises:
            TrainingError: PEFT refuses a combination of settings.
        """
        from peft import LoraConfig

        try:
            return LoraConfig(
                task_type=task_type,
                r=self.r,
                lora_alpha=self.alpha,
                lora_dropout=self.dropout,
                use_rslora=self.rank_stabilised,
                use_dora=self.dora,
                target_modules=as_lists(self.target_modules),
                init_lora_weights=self.init_lora_weights,
                rank_pattern=dict(self.rank_pattern),
                alpha_pattern=dict(self.alpha_pattern),
                exclude_modules=as_lists(self.exclude_modules),
                layers_to_transform=as_lists(self.layers_to_transform),
                layers_pattern=as_lists(self.layers_pattern),
            )
        except ValueError as error:
            raise TrainingError(f"lora: {error}") from None


METHOD = Lora()
