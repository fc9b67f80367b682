"""Properties and settings of a training method, in one record; imports no torch and no PEFT."""

import json
from collections.abc import Callable, Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

if TYPE_CHECKING:
    from peft import PeftConfig, PeftModel
    from torch import Tensor
    from transformers import PreTrainedModel

STRICT: dict[str, Any] = {"extra": "forbid"}
TaskType = Literal["CAUSAL_LM", "SEQ_CLS"]
"""PEFT's name of what a network is for, where it matters."""


REFUSED_OF_PROMPTS = {
    "modules_to_save": "a classifier saves its head by itself, and nothing else of the base is trained",
    **dict.fromkeys(
        ("token_dim", "num_transformer_submodules", "num_attention_heads", "num_layers"), "PEFT takes it from the base"
    ),
}
"""Fields of PEFT's prompts that are no settings here, with the reason."""


def also_named(names: Mapping[str, str]) -> dict[str, Any]:
    """Return the pydantic configuration of settings that PEFT calls by other names; its schema lists those too.

    Args:
        names: Names here by PEFT's names.
    """

    def add_names(schema: dict[str, Any]) -> None:
        for theirs, ours in names.items():
            schema["properties"][theirs] = schema["properties"][ours] | {"description": f"PEFT's name of `{ours}`"}

    extend: Callable[[dict[str, Any]], None] = add_names
    return STRICT | {"json_schema_extra": extend}


def require(condition: bool, message: str) -> None:
    """Raise `ValueError` with the message unless the condition holds."""
    if not condition:
        raise ValueError(message)


def require_from_one(settings: object, *names: str) -> None:
    """Require settings of the given names to be at least 1."""
    for name in names:
        value = getattr(settings, name)
        require(value >= 1, f"{name} must be at least 1, found {value}")


def require_adapted(dropout: float, target_modules: tuple[str, ...] | str) -> None:
    """Require settings that every method of adapted matrices has to be in their ranges."""
    require(0 <= dropout < 1, "dropout must be in [0, 1)")
    require(bool(target_modules), "target_modules must name at least one kind of layer")


def require_layers(settings: Mapping[str, Any]) -> None:
    """Require settings that choose blocks of a network to go together, as PEFT does."""
    blocks, pattern = settings.get("layers_to_transform"), settings.get("layers_pattern")
    require(pattern is None or blocks is not None, "layers_pattern needs layers_to_transform; set both or neither")
    by_name = not isinstance(settings["target_modules"], str)
    require(blocks is None or by_name, "layers_to_transform needs a list of target_modules, or null")


def as_lists(value: Any) -> Any:
    """Return a setting as PEFT takes it: tuples as lists."""
    return list(value) if isinstance(value, tuple) else value


@dataclass(frozen=True, kw_only=True)
class Abilities:
    """What can be done with a method.

    Attributes:
        pack: Documents may share a row: nothing is put before a row or handed to it.
        shard: A network that trains it can be sharded over GPUs: its tensors take part in matrix products of the base
            alone.
        four_bits: It can be trained on a base whose matrices are held in four bits.
        classify: Its adapter can be loaded onto a classifier, as a clinical adapter.
        merge: Its adapter can be added to the base's weights.
        retrain: Its saved adapter can be trained on.
        precede: Another adapter can come after its own in a forward pass.
        follow: Its adapter can come after another one in a forward pass.
        adapt_task: It can train the task adapter of a classifier on a decoder.
        adapt_encoder: It can train that of an encoder too: it puts nothing before the token that an encoder pools.
        fuse: Its adapters add up by concatenating their ranks.
    """

    pack: bool = True
    shard: bool = False
    four_bits: bool = True
    classify: bool = False
    merge: bool = False
    retrain: bool = False
    precede: bool = False
    follow: bool = False
    adapt_task: bool = False
    adapt_encoder: bool = False
    fuse: bool = False


class TrainingHooks:
    """What a method does while it trains; by default, nothing.

    Attributes:
        keep_from: Weights of an earlier evaluation than at this update are never kept.
    """

    keep_from: int = 0

    def after_update(self, step: int) -> None:
        """Act between the optimizer's step and the reset of the gradients.

        Args:
            step: Optimizer steps done so far, this one included.
        """

    def penalty(self) -> "Tensor | None":
        """Return a further term of an update's loss, a scalar with gradients, or None."""
        return None

    def state(self) -> "tuple[dict[str, Tensor], dict[str, Any]]":
        """Return what a checkpoint must hold besides the weights: tensors, and values that fit into JSON."""
        return {}, {}

    def restore(self, tensors: "Mapping[str, Tensor]", state: Mapping[str, Any]) -> None:
        """Restore what `state` returned."""

    def remaining_ranks(self) -> list[int]:
        """Return how many ranks are left to each adapted matrix; empty where none is taken away."""
        return []


@dataclass(frozen=True, kw_only=True)
class Method:
    """A method and its settings. A subclass adds its settings as fields, with defaults, and says what it can do.

    Attributes:
        type: Name of the method in a study.
        place: Order among methods in messages and in the schema.
        peft_type: PEFT's name of the method in an adapter's configuration, or None if it has none.
        prefix: Beginning of the names of its tensors in the layers of a network.
        start_at_zero: Parts of the names of tensors that are zero before training.
        hands_on_cache: Whether it hands every layer a cache of learned keys and values.
        trains_every_weight: Whether it trains the base itself; what it gives is a base folder and no adapter.
        peft_names: Names of settings by PEFT's names of them, where they differ; a study may use either.
        refused: Fields of PEFT's configuration that are no settings here, with the reason.
        optional: Settings that stand in a record only where they differ from their defaults.
        shared: Settings that two adapters in one network must have in common.
    """

    __pydantic_config__: ClassVar = STRICT
    place: ClassVar[int] = 100
    peft_type: ClassVar[str | None] = None
    prefix: ClassVar[str | None] = None
    start_at_zero: ClassVar[tuple[str, ...]] = ()
    hands_on_cache: ClassVar[bool] = False
    trains_every_weight: ClassVar[bool] = False
    peft_names: ClassVar[Mapping[str, str]] = {}
    refused: ClassVar[Mapping[str, str]] = {}
    optional: ClassVar[tuple[str, ...]] = ()
    shared: ClassVar[tuple[str, ...]] = ()
    type: str

    @property
    def can(self) -> Abilities:
        """What can be done with the method under these settings."""
        return Abilities()

    @property
    def title(self) -> str:
        """Name of the method on the card of an adapter."""
        return self.type

    @property
    def virtual_tokens(self) -> int:
        """How many positions of the context the method takes up."""
        return 0

    @property
    def takes_part_of_base(self) -> bool:
        """Whether its adapter begins as a part of the base's weights; see `clinical_peft.models.initial_parts`."""
        return False

    @property
    def counted(self) -> "Method":
        """The method with the settings alone on which its number of parameters depends."""
        return self

    @classmethod
    def setting_names(cls) -> list[str]:
        """Return the names of the settings, without the method's own."""
        return [field.name for field in fields(cls) if field.name != "type"]

    def record(self) -> dict[str, Any]:
        """Return the settings as JSON-ready mapping, without optional ones that have their defaults."""
        record: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        defaults = {field.name: _default_of(field) for field in fields(self) if field.name in self.optional}
        return {key: value for key, value in record.items() if key not in defaults or value != defaults[key]}

    @property
    def has_several_rates(self) -> bool:
        """Whether `rate_factor` differs between tensors."""
        return False

    def rate_factor(self, name: str, dimensions: int) -> float:
        """Return the factor of the learning rate of one of the method's tensors.

        Args:
            name: Name of the tensor in the network.
            dimensions: Number of its dimensions.
        """
        return 1.0

    def peft_config(
        self, *, total_steps: int, task_type: TaskType | None = "CAUSAL_LM", base: Path | None = None
    ) -> "PeftConfig":
        """Translate the settings into PEFT's configuration.

        Args:
            total_steps: Optimizer steps of the run, by which a method may lay out its phases.
            task_type: `CAUSAL_LM` for language modelling; None on a classifier, whose head is not PEFT's business.
            base: Base folder, whose tokenizer may be needed.

        Raises:
            TrainingError: The settings cannot work, for instance in so short a run.
            ValueError: The method has no adapter.
        """
        raise ValueError(f"{self.type}: the method has no adapter")

    def check_base(self, network: "PreTrainedModel") -> None:
        """Check that the settings suit a base, beyond what `clinical_peft.models.new_adapters` checks for all.

        Raises:
            TrainingError: They do not.
        """

    def hooks(self, model: "PeftModel") -> TrainingHooks:
        """Return what the method does while it trains an adapter.

        Args:
            model: Network with one adapter of this method, named `default`.
        """
        return TrainingHooks()


def _default_of(field: Any) -> Any:
    """Return a setting's default as a record holds it."""
    value = field.default if field.default_factory is MISSING else field.default_factory()
    return json.loads(json.dumps(value))


@dataclass(frozen=True, kw_only=True)
class VirtualTokens(Method):
    """A method that learns vectors as virtual tokens.

    Attributes:
        num_virtual_tokens: Their number; they take positions of the base's context.
    """

    refused: ClassVar[Mapping[str, str]] = REFUSED_OF_PROMPTS
    num_virtual_tokens: int

    def __post_init__(self) -> None:
        require_from_one(self, "num_virtual_tokens")

    @property
    def can(self) -> Abilities:
        """A second document of a row would see no virtual tokens of its own.

        PEFT keeps them beside the network, so that they share it with no other adapter. An encoder pools its first
        token, which would be a virtual one.
        """
        return Abilities(pack=False, adapt_task=True)

    @property
    def virtual_tokens(self) -> int:
        """How many positions of the context the method takes up."""
        return self.num_virtual_tokens
