"""Putting a fresh adapter on a base network, and checking that it fits."""

import re
from collections.abc import Iterable
from pathlib import Path

from peft import PeftConfig, PeftModel, get_peft_model
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from clinical_peft.errors import TrainingError
from clinical_peft.methods import Method, layer_of
from clinical_peft.models.adapters import quiet_peft
from clinical_peft.models.initial_parts import keep_initial
from clinical_peft.models.positions import longest_sequence


def add_adapter(
    model: PreTrainedModel, method: Method, *, total_steps: int, context: int, base: Path | None = None
) -> PeftModel:
    """Put a fresh, trainable adapter on a base, whose own weights are frozen.

    Args:
        model: The base network.
        method: The method and its settings.
        total_steps: Optimizer steps of the run.
        context: Longest sequence, in real tokens, that the adapted network will read.
        base: Base folder, whose tokenizer reads the initial text of prompt tuning.

    Returns:
        The adapted network; the adapter's name is `default`.

    Raises:
        TrainingError: The settings cannot work, or the adapter does not fit the network.
    """
    config = method.peft_config(total_steps=total_steps, base=base)
    method.check_base(model)
    require_positions(model, context=context, prompt=method.virtual_tokens)
    require_targets(model, getattr(config, "target_modules", None) or ())
    require_patterns(model, config)
    try:
        with quiet_peft():
            adapted = get_peft_model(model, config)
    except (RuntimeError, TypeError, ValueError) as error:
        raise TrainingError(f"{method.type}: the adapter does not fit the base: {one_line(error)}") from None
    if method.takes_part_of_base:
        keep_initial(adapted, "default")
    return adapted


def one_line(error: Exception) -> str:
    """Return the message of an error in one line."""
    return " ".join(str(error).split())


def expand_all_linear(model: nn.Module, config: PeftConfig, *, apart: tuple[str, ...]) -> None:
    """Name every linear layer of a classifier where a configuration asks for all; PEFT would take the head too.

    Args:
        model: Sequence classifier of `transformers`, with or without adapters.
        config: Configuration of an adapter; its `target_modules` is changed.
        apart: Beginnings of the names of layers that are not taken.
    """
    if getattr(config, "target_modules", None) != "all-linear":
        return
    layers = {name: module for name, module in model.named_modules() if isinstance(module, BaseTunerLayer)}
    plain = {name for name, module in model.named_modules() if isinstance(module, nn.Linear | Conv1D)}
    inner = tuple(f"{name}." for name in layers)
    adapted = {name for name, module in layers.items() if isinstance(module.get_base_layer(), nn.Linear | Conv1D)}
    found = {name for name in plain | adapted if not name.startswith(inner + apart)}
    config.target_modules = sorted(found)


def require_targets(model: nn.Module, targets: Iterable[str] | str) -> None:
    """Check that a base has every layer that a method names; PEFT leaves out those that it does not find.

    Args:
        model: The base network, with or without adapters.
        targets: Names of layers, or ends of them from a dot on. A regular expression is left to PEFT, which refuses one
            that fits no layer.

    Raises:
        TrainingError: One fits no layer.
    """
    if isinstance(targets, str):
        return
    names = [name for name, _ in model.named_modules()]
    absent = [target for target in targets if not any(f".{name}".endswith(f".{target}") for name in names)]
    if absent:
        raise TrainingError(
            f"target_modules: the adapter does not fit the base, which has no layer {', '.join(sorted(absent))}; its "
            f"layers end in {', '.join(sorted(_matrices(model)))}"
        )


def require_patterns(model: nn.Module, config: PeftConfig) -> None:
    """Check that every pattern of layers fits one; PEFT leaves out those that fit none.

    Args:
        model: The base network, with or without adapters.
        config: Configuration of an adapter.

    Raises:
        TrainingError: A pattern fits no layer, or is no regular expression.
    """
    names = [name for name, _ in model.named_modules()]
    for field in ("rank_pattern", "alpha_pattern", "lambda_pattern", "n_frequency_pattern"):
        for pattern in getattr(config, field, None) or ():
            try:
                fits = any(re.match(rf"(.*\.)?({pattern})$", name) for name in names)
            except re.error as error:
                raise TrainingError(f"{field}: {pattern}: no regular expression: {error}") from None
            if not fits:
                raise TrainingError(f"{field}: {pattern}: the base has no such layer; correct the name")


def _matrices(model: nn.Module) -> set[str]:
    """Return the last parts of the names of layers that hold a matrix, those of adapters left out."""
    own = ((name, dict(module.named_parameters(recurse=False))) for name, module in model.named_modules())
    found = (name.removesuffix(".base_layer") for name, held in own if "weight" in held and held["weight"].ndim == 2)
    return {name.rsplit(".", 1)[-1] for name in found if layer_of(name) is None}


def require_positions(model: PreTrainedModel, *, context: int, prompt: int = 0) -> None:
    """Check that a base has a position for every token that it will read.

    Args:
        model: The base network.
        context: Longest sequence, in real tokens.
        prompt: Virtual tokens in front of it.

    Raises:
        TrainingError: It has too few.
    """
    longest = longest_sequence(model)
    if longest is None or prompt + context <= longest:
        return
    if not prompt:
        raise TrainingError(f"context is {context} tokens, but the base has {longest} positions; lower context")
    raise TrainingError(
        f"a prompt of {prompt} virtual tokens and a context of {context} tokens make {prompt + context} "
        f"positions, but the base has {longest}; lower num_virtual_tokens or context"
    )
