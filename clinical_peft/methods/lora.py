"""Low-rank adaptation, rank-stabilised or with DoRA's decomposition where asked."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from clinical_peft.methods.method import Abilities, Method, TaskType, require_adapted, require_from_one

if TYPE_CHECKING:
    from peft import PeftConfig


@dataclass(frozen=True, kw_only=True)
class Lora(Method):
    """Low-rank adaptation (Hu et al. 2021).

    Attributes:
        r: Rank of every update.
        alpha: The update is scaled by `alpha / r`.
        rank_stabilised: Scale by `alpha / sqrt(r)` instead, so that a higher rank does not learn more slowly
            (Kalajdzievski 2023, rsLoRA).
        dora: Learn the length of every row of a weight apart from its direction (Liu et al. 2024, DoRA).
    """

    place: ClassVar[int] = 1
    peft_type: ClassVar[str | None] = "LORA"
    prefix: ClassVar[str | None] = "lora_"
    start_at_zero: ClassVar[tuple[str, ...]] = ("lora_B", "lora_embedding_B")
    type: Literal["lora"] = "lora"
    r: int = 16
    alpha: int = 32
    dropout: float = 0.0
    rank_stabilised: bool = False
    dora: bool = False
    target_modules: tuple[str, ...] = ("q_proj", "v_proj")

    def __post_init__(self) -> None:
        require_from_one(self, "r", "alpha")
        require_adapted(self.dropout, self.target_modules)

    @property
    def can(self) -> Abilities:
        """DoRA takes the norms of the base's weights, and in PEFT rescales what every adapter before it adds."""
        return Abilities(
            shard=not self.dora,
            classify=True,
            merge=True,
            retrain=True,
            precede=True,
            follow=not self.dora,
            adapt_task=True,
            fuse=not self.dora,
        )

    @property
    def title(self) -> str:
        """How the method is called on the card of an adapter."""
        return ("rank-stabilised " if self.rank_stabilised else "") + ("DoRA" if self.dora else "LoRA")

    def peft_config(
        self, *, total_steps: int, task_type: TaskType | None = "CAUSAL_LM", base: Path | None = None
    ) -> "PeftConfig":
        """Translate the settings into PEFT's configuration."""
        from peft import LoraConfig

        return LoraConfig(
            task_type=task_type,
            r=self.r,
            lora_alpha=self.alpha,
            lora_dropout=self.dropout,
            use_rslora=self.rank_stabilised,
            use_dora=self.dora,
            target_modules=list(self.target_modules),
        )


METHOD = Lora()
