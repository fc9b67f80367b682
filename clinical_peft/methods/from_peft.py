"""The methods of the catalogue, as classes of settings that are made from PEFT's fields."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from clinical_peft.errors import TrainingError
from clinical_peft.methods.catalogue import CATALOGUE, REFUSED, Claim
from clinical_peft.methods.method import (
    Abilities,
    Method,
    TaskType,
    as_lists,
    require,
    require_from_one,
    require_layers,
)
from clinical_peft.methods.snapshot import peft_fields

if TYPE_CHECKING:
    from peft import PeftConfig

KINDS: dict[str, Any] = {
    "int": int,
    "int | null": int | None,
    "float": float,
    "bool": bool,
    "str": str,
    "str | null": str | None,
    "names | null": tuple[str, ...] | str | None,
    "layers | null": tuple[int, ...] | int | None,
    "mapping | null": dict[str, int],
}
"""Types of settings by the kinds of PEFT's fields."""


@dataclass(frozen=True, kw_only=True)
class PeftMethod(Method):
    """A method whose settings are the fields of PEFT's configuration.

    `target_modules` null leaves the choice of layers to PEFT, by the architecture of the base.
    """

    claim: ClassVar[Claim]
    config: ClassVar[str]

    def __post_init__(self) -> None:
        settings = {name: getattr(self, name) for name in self.setting_names()}
        require_from_one(self, *self.claim.positive)
        require_layers(settings)
        for name, value in settings.items():
            if "dropout" in name and isinstance(value, float):
                require(0 <= value < 1, f"{name} must be in [0, 1)")
            elif isinstance(value, float):
                require(math.isfinite(value), f"{name} must be a finite number")
            elif type(value) is int and name not in self.claim.any_sign:
                require(value >= 0, f"{name} must not be negative, found {value}")
        require(settings["target_modules"] not in ((), ""), "target_modules must name at least one kind of layer")
        self._require_together(settings)

    def _require_together(self, settings: Mapping[str, Any]) -> None:
        if self.claim.either is not None:
            names, values = " or ".join(self.claim.either), [settings[name] for name in self.claim.either]
            require(values.count(0) == 1, f"expected either {names} to be 0, found {values[0]} and {values[1]}")
        if self.claim.within is not None:
            part, whole = (settings[name] for name in self.claim.within)
            if isinstance(part, tuple) and isinstance(whole, tuple):
                require({*part} <= {*whole}, "{}: expected some of {}".format(*self.claim.within))
        if self.claim.divides is not None:
            first, second = (settings[name] for name in self.claim.divides)
            require(
                second % first == 0, "{} must divide {}, found {} and {}".format(*self.claim.divides, first, second)
            )

    @property
    def can(self) -> Abilities:
        """What can be done with the method."""
        return self.claim.can

    @property
    def title(self) -> str:
        """Name of the method on the card of an adapter."""
        return self.claim.title

    def peft_config(
        self, *, total_steps: int, task_type: TaskType | None = "CAUSAL_LM", base: Path | None = None
    ) -> "PeftConfig":
        """Translate the settings into PEFT's configuration.

        Raises:
            TrainingError: PEFT refuses a combination of settings.
        """
        import peft

        settings = {name: as_lists(getattr(self, name)) for name in self.setting_names()}
        try:
            config: PeftConfig = getattr(peft, self.config)(task_type=task_type, **settings)
        except (TypeError, ValueError) as error:
            raise TrainingError(f"{self.type}: {error}") from None
        return config


def make_method(name: str, claim: Claim, *, place: int) -> PeftMethod:
    """Make the class of a method's settings and return it with its defaults.

    Args:
        name: Name of the method in a study, PEFT's own in lower case.
        claim: What is true of it.
        place: Order among methods.

    Raises:
        ValueError: A field of PEFT is of a kind that no setting has, and is not refused.
    """
    peft = peft_fields()["methods"][name]
    refused = {**REFUSED, **claim.refused}
    settings = {key: _setting(name, key, each) for key, each in peft["fields"].items() if key not in refused}
    body: dict[str, Any] = {
        "__doc__": f"{claim.title} ({claim.reference}), with the fields of PEFT's `{peft['config']}`.",
        "__module__": __name__,
        "__annotations__": {"type": Literal[name]} | {key: kind for key, (kind, _) in settings.items()},
        "type": name,
        "place": place,
        "claim": claim,
        "config": peft["config"],
        "peft_type": name.upper(),
        "prefix": peft["prefix"],
        "start_at_zero": claim.start_at_zero,
        "refused": {key: why for key, why in refused.items() if key in peft["fields"]},
        "shared": claim.shared,
        **{key: default for key, (_, default) in settings.items()},
    }
    kind: type[PeftMethod] = type(peft["config"].removesuffix("Config"), (PeftMethod,), body)
    made: Any = dataclass(frozen=True, kw_only=True)(kind)
    with_defaults: PeftMethod = made()
    return with_defaults


def _setting(method: str, name: str, found: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return the type and the default of a setting."""
    kind, default = found["kind"], found["default"]
    if isinstance(kind, list):
        return Literal[tuple(kind)], default
    if kind not in KINDS:
        raise ValueError(f"{method}.{name}: a field of PEFT of kind {kind} has no setting; refuse it by name")
    return KINDS[kind], field(default_factory=dict) if kind.startswith("mapping") else default


METHODS = tuple(make_method(name, claim, place=10 + place) for place, (name, claim) in enumerate(CATALOGUE.items()))
