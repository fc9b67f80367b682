"""AdaLoRA: its settings, and its allocation of ranks while it trains."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from clinical_peft.errors import TrainingError
from clinical_peft.methods.lora import REFUSED_FIELDS
from clinical_peft.methods.method import (
    Abilities,
    Method,
    TaskType,
    TrainingHooks,
    also_named,
    require,
    require_adapted,
    require_from_one,
)

if TYPE_CHECKING:
    from peft import PeftConfig, PeftModel
    from torch import Tensor

PEFT_NAMES = {
    "lora_alpha": "alpha",
    "lora_dropout": "dropout",
    "deltaT": "interval",
    "orth_reg_weight": "orthogonality",
}
BY_PHASES = "it depends on the length of a run; set initial_ratio and final_ratio"
FIXED = "it is not proven with AdaLoRA here"
SCORES = ("ipt", "exp_avg_ipt", "exp_avg_unc")


@dataclass(frozen=True, kw_only=True)
class AdaLora(Method):
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

    __pydantic_config__: ClassVar = also_named(PEFT_NAMES)
    place: ClassVar[int] = 2
    peft_type: ClassVar[str | None] = "ADALORA"
    prefix: ClassVar[str | None] = "lora_"
    start_at_zero: ClassVar[tuple[str, ...]] = ("lora_E",)
    peft_names: ClassVar[Mapping[str, str]] = PEFT_NAMES
    refused: ClassVar[Mapping[str, str]] = {
        **REFUSED_FIELDS,
        **dict.fromkeys(("tinit", "tfinal", "total_step"), BY_PHASES),
        **dict.fromkeys(("beta1", "beta2"), "beta sets both"),
        "r": "AdaLoRA has init_r and target_r in its place",
        "rank_pattern": "training finds it",
        **dict.fromkeys(("use_rslora", "use_dora", "init_lora_weights", "alpha_pattern", "exclude_modules"), FIXED),
        **dict.fromkeys(("layers_to_transform", "layers_pattern"), FIXED),
    }
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
        require_adapted(self.dropout, self.target_modules)
        require(0 < self.beta < 1, "beta must be in (0, 1)")
        for ratio in ("initial_ratio", "final_ratio"):
            require(0 <= getattr(self, ratio) < 1, f"{ratio} must be in [0, 1)")

    @property
    def can(self) -> Abilities:
        """PEFT cannot put adapters of other methods into its network, and its allocation ends with its training."""
        return Abilities(classify=True, merge=True)

    def peft_config(
        self, *, total_steps: int, task_type: TaskType | None = "CAUSAL_LM", base: Path | None = None
    ) -> "PeftConfig":
        """Translate the settings into PEFT's configuration.

        Raises:
            TrainingError: Ranks or phases leave nothing to allocate.
        """
        from peft import AdaLoraConfig

        initial, final = int(self.initial_ratio * total_steps), int(self.final_ratio * total_steps)
        if self.target_r >= self.init_r:
            raise TrainingError(
                f"adalora: expected target_r below init_r, found {self.target_r} and {self.init_r}; "
                "lower target_r, or use lora for a fixed rank"
            )
        if total_steps - final - initial < 2:
            raise TrainingError(
                f"adalora: {total_steps} optimizer steps leave no room between initial_ratio {self.initial_ratio} and "
                f"final_ratio {self.final_ratio} to allocate ranks; train longer or lower the ratios"
            )
        return AdaLoraConfig(
            task_type=task_type,
            init_r=self.init_r,
            target_r=self.target_r,
            lora_alpha=self.alpha,
            lora_dropout=self.dropout,
            tinit=initial,
            tfinal=final,
            deltaT=self.interval,
            beta1=self.beta,
            beta2=self.beta,
            orth_reg_weight=self.orthogonality,
            total_step=total_steps,
            target_modules=list(self.target_modules),
        )

    def hooks(self, model: "PeftModel") -> TrainingHooks:
        """Return the allocation of ranks."""
        return RankAllocation(model)


class RankAllocation(TrainingHooks):
    """Moves ranks to the matrices where they matter.

    Args:
        model: Network with one AdaLoRA adapter, named `default`.
    """

    def __init__(self, model: "PeftModel") -> None:
        self.model = model
        self.config: Any = model.peft_config["default"]
        # Weights may be kept only once the ranks are final.
        self.keep_from = self.config.total_step - self.config.tfinal

    def after_update(self, step: int) -> None:
        """Allocate ranks."""
        tuner: Any = self.model.base_model
        tuner.update_and_allocate(step)

    def penalty(self) -> "Tensor":
        """Return the weighted orthogonality penalty.

        PEFT adds it only to a loss that the network itself computes. It is the mean over all matrices P (rank by
        width) and Q of the Frobenius norm of P P^T - I and Q^T Q - I (Zhang et al. 2023, equation 4, there with squared
        norms).
        """
        import torch

        terms = []
        for name, parameter in self.model.named_parameters():
            if ".lora_A." in name or ".lora_B." in name:
                gram = parameter @ parameter.T if ".lora_A." in name else parameter.T @ parameter
                terms.append(torch.linalg.norm(gram - torch.eye(len(gram), dtype=gram.dtype, device=gram.device)))
        penalty: Tensor = self.config.orth_reg_weight * torch.stack(terms).mean()
        return penalty

    def state(self) -> "tuple[dict[str, Tensor], dict[str, Any]]":
        """Return the importance scores, and the ranks that are left."""
        allocator = self._allocator
        tensors = {f"{field}/{name}": value for field in SCORES for name, value in getattr(allocator, field).items()}
        return tensors, {"rank_pattern": self.config.rank_pattern}

    def restore(self, tensors: "Mapping[str, Tensor]", state: Mapping[str, Any]) -> None:
        """Restore what `state` returned."""
        device = next(self.model.parameters()).device
        for field in SCORES:
            found = {key.removeprefix(f"{field}/"): key for key in tensors if key.startswith(f"{field}/")}
            setattr(self._allocator, field, {name: tensors[key].to(device) for name, key in found.items()})
        self.config.rank_pattern = state["rank_pattern"]

    def remaining_ranks(self) -> list[int]:
        """Return how many ranks are left to each adapted matrix; empty before allocation."""
        return [sum(ranks) for _, ranks in sorted((self.config.rank_pattern or {}).items())]

    @property
    def _allocator(self) -> Any:
        tuner: Any = self.model.base_model
        return tuner.rankallocator


METHOD = AdaLora()
