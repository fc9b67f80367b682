"""Saving and loading adapters with checks.

PEFT loads an adapter whose tensors are missing, or that was trained on another base, without an error; here
both are refused. Only safetensors are read.

A tensor of zeros is refused in two cases. Some tensors start at zero (LoRA's B, AdaLoRA's E, the gates of adaption
prompts): if all of them are still zero, the adapter was never trained. Every other tensor starts and stays non-zero: if
it is all zeros, it was lost on saving.
"""

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import PeftConfig, PeftModel, PeftType, get_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import PreTrainedModel

from clinical_peft.errors import DataError, TrainingError
from clinical_peft.files import atomic_path
from clinical_peft.methods import find_peft_method, layer_of
from clinical_peft.methods.method import TaskType
from clinical_peft.models.bases import BaseIdentity
from clinical_peft.models.checkpoint_files import require_content, safetensors_header
from clinical_peft.models.folders import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from clinical_peft.models.four_bit import parameter_size
from clinical_peft.models.initial_parts import as_plain_lora, initial_of

logger = logging.getLogger(__name__)

PEFT_PREFIX = "base_model.model."  # before the names of a network's layers in PEFT's files
TRAIN_AGAIN = "train the adapter again, or fetch it again"

# PEFT takes values of any type and fails on them later, each in its own way.
CONFIG_TYPES: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("r", "init_r", "target_r", "num_virtual_tokens", "adapter_len", "adapter_layers"), (int,)),
    **dict.fromkeys(("lora_alpha", "lora_dropout"), (int, float)),
    **dict.fromkeys(("rank_pattern", "alpha_pattern"), (dict,)),
    "target_modules": (str, list),
}


def trainable_parameters(model: nn.Module) -> tuple[int, int]:
    """Return how many parameters are trainable and how many there are in all; tied weights count once."""
    sizes = [(parameter_size(parameter), parameter.requires_grad) for parameter in model.parameters()]
    return sum(size for size, trainable in sizes if trainable), sum(size for size, _ in sizes)


def save_adapter(
    model: PeftModel, folder: Path, *, base: BaseIdentity, card: str, adapter_name: str = "default"
) -> None:
    """Write an adapter as PEFT's own files: adapter_config.json, adapter_model.safetensors and a README.md card.

    Args:
        model: Network that carries the adapter.
        folder: Folder to write, whole or not at all.
        base: Base that the adapter belongs to; recorded in the configuration.
        card: Text of the card.
        adapter_name: Which adapter of the network.

    Raises:
        TrainingError: A tensor is empty, not finite or zero where it cannot be after training.
    """
    _refuse_name(adapter_name)
    with quiet_peft():
        state = get_peft_model_state_dict(model, adapter_name=adapter_name, save_embedding_layers=False)
    state = {key: value.detach().cpu().contiguous() for key, value in state.items()}
    record = _config_record(model.peft_config[adapter_name], base)
    initial = initial_of(model, adapter_name)
    if initial is not None:
        state, record = as_plain_lora(state, record, initial)
    _check_tensors(state, record, where=str(folder))
    with atomic_path(Path(folder)) as temporary:
        temporary.mkdir()
        save_file(state, temporary / ADAPTER_WEIGHTS, metadata={"format": "pt"})
        (temporary / ADAPTER_CONFIG).write_text(json.dumps(record, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        (temporary / "README.md").write_text(card, encoding="utf-8")


def read_adapter_config(folder: Path, *, base: BaseIdentity) -> PeftConfig:
    """Read an adapter's configuration and check that it belongs to a base.

    Raises:
        TrainingError: There is no adapter, its configuration is malformed, its weights are not safetensors, or it
            belongs to another base.
    """
    folder = Path(folder)
    if (folder / "base.json").exists() and not (folder / ADAPTER_CONFIG).exists():
        raise TrainingError(
            f"{folder}: expected an adapter, found a whole network, as full fine-tuning writes it; use it as a base of "
            "kind local"
        )
    if not (folder / ADAPTER_CONFIG).exists() or not (folder / ADAPTER_WEIGHTS).exists():
        raise TrainingError(f"{folder}: expected {ADAPTER_CONFIG} and {ADAPTER_WEIGHTS}; pickled adapters are not read")
    _read_config_record(folder)
    try:
        config = PeftConfig.from_pretrained(str(folder))
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise _malformed(folder, f"PEFT cannot read it ({type(error).__name__}: {error})") from None
    found = (config.base_model_name_or_path, config.revision)
    if found != (base.name, base.revision):
        raise TrainingError(
            f"{folder}: the adapter belongs to base {found[0]} at revision {found[1]}, but the base here is "
            f"{base.name} at revision {base.revision}; train the adapter on this base"
        )
    return config


def load_adapter(
    model: PreTrainedModel,
    folder: Path,
    *,
    base: BaseIdentity,
    adapter_name: str = "default",
    task_type: TaskType | None = "CAUSAL_LM",
    trainable: bool = False,
) -> PeftModel:
    """Load an adapter onto a base and check every tensor.

    Of a prompt method the prompt is saved without its encoder, so such an adapter cannot be trained further.

    Args:
        model: The base network.
        folder: Adapter folder.
        base: Base that the network comes from.
        adapter_name: Name under which the adapter is known in the network.
        task_type: None to load the adapter of a language model onto a classifier, without what it changes in the
            vocabulary layer.
        trainable: Whether the adapter's tensors require gradients.

    Raises:
        TrainingError: The adapter belongs to another base, its tensors are missing, empty, not finite, zero where they
            cannot be after training, or do not fit.
    """
    _refuse_name(adapter_name)
    folder = Path(folder)
    config = read_adapter_config(folder, base=base)
    stored = read_adapter_tensors(folder)
    if task_type is None:
        stored = _drop_vocabulary_layer(stored, config, where=str(folder))
    config.task_type = task_type
    config.inference_mode = not trainable
    if not trainable:
        _switch_off_layer_dropout(config)
    try:
        with quiet_peft():
            adapted = PeftModel.from_pretrained(
                model,
                str(folder),
                adapter_name=adapter_name,
                config=config,
                is_trainable=trainable,
                use_safetensors=True,
            )
    except (RuntimeError, KeyError, ValueError) as error:
        raise TrainingError(f"{folder}: the adapter does not fit the base: {error}") from None
    except (TypeError, AttributeError) as error:
        raise _malformed(folder, f"PEFT cannot use it ({type(error).__name__}: {error})") from None
    # PEFT rounds some methods' tensors to the type of the base.
    for name, parameter in adapted.named_parameters():
        value = stored.get(_stored_name(name, adapter_name))
        if value is not None:
            parameter.data = value.to(parameter.device)
    require_loaded(adapted, stored, adapter_name=adapter_name, where=str(folder))
    return adapted


def _switch_off_layer_dropout(config: PeftConfig) -> None:
    """Drop dropout that PEFT ties to a layer's mode: beside a trained adapter, a frozen one would have it."""
    for name in ("rank_dropout", "module_dropout"):
        if getattr(config, name, None):
            setattr(config, name, 0.0)


def is_of_vocabulary_layer(key: str) -> bool:
    """Return whether a tensor of an adapter, by its name, changes the layer that predicts tokens.

    That layer is outside the body, which holds all others; a classifier lacks it. Tensors that all layers share (VeRA)
    belong to PEFT's wrapper and to no layer.
    """
    layer = layer_of(key.removeprefix(PEFT_PREFIX))
    return layer is not None and "." not in layer and not PEFT_PREFIX.startswith(f"{layer}.")


def _drop_vocabulary_layer(
    stored: dict[str, torch.Tensor], config: PeftConfig, *, where: str
) -> dict[str, torch.Tensor]:
    """Drop the vocabulary layer from an adapter's tensors, and from the ranks in its configuration.

    Raises:
        TrainingError: No tensor remains.
    """
    kept = {key: value for key, value in stored.items() if not is_of_vocabulary_layer(key)}
    if not kept:
        raise TrainingError(
            f"{where}: the adapter changes only the vocabulary layer, which a classifier lacks; train one with "
            "layers of the base's body among its target_modules"
        )
    if len(kept) < len(stored):
        logger.info("%s: a classifier has no vocabulary layer and takes the rest of the adapter", where)
    if pattern := getattr(config, "rank_pattern", None):
        config.rank_pattern = {key: ranks for key, ranks in pattern.items() if not is_of_vocabulary_layer(key)}
    return kept


def read_adapter_tensors(folder: Path) -> dict[str, torch.Tensor]:
    """Read an adapter's tensors.

    Raises:
        TrainingError: The file is damaged, or a tensor in it is empty, not finite or zero where it cannot be after
            training.
    """
    folder = Path(folder)
    try:
        safetensors_header(folder / ADAPTER_WEIGHTS, remedy=TRAIN_AGAIN)
        tensors = load_file(folder / ADAPTER_WEIGHTS)
    except DataError as error:
        raise TrainingError(str(error)) from None
    except SafetensorError:
        raise TrainingError(f"{folder / ADAPTER_WEIGHTS}: damaged file; {TRAIN_AGAIN}") from None
    _check_tensors(tensors, _read_config_record(folder), where=str(folder))
    return tensors


def require_whole_adapter(folder: Path, *, where: str) -> None:
    """Check an adapter that comes from elsewhere, whatever base it belongs to.

    Args:
        folder: Adapter folder.
        where: Where it comes from, for the message.

    Raises:
        TrainingError: A file is not whole, the configuration is malformed, or a tensor is empty, not finite or zero
            where it cannot be after training.
    """
    try:
        read_adapter_tensors(folder)
    except TrainingError as error:
        what = str(error).replace(f"{folder}/", "").replace(f"{folder}: ", "")
        raise TrainingError(f"{where}: {what}") from None


def _read_config_record(folder: Path) -> dict[str, Any]:
    """Read adapter_config.json and check the form of what is used of it here."""
    try:
        require_content(folder / ADAPTER_CONFIG, remedy=TRAIN_AGAIN)
        record = json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    except DataError as error:
        raise TrainingError(str(error)) from None
    except ValueError as error:
        raise _malformed(folder, f"not valid JSON ({type(error).__name__})") from None
    if not isinstance(record, dict):
        raise _malformed(folder, f"expected a JSON object, found {type(record).__name__}")
    known = [kind.value for kind in PeftType]
    if record.get("peft_type") not in known:
        found = repr(record["peft_type"]) if "peft_type" in record else "none"
        raise _malformed(folder, f"peft_type: expected one of {', '.join(known)}, found {found}")
    for key, kind in CONFIG_TYPES.items():
        value = record.get(key)
        if value is not None and (not isinstance(value, kind) or isinstance(value, bool)):
            names = " or ".join(each.__name__ for each in kind)
            raise _malformed(folder, f"{key}: expected {names}, found {value!r}")
    return record


def _malformed(folder: Path, what: str) -> TrainingError:
    return TrainingError(f"{folder / ADAPTER_CONFIG}: {what}; train the adapter again, or fix the file")


def require_loaded(model: PeftModel, stored: dict[str, torch.Tensor], *, adapter_name: str, where: str) -> None:
    """Check that a network's adapter has exactly the stored tensors.

    Raises:
        TrainingError: A tensor is missing on either side or differs.
    """
    with quiet_peft():
        loaded = get_peft_model_state_dict(model, adapter_name=adapter_name, save_embedding_layers=False)
    unmatched = sorted(set(stored) ^ set(loaded))
    if unmatched:
        raise TrainingError(
            f"{where}: {len(unmatched)} tensors of the adapter are missing in the file or in the network, for instance "
            f"{unmatched[0]}; the adapter was trained on another network or with other settings"
        )
    changed = [key for key, value in stored.items() if not torch.equal(value, loaded[key].cpu())]
    if changed:
        raise TrainingError(f"{where}: {len(changed)} tensors were not loaded as stored, for instance {changed[0]}")


@contextmanager
def quiet_peft() -> Iterator[None]:
    """Silence warnings of PEFT that no user can act on, or that are checked and raised here."""
    with warnings.catch_warnings():
        # PEFT asks transformers for a renamed property, and takes AdaLoRA's masks for LoRA's rank settings.
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)
        warnings.filterwarnings("ignore", message="The following rank_pattern keys", category=RuntimeWarning)
        warnings.filterwarnings("ignore", message=r"Adapter .* tensor\(s\) have invalid shape")
        warnings.filterwarnings("ignore", message="Found missing adapter keys")
        warnings.filterwarnings("ignore", message="Unsupported layer type .* encountered")
        yield


def _refuse_name(adapter_name: str) -> None:
    # PEFT recognises adapter tensors by the substring "lora", so such a name mixes them up.
    if "lora" in adapter_name.lower():
        raise TrainingError(f"adapter name {adapter_name!r}: must not contain 'lora'; choose another name")


def _stored_name(name: str, adapter_name: str) -> str:
    # PEFT stores DoRA's magnitudes as they were before they became a layer.
    return name.replace(f".{adapter_name}", "").replace("lora_magnitude_vector.weight", "lora_magnitude_vector")


def _config_record(config: PeftConfig, base: BaseIdentity) -> dict[str, Any]:
    record = config.to_dict()
    record.update(base_model_name_or_path=base.name, revision=base.revision, inference_mode=True)
    if record.get("tokenizer_name_or_path"):
        record.update(tokenizer_name_or_path=base.name, tokenizer_kwargs=None)
    return {key: sorted(value) if isinstance(value, set) else value for key, value in record.items()}


def _check_tensors(tensors: dict[str, torch.Tensor], record: dict[str, Any], *, where: str) -> None:
    if not tensors:
        raise TrainingError(f"{where}: the adapter has no tensors; train it again")
    # AdaLoRA may leave a matrix without any rank; its tensors are then rightly empty.
    pattern = {key: ranks for key, ranks in (record.get("rank_pattern") or {}).items() if isinstance(ranks, list)}
    pruned = {layer_of(key) for key, ranks in pattern.items() if not any(ranks)}
    for key, value in tensors.items():
        if value.numel() == 0 and layer_of(key.removeprefix(PEFT_PREFIX)) not in pruned:
            raise TrainingError(f"{where}: tensor {key} is empty; it was saved before its parts were gathered")
        if not torch.isfinite(value).all():
            raise TrainingError(f"{where}: tensor {key} holds values that are not finite; train the adapter again")
    method = find_peft_method(str(record.get("peft_type")))
    _refuse_zeros(tensors, method.start_at_zero if method else (), where=where)


def _refuse_zeros(tensors: dict[str, torch.Tensor], start_at_zero: tuple[str, ...], *, where: str) -> None:
    zero = {key for key, value in tensors.items() if value.numel() and not value.any()}
    initially_zero = [key for key in tensors if any(part in key for part in start_at_zero)]
    if initially_zero and zero.issuperset(initially_zero):
        raise TrainingError(
            f"{where}: the adapter does nothing: every {start_at_zero[0]} is zero, as before training; train it again"
        )
    # A head saved with the adapter has a bias, which starts at zero and may stay there.
    lost = sorted(key for key in zero.difference(initially_zero) if not key.endswith(".bias"))
    if lost:
        raise TrainingError(f"{where}: tensor {lost[0]} is zero; it was saved before its parts were gathered")
