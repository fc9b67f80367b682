"""Full fine-tuning, the reference that parameter-efficient methods save."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from clinical_peft.methods.method import Abilities, Method


@dataclass(frozen=True, kw_only=True)
class Full(Method):
    """Full fine-tuning: every weight of the base is trained; the reference that parameter-efficient methods save."""

    place: ClassVar[int] = 99
    trains_every_weight: ClassVar[bool] = True
    type: Literal["full"] = "full"

    @property
    def can(self) -> Abilities:
        """A matrix held in four bits cannot be trained."""
        return Abilities(four_bits=False)

    @property
    def title(self) -> str:
        """Name of the method on the card of its result."""
        return "full fine-tuning"


METHOD = Full()
