"""Kinds of models: what each is made of and which settings it reads."""

from dataclasses import dataclass
from typing import Literal

from clinical_peft.errors import ConfigError

Kind = Literal["adapted", "full", "tfidf"]


@dataclass(frozen=True, kw_only=True)
class ModelKind:
    """A kind of model.

    Attributes:
        has_network: Whether it trains a head on a base network.
        takes_adapters: Whether it may have a clinical and a task adapter.
        trains_every_weight: Whether it trains the base itself.
        recipe_keys: Keys of a recipe for fine-tuning that its result depends on; None for all.
        concerns: Concerns of the switches that its runs look at; None for all.
        threads: CPU threads that it computes with, whatever the recipe says; None for those of the recipe.
    """

    has_network: bool = True
    takes_adapters: bool = False
    trains_every_weight: bool = False
    recipe_keys: tuple[str, ...] | None = None
    concerns: tuple[str, ...] | None = None
    threads: int | None = None


KINDS: dict[Kind, ModelKind] = {
    "adapted": ModelKind(takes_adapters=True),
    "full": ModelKind(trains_every_weight=True),
    "tfidf": ModelKind(has_network=False, recipe_keys=("class_weights", "threads"), concerns=("scoring",), threads=1),
}


def find_kind(name: Kind) -> ModelKind:
    """Return a kind of model by its name.

    Raises:
        ConfigError: There is no such kind.
    """
    if name not in KINDS:
        raise ConfigError(f"kind: expected one of {', '.join(KINDS)}, found {name}")
    return KINDS[name]
