"""Files of adapters and saved classifiers, for code that copies or writes them without building a network."""

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file

from clinical_peft.errors import DataError
from clinical_peft.files import read_json, sha256_file, write_json
from clinical_peft.recipes.variants import Variant

ADAPTER_WEIGHTS = "adapter_model.safetensors"
ADAPTER_CONFIG = "adapter_config.json"
HEAD_FILE = "model.safetensors"


def write_record(
    folder: Path, variant: Variant, *, base: str, revision: str, classes: int, context: int, last_position: bool
) -> None:
    """Write classifier.json: which base a saved classifier belongs to, what it consists of, and how it reads a note.

    Args:
        folder: Folder of the classifier.
        variant: What it consists of.
        base: Name of its base.
        revision: The base's revision.
        classes: Number of classes K.
        context: Most tokens of a note.
        last_position: Whether it pools the last position of notes that are all padded to the context.
    """
    write_json(
        folder / "classifier.json",
        {
            "base": base,
            "revision": revision,
            "family": variant.family,
            "classes": classes,
            "clinical": variant.clinical,
            "active_adapters": list(variant.active),
            "context": context,
            "pooling": variant.pooling,
            "pool_last_position": last_position,
        },
    )


def write_head(folder: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    """Write a head's tensors, named as in the network, into `folder`/head."""
    (folder / "head").mkdir()
    contiguous = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
    save_file(contiguous, folder / "head" / HEAD_FILE, metadata={"format": "pt"})


def parts_digests(base: Path, adapter: Path | None) -> dict[str, str]:
    """Identify a base and a clinical adapter by their content, without loading them.

    Args:
        base: Base folder; its base.json holds the digest of its weights.
        adapter: Adapter folder, or None.

    Returns:
        SHA-256 by part, `base` and, where there is one, `clinical adapter` (its weights and its configuration).

    Raises:
        DataError: There is no base.json, or no file of the adapter.
    """
    digests = {"base": str(read_json(base / "base.json")["sha256"])}
    if adapter is not None:
        files = [adapter / name for name in (ADAPTER_WEIGHTS, ADAPTER_CONFIG)]
        for file in files:
            if not file.exists():
                raise DataError(f"{file}: expected a file of the adapter, found none; train the adapter again")
        digests["clinical adapter"] = hashlib.sha256("".join(map(sha256_file, files)).encode()).hexdigest()
    return digests


def copy_adapter(source: Path, target: Path) -> None:
    """Copy an unchanged clinical adapter, less its task type, so that PEFT puts it onto a classifier."""
    target.mkdir()
    copy_weights(source, target)
    write_json(target / ADAPTER_CONFIG, read_json(source / ADAPTER_CONFIG) | {"task_type": None})
    if (source / "README.md").exists():
        shutil.copyfile(source / "README.md", target / "README.md")


def copy_weights(source: Path, target: Path) -> None:
    """Copy an adapter's weights from one folder into another."""
    shutil.copyfile(source / ADAPTER_WEIGHTS, target / ADAPTER_WEIGHTS)
