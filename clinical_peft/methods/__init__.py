"""Training methods, one module each: a module of this package that defines `METHOD` is a method of every study."""

from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Union

from clinical_peft.errors import ConfigError
from clinical_peft.methods.method import Abilities, Method, TrainingHooks

__all__ = ["METHODS", "PREFIXES", "Abilities", "AnyMethod", "Method", "TrainingHooks", "find_peft_method", "layer_of"]


def read_methods() -> dict[str, Method]:
    """Import every module of this package and return its methods, with their default settings, by type and in order.

    Raises:
        ConfigError: A module's method is incomplete, or two share a type.
    """
    methods: dict[str, Method] = {}
    for module in iter_modules(__path__):
        where = f"clinical_peft/methods/{module.name}.py"
        try:
            method: Method | None = getattr(import_module(f"{__name__}.{module.name}"), "METHOD", None)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"{where}: {error}; give every setting a default that passes its checks") from None
        if method is None:
            continue
        if method.peft_type is None and not method.trains_every_weight:
            raise ConfigError(f"{where}: peft_type: expected PEFT's name of the method, found none")
        if methods.setdefault(method.type, method) is not method:
            raise ConfigError(f"{where}: a second method has type {method.type}; rename one")
        if type(method).peft_config is Method.peft_config and not method.trains_every_weight:
            raise ConfigError(f"{where}: peft_config: expected a function that makes PEFT's configuration, found none")
    return {method.type: method for method in sorted(methods.values(), key=lambda method: method.place)}


METHODS = read_methods()

if TYPE_CHECKING:
    AnyMethod = Method
else:
    # By this union, pydantic and records of jobs find the class of settings by their type.
    AnyMethod = Union[tuple(type(method) for method in METHODS.values())]  # noqa: UP007 - its members are known at run time alone


def find_peft_method(peft_type: str) -> Method | None:
    """Return the method, with its default settings, of an adapter's configuration; None for one that is none here.

    Args:
        peft_type: As in `adapter_config.json`, or PEFT's enumeration of it.
    """
    name = str(peft_type).rsplit(".", 1)[-1]
    return next((method for method in METHODS.values() if method.peft_type == name), None)


PREFIXES = tuple(sorted({method.prefix for method in METHODS.values() if method.prefix}))
"""Beginnings of the names of adapters' tensors in the layers of a network."""


def layer_of(name: str) -> str | None:
    """Return the layer to which a tensor or module of an adapter belongs, by its name.

    Args:
        name: As in a network, such as `model.layers.0.self_attn.q_proj.lora_A.default.weight`.

    Returns:
        The layer's name, or None for what is no part of an adapter in a layer.

    Example:
        >>> layer_of("layers.0.self_attn.q_proj.lora_A.weight")
        'layers.0.self_attn.q_proj'
    """
    start = max(name.rfind(f".{prefix}") for prefix in PREFIXES)
    return name[:start] if start >= 0 else None
