"""P-tuning: virtual tokens that a small network learns."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from clinical_peft.methods.method import TaskType, VirtualTokens, also_named, require, require_from_one

if TYPE_CHECKING:
    from peft import PeftConfig

PEFT_NAMES = {
    "encoder_reparameterization_type": "encoder",
    "encoder_hidden_size": "hidden_size",
    "encoder_num_layers": "layers",
    "encoder_dropout": "dropout",
}


@dataclass(frozen=True, kw_only=True)
class PTuning(VirtualTokens):
    """P-tuning (Liu et al. 2021): virtual tokens from a small prompt encoder."""

    __pydantic_config__: ClassVar = also_named(PEFT_NAMES)
    place: ClassVar[int] = 6
    peft_type: ClassVar[str | None] = "P_TUNING"
    peft_names: ClassVar[Mapping[str, str]] = PEFT_NAMES
    type: Literal["p_tuning"] = "p_tuning"
    num_virtual_tokens: int = 20
    encoder: Literal["MLP", "LSTM"] = "LSTM"
    hidden_size: int = 256
    layers: int = 4
    dropout: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require_from_one(self, "hidden_size", "layers")
        require(0 <= self.dropout < 1, "dropout must be in [0, 1)")

    def peft_config(
        self, *, total_steps: int, task_type: TaskType | None = "CAUSAL_LM", base: Path | None = None
    ) -> "PeftConfig":
        """Translate the settings into PEFT's configuration."""
        from peft import PromptEncoderConfig

        # PEFT's MLP encoder has a fixed depth and complains of any other.
        depth = {"encoder_num_layers": self.layers} if self.encoder == "LSTM" else {}
        return PromptEncoderConfig(
            task_type=task_type,
            num_virtual_tokens=self.num_virtual_tokens,
            encoder_reparameterization_type=self.encoder,
            encoder_hidden_size=self.hidden_size,
            encoder_dropout=self.dropout,
            **depth,
        )


METHOD = PTuning()
