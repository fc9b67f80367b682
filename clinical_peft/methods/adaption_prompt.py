"""LLaMA-Adapter, which PEFT calls adaption prompt."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from clinical_peft.errors import TrainingError
from clinical_peft.methods.method import Method, TaskType, require_from_one

if TYPE_CHECKING:
    from peft import PeftConfig
    from transformers import PreTrainedModel


@dataclass(frozen=True, kw_only=True)
class AdaptionPrompt(Method):
    """LLaMA-Adapter: learned prompts with gated attention in the top layers (Zhang et al. 2023)."""

    place: ClassVar[int] = 3
    peft_type: ClassVar[str | None] = "ADAPTION_PROMPT"
    start_at_zero: ClassVar[tuple[str, ...]] = ("adaption_gate",)
    refused: ClassVar[Mapping[str, str]] = {"target_modules": "PEFT knows the attention layers by the architecture"}
    type: Literal["adaption_prompt"] = "adaption_prompt"
    adapter_len: int = 10
    adapter_layers: int = 30

    def __post_init__(self) -> None:
        require_from_one(self, "adapter_len", "adapter_layers")

    def peft_config(
        self, *, total_steps: int, task_type: TaskType | None = "CAUSAL_LM", base: Path | None = None
    ) -> "PeftConfig":
        """Translate the settings into PEFT's configuration."""
        from peft import AdaptionPromptConfig

        return AdaptionPromptConfig(
            task_type=task_type, adapter_len=self.adapter_len, adapter_layers=self.adapter_layers
        )

    def check_base(self, network: "PreTrainedModel") -> None:
        """Check that the base has as many layers as are adapted.

        Raises:
            TrainingError: It has fewer.
        """
        layers = network.config.num_hidden_layers
        if self.adapter_layers > layers:
            raise TrainingError(
                f"adaption_prompt: adapter_layers is {self.adapter_layers}, but the base has {layers} layers; "
                "lower adapter_layers"
            )


METHOD = AdaptionPrompt()
