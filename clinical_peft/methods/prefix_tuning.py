"""Prefix tuning: learned keys and values before those of every layer."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from clinical_peft.methods.method import REFUSED_OF_PROMPTS, TaskType, VirtualTokens

if TYPE_CHECKING:
    from peft import PeftConfig


@dataclass(frozen=True, kw_only=True)
class PrefixTuning(VirtualTokens):
    """Prefix tuning (Li and Liang 2021)."""

    place: ClassVar[int] = 4
    peft_type: ClassVar[str | None] = "PREFIX_TUNING"
    hands_on_cache: ClassVar[bool] = True
    refused: ClassVar[Mapping[str, str]] = {
        **REFUSED_OF_PROMPTS,
        "encoder_hidden_size": "the projection is as wide as the base",
        "init_weights": "a prefix of zeros could not be distinguished from one that was lost",
    }
    type: Literal["prefix_tuning"] = "prefix_tuning"
    num_virtual_tokens: int = 20
    prefix_projection: bool = False

    def peft_config(
        self, *, total_steps: int, task_type: TaskType | None = "CAUSAL_LM", base: Path | None = None
    ) -> "PeftConfig":
        """Translate the settings into PEFT's configuration."""
        from peft import PrefixTuningConfig

        return PrefixTuningConfig(
            task_type=task_type,
            num_virtual_tokens=self.num_virtual_tokens,
            prefix_projection=self.prefix_projection,
        )


METHOD = PrefixTuning()
