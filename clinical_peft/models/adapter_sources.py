"""Checking the files of a clinical adapter that exists already before it is imported, without loading it."""

import re
from pathlib import Path
from typing import Any

from clinical_peft.errors import DataError
from clinical_peft.methods import METHODS, Method, find_peft_method
from clinical_peft.models.checkpoint_files import ADAPTER_FILES, check_json, safetensors_header

CONFIG, WEIGHTS = ADAPTER_FILES
FETCH = "fetch the adapter again"
PICKLED = ("adapter_model.bin", "adapter_model.pt")


def check_adapter_folder(folder: Path) -> dict[str, Any]:
    """Check that a folder holds a PEFT adapter that can be used here: its configuration, and whole plain weights.

    Args:
        folder: Folder of an adapter, as PEFT writes it.

    Returns:
        Its configuration.

    Raises:
        DataError: Something is missing, cut short, pickled or a Git LFS pointer, or the method is none of this package.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: expected the folder of an adapter, found none; correct path")
    if not (folder / WEIGHTS).exists():
        found = next((name for name in PICKLED if (folder / name).exists()), "none")
        remedy = "save the adapter as safetensors" if found != "none" else "correct path"
        raise DataError(f"{folder}: expected {WEIGHTS}, found {found}; {remedy}")
    config = check_json(folder / CONFIG, remedy=FETCH)
    if not safetensors_header(folder / WEIGHTS, remedy=FETCH):
        raise DataError(f"{folder / WEIGHTS}: expected the tensors of an adapter, found none; {FETCH}")
    _require_method(folder / CONFIG, config)
    for key in ("bias", "modules_to_save", "trainable_token_indices", "layer_replication"):
        if config.get(key) not in (None, [], {}, "none"):
            raise DataError(
                f"{folder / CONFIG}: {key}: expected an adapter that changes only layers, found one that changes more "
                "of its base; merge it into a base of kind local"
            )
    init = config.get("init_lora_weights")
    if isinstance(init, str) and init.lower().startswith(("pissa", "olora", "corda", "loftq", "lora_ga")):
        raise DataError(
            f"{folder / CONFIG}: init_lora_weights: expected an adapter of the base as it is, found one of a base "
            f"without its part ({init}); convert it to LoRA as PEFT documents"
        )
    return config


def method_of_adapter(folder: Path) -> Method:
    """Return the method, with its default settings, of an adapter whose folder has been checked."""
    method = find_peft_method(str(check_json(folder / CONFIG, remedy=FETCH).get("peft_type")))
    assert method is not None
    return method


def _require_method(file: Path, config: dict[str, Any]) -> None:
    kind = config.get("peft_type")
    if find_peft_method(str(kind)) is None:
        known = ", ".join(method.peft_type for method in METHODS.values() if method.peft_type)
        found = repr(kind) if isinstance(kind, str) else "none" if kind is None else type(kind).__name__
        raise DataError(f"{file}: peft_type: expected one of {known}, found {found}; use another adapter")


def refuse_stated_base(config: dict[str, Any], expected: str) -> str | None:
    """Explain why an adapter is not of a base, by the name that it states; None where the names agree or tell nothing.

    Args:
        config: The adapter's configuration.
        expected: Name of the base: `owner/name` on the Hub, or another.

    Example:
        >>> refuse_stated_base({"base_model_name_or_path": "meta-llama/Llama-2-7b-hf"}, "huggyllama/llama-7b")
        'expected an adapter of base huggyllama/llama-7b, found one of meta-llama/Llama-2-7b-hf'
        >>> refuse_stated_base({"base_model_name_or_path": "/models/llama"}, "huggyllama/llama-7b")
    """
    stated = config.get("base_model_name_or_path")
    if not is_hub_id(stated) or not is_hub_id(expected) or str(stated).lower() == expected.lower():
        return None
    return f"expected an adapter of base {expected}, found one of {stated}"


def is_hub_id(name: Any) -> bool:
    """Whether a name has the form of a repository on the Hub, which a folder's path has not."""
    return isinstance(name, str) and re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", name) is not None
