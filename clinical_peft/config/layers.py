"""Settings that may be set at several levels of a configuration; the most specific one wins."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from clinical_peft.config.sections import Partial
from clinical_peft.config.study import describe_problem
from clinical_peft.errors import ConfigError
from clinical_peft.methods import METHODS, Method, SettingError, name_settings
from clinical_peft.recipes import FinetuneRecipe, LanguageRecipe

Recipe = TypeVar("Recipe", LanguageRecipe, FinetuneRecipe, Method)


def deep_merge(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Merge mappings, a later one winning; nested mappings are merged, every other value is replaced."""
    merged: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            if isinstance(value, Mapping):
                below = merged.get(key)
                merged[key] = deep_merge(below if isinstance(below, Mapping) else {}, value)
            else:
                merged[key] = value
    return merged


def resolve(recipe: type[Recipe], place: str, layers: Mapping[str, Partial]) -> Recipe:
    """Merge the layers of a recipe and check the result.

    Args:
        recipe: Type of the result.
        place: Place in the configuration that a problem is put down to, unless a layer holds its key.
        layers: What is written at each place, the default first.

    Raises:
        ConfigError: An unknown key, or a value outside its range.
    """
    if issubclass(recipe, Method):
        method = next(each for each in METHODS.values() if type(each) is recipe)
        layers = {name: _named(layer, method, name) for name, layer in layers.items()}
    try:
        return TypeAdapter(recipe).validate_python(deep_merge(*layers.values()))
    except ValidationError as error:
        raise ConfigError(
            "config: " + "; ".join(_where(problem, place, layers) for problem in error.errors())
        ) from None


def _named(settings: Partial, method: Method, place: str) -> Partial:
    """Give settings the names that they have here; see `clinical_peft.methods.name_settings`."""
    try:
        return name_settings(settings, method)
    except SettingError as error:
        raise ConfigError(f"config: {place}.{error.key}: {error}") from None


def _where(problem: Any, place: str, layers: Mapping[str, Partial]) -> str:
    """Describe a problem by the place where its key is written, or by that of the whole recipe."""
    written = [name for name, layer in layers.items() if problem["loc"] and problem["loc"][0] in layer]
    return describe_problem(problem, written[-1] if written else place)
