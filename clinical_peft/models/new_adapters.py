"""Putting a fresh adapter on a base network, and checking that it fits."""

from collections.abc import Iterable
from pathlib import Path

from peft import PeftModel, get_peft_model
from torch import nn
from transformers import PreTrainedModel

from clinical_peft.errors import TrainingError
from clinical_peft.methods import Method, layer_of
from clinical_peft.models.adapters import quiet_peft
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
    try:
        with quiet_peft():
            return get_peft_model(model, config)
    except ValueError as error:
        raise TrainingError(f"{method.type}: the adapter does not fit the base: {error}") from None


def require_targets(model: nn.Module, targets: Iterable[str]) -> None:
    """Check that a base has every layer that a method names; PEFT leaves out those that it does not find.

    Args:
        model: The base network, with or without adapters.
        targets: Names of layers, or ends of them from a dot on.

    Raises:
        TrainingError: One fits no layer.
    """
    names = [name for name, _ in model.named_modules()]
    absent = [target for target in targets if not any(f".{name}".endswith(f".{target}") for name in names)]
    if absent:
        raise TrainingError(
            f"target_modules: the adapter does not fit the base, which has no layer {', '.join(sorted(absent))}; its "
            f"layers end in {', '.join(sorted(_matrices(model)))}"
        )


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
