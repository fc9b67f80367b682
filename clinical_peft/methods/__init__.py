"""Training methods: a module of this package that defines `METHOD` is a method of every study, as is every one of
`METHODS` that a module makes from data (`clinical_peft.methods.catalogue`).
"""

from collections.abc import Mapping
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any, Union

from clinical_peft.errors import ConfigError
from clinical_peft.methods.method import Abilities, Method, TrainingHooks
from clinical_peft.methods.snapshot import BY_WORKFLOW, peft_fields

__all__ = [
    "METHODS",
    "PREFIXES",
    "Abilities",
    "AnyMethod",
    "Method",
    "SettingError",
    "TrainingHooks",
    "find_peft_method",
    "layer_of",
    "name_settings",
]


def read_methods() -> dict[str, Method]:
    """Import every module of this package and return its methods, with their default settings, by type and in order.

    Raises:
        ConfigError: A module's method is incomplete, or two share a type.
    """
    methods: dict[str, Method] = {}
    for module in iter_modules(__path__):
        where = f"clinical_peft/methods/{module.name}.py"
        try:
            found = import_module(f"{__name__}.{module.name}")
        except (TypeError, ValueError) as error:
            raise ConfigError(f"{where}: {error}; give every setting a default that passes its checks") from None
        single: Method | None = getattr(found, "METHOD", None)
        made: tuple[Method, ...] = getattr(found, "METHODS", ())
        for method in made if single is None else (single,):
            if method.peft_type is None and not method.trains_every_weight:
                raise ConfigError(f"{where}: peft_type: expected PEFT's name of the method, found none")
            if methods.setdefault(method.type, method) is not method:
                raise ConfigError(f"{where}: a second method has type {method.type}; rename one")
            if type(method).peft_config is Method.peft_config and not method.trains_every_weight:
                raise ConfigError(
                    f"{where}: peft_config: expected a function that makes PEFT's configuration, found none"
                )
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


class SettingError(ValueError):
    """A setting that a method does not have.

    Attributes:
        key: The setting.
    """

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


def name_settings(settings: Mapping[str, Any], method: Method) -> dict[str, Any]:
    """Give settings the names that they have here where PEFT's names are used, and check that a method has them.

    Args:
        settings: Settings by name, with or without the method's type.
        method: The method, whatever its settings.

    Returns:
        The settings by the names of the method's fields.

    Raises:
        SettingError: A setting is unknown or refused, or is given under both names, or is true or false where a number
            is expected.
    """
    known = method.setting_names()
    named: dict[str, Any] = {}
    for key, value in settings.items():
        name = method.peft_names.get(key, key)
        if name not in ("type", *known):
            raise SettingError(key, _explain(key, method, known))
        if name != key and name in settings:
            raise SettingError(key, f"expected one name of the setting, found {name} too; remove one")
        if isinstance(value, bool) and type(getattr(method, name)) in (int, float):
            raise SettingError(key, f"expected a number, found {str(value).lower()}")
        named[name] = value
    return named


def _explain(key: str, method: Method, known: list[str]) -> str:
    """Explain why a method has no such setting."""
    if key in method.refused:
        return f"this field of PEFT is not a setting of {method.type}: {method.refused[key]}"
    peft = peft_fields()["methods"].get(str(method.peft_type).lower())
    if peft is not None and key in BY_WORKFLOW:
        return f"this field of PEFT is not a setting of {method.type}: the workflow sets it"
    return f"unknown key; {method.type} has {', '.join(known) or 'no settings'}"
