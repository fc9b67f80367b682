"""Saving a fine-tuned classifier, and loading it again.

A folder holds what the base does not: PEFT folders `clinical` and `task`, the head in `head` where no task adapter
carries it, or every weight in `full`; and `classifier.json`. Plain `transformers` and `peft` read it back, with the
same logits to the last bit for the same batch; `docs/models.md` prints the lines, which the tests run. `load_saved`
does this with checks.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file

from clinical_peft.errors import TrainingError
from clinical_peft.files import atomic_path, read_json
from clinical_peft.methods.method import TaskType
from clinical_peft.models.adapters import (
    load_adapter,
    quiet_peft,
    read_adapter_config,
    read_adapter_tensors,
    require_loaded,
    save_adapter,
)
from clinical_peft.models.bases import BaseIdentity, load_classifier, read_identity
from clinical_peft.models.classifiers import Classifier
from clinical_peft.models.folders import HEAD_FILE, copy_adapter, write_head, write_record
from clinical_peft.models.heads import float32_head
from clinical_peft.models.pooling import find_pooling
from clinical_peft.models.prompts import add_prompt, prompt_of
from clinical_peft.recipes import Precision
from clinical_peft.recipes.families import Family
from clinical_peft.recipes.variants import CLINICAL, TASK


def save_classifier(
    classifier: Classifier, folder: Path, *, base: Path, card: str, context: int, last_position: bool = False
) -> None:
    """Write a classifier's folder, whole or not at all.

    Args:
        classifier: The trained classifier.
        folder: Folder to write.
        base: Base folder that the classifier was built on.
        card: Text of the adapters' cards.
        context: Most tokens of a note.
        last_position: Whether it pools the last position of notes that are all padded to the context.
    """
    variant = classifier.variant
    with atomic_path(Path(folder)) as temporary:
        temporary.mkdir()
        if variant.full:
            classifier.network.save_pretrained(temporary / "full")
        else:
            _save_parts(classifier, temporary, base=Path(base), card=card)
        write_record(
            temporary,
            variant,
            base=classifier.base.name,
            revision=classifier.base.revision,
            classes=classifier.network.config.num_labels,
            context=context,
            last_position=last_position,
        )


def _save_parts(classifier: Classifier, folder: Path, *, base: Path, card: str) -> None:
    variant = classifier.variant
    head = _head_tensors(classifier.network, base, family=variant.family, task=TASK in variant.active)
    if head:
        write_head(folder, head)
    if variant.clinical == "trainable":
        assert classifier.adapted is not None
        save_adapter(classifier.adapted, folder / CLINICAL, base=classifier.base, card=card, adapter_name=CLINICAL)
    elif classifier.clinical_folder is not None:
        copy_adapter(classifier.clinical_folder, folder / CLINICAL)
    if TASK in variant.active:
        assert classifier.adapted is not None
        save_adapter(classifier.adapted, folder / TASK, base=classifier.base, card=card, adapter_name=TASK)


def _head_tensors(network: Any, base: Path, *, family: Family, task: bool) -> dict[str, torch.Tensor]:
    """Tensors that neither the base nor an adapter holds: the head, and a pooler drawn because the base has none.

    Args:
        network: Sequence classifier of `transformers`.
        base: Base folder.
        family: Kind of network.
        task: Whether there is a task adapter, which carries the head.
    """
    pooling = find_pooling(family)
    prefixes = [] if task else [f"{pooling.head}."]
    if pooling.pooler and not _has_pooler(base):
        prefixes.append(pooling.pooler)
    return {key: value for key, value in network.state_dict().items() if key.startswith(tuple(prefixes))}


def _has_pooler(base: Path) -> bool:
    for path in sorted(base.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            if any("pooler." in key for key in file.keys()):  # noqa: SIM118 - not a mapping
                return True
    return False


def load_saved(folder: Path, base: Path, *, precision: Precision = "fp32") -> Any:
    """Load what `save_classifier` wrote, for inference.

    Args:
        folder: Folder of the classifier.
        base: Base folder that it was trained on.
        precision: Type of the base's weights, as in the recipe.

    Returns:
        The sequence classifier of `transformers` in evaluation mode, adapters injected, nothing trainable.

    Raises:
        TrainingError: The folder belongs to another base, or a tensor in it is missing, strange, not finite or of
            another shape.
    """
    folder, base = Path(folder), Path(base)
    record, identity = read_json(folder / "classifier.json"), read_identity(base)
    if (record["base"], record["revision"]) != (identity.name, identity.revision):
        raise TrainingError(
            f"{folder}: the classifier belongs to base {record['base']} at revision {record['revision']}, but the base "
            f"here is {identity.name} at revision {identity.revision}"
        )
    if (folder / "full").exists():
        network: Any = _load_full(folder / "full", record["classes"], precision)
    else:
        network = load_classifier(base, record["classes"], seed=0, precision=precision)
    float32_head(network, record["family"])
    if not (folder / "full").exists():
        task = TASK in record["active_adapters"]
        _load_head(network, folder / "head", _head_tensors(network, base, family=record["family"], task=task))
    adapted = None
    if record["clinical"]:
        adapted = load_adapter(network, folder / CLINICAL, base=identity, adapter_name=CLINICAL, task_type=None)
        if record["clinical"] == "merged":
            network, adapted = adapted.merge_and_unload(safe_merge=True), None
    if TASK in record["active_adapters"]:
        if adapted is None:
            adapted = _load_task_adapter(network, folder / TASK, identity)
        else:
            stored = read_adapter_tensors(folder / TASK)
            with quiet_peft():
                adapted.load_adapter(str(folder / TASK), adapter_name=TASK, use_safetensors=True)
            require_loaded(adapted, stored, adapter_name=TASK, where=str(folder / TASK))
    if adapted is not None and prompt_of(network) is None:
        adapted.base_model.set_adapter(record["active_adapters"])
    return network.requires_grad_(False).eval()


def _load_task_adapter(network: Any, folder: Path, identity: BaseIdentity) -> PeftModel:
    """Load a task adapter that shares its network with no other."""
    has_prompt = read_adapter_config(folder, base=identity).is_prompt_learning
    task_type: TaskType | None = "SEQ_CLS" if has_prompt else None
    adapted = load_adapter(network, folder, base=identity, adapter_name=TASK, task_type=task_type)
    if has_prompt:
        add_prompt(network, adapted)
    return adapted


def _load_full(folder: Path, classes: int, precision: Precision) -> Any:
    network = load_classifier(folder, classes, seed=0, precision=precision, new=())
    _require_finite(network.state_dict(), where=folder)
    return network


def _load_head(network: Any, folder: Path, expected: Mapping[str, torch.Tensor]) -> None:
    """Put a saved head in place, and the pooler that was saved with it.

    Args:
        network: Sequence classifier of `transformers`, without adapters.
        folder: Folder of the head; it does not exist where nothing is expected.
        expected: The tensors that neither the base nor an adapter holds, with other values.

    Raises:
        TrainingError: The file is missing or damaged, or has other tensors than these.
    """
    file = folder / HEAD_FILE
    if not expected and not file.exists():
        return
    try:
        tensors = load_file(file)
    except (OSError, SafetensorError) as error:
        raise TrainingError(f"{file}: no readable head ({type(error).__name__}); fine-tune the model again") from None
    for key in sorted(expected.keys() ^ tensors.keys()):
        what = "is missing" if key in expected else "belongs to no head or pooler of this classifier"
        raise TrainingError(f"{file}: tensor {key} {what}; fine-tune the model again")
    for key, value in expected.items():
        if tensors[key].shape != value.shape:
            raise TrainingError(
                f"{file}: tensor {key}: expected shape {tuple(value.shape)}, found {tuple(tensors[key].shape)}; "
                "fine-tune the model again"
            )
    _require_finite(tensors, where=file)
    network.load_state_dict(tensors, strict=False)


def _require_finite(tensors: Mapping[str, torch.Tensor], *, where: Path) -> None:
    for key, value in tensors.items():
        if not torch.isfinite(value).all():
            raise TrainingError(f"{where}: tensor {key} holds values that are not finite; fine-tune the model again")
