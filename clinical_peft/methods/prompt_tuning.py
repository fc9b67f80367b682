"""Prompt tuning: learned embeddings before those of every row."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from clinical_peft.methods.method import REFUSED_OF_PROMPTS, TaskType, VirtualTokens, also_named

if TYPE_CHECKING:
    from peft import PeftConfig

PEFT_NAMES = {"prompt_tuning_init_text": "init_text"}


@dataclass(frozen=True, kw_only=True)
class PromptTuning(VirtualTokens):
    """Prompt tuning (Lester et al. 2021); `init_text` null starts from random embeddings."""

    __pydantic_config__: ClassVar = also_named(PEFT_NAMES)
    place: ClassVar[int] = 5
    peft_type: ClassVar[str | None] = "PROMPT_TUNING"
    peft_names: ClassVar[Mapping[str, str]] = PEFT_NAMES
    refused: ClassVar[Mapping[str, str]] = {
        **REFUSED_OF_PROMPTS,
        "prompt_tuning_init": "init_text decides",
        **dict.fromkeys(("tokenizer_name_or_path", "tokenizer_kwargs"), "the base's own tokenizer reads the text"),
    }
    type: Literal["prompt_tuning"] = "prompt_tuning"
    num_virtual_tokens: int = 15
    init_text: str | None = None

    @property
    def counted(self) -> "PromptTuning":
        """The method without the text that only sets initial values, and would need a tokenizer."""
        return replace(self, init_text=None)

    def peft_config(
        self, *, total_steps: int, task_type: TaskType | None = "CAUSAL_LM", base: Path | None = None
    ) -> "PeftConfig":
        """Translate the settings into PEFT's configuration.

        Raises:
            ValueError: There is an initial text and no base folder.
        """
        from peft import PromptTuningConfig

        if self.init_text is None:
            return PromptTuningConfig(task_type=task_type, num_virtual_tokens=self.num_virtual_tokens)
        if base is None:
            raise ValueError("prompt tuning from an initial text needs the base folder for its tokenizer")
        return PromptTuningConfig(
            task_type=task_type,
            num_virtual_tokens=self.num_virtual_tokens,
            prompt_tuning_init="TEXT",
            prompt_tuning_init_text=self.init_text,
            tokenizer_name_or_path=str(base),
            tokenizer_kwargs={"local_files_only": True},
        )


METHOD = PromptTuning()
