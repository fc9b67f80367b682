"""What a folder of a network must hold before transformers reads it: whole files of plain tensors.

transformers meets a Git LFS pointer, a truncated shard or packed four-bit matrices with errors that name neither the
file nor the remedy. Headers alone are read here, so that the checks take milliseconds whatever the size.
"""

import json
import logging
import os
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from clinical_peft.errors import DataError
from clinical_peft.files import read_json

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
VOCABULARIES = ("tokenizer.model", "vocab.txt", "vocab.json", "spiece.model", "sentencepiece.bpe.model")
PICKLES = (".bin", ".pt", ".pth", ".ckpt")
LFS_POINTER = b"version https://git-lfs.github.com/spec/"
LARGEST_HEADER = 100_000_000  # bytes, as the safetensors format demands
FLOATS = {"F64", "F32", "F16", "BF16"}
# Parts of names that only packed matrices have.
PACKED = (".qweight", ".qzeros", ".weight_packed", ".SCB", ".absmax", ".weight_scale", ".weight_scale_inv")
FETCH = "fetch it again (`git lfs pull` in a clone, or a new download)"
PREPARE_AGAIN = "prepare the base again: delete its folder, then run the same command"

logger = logging.getLogger(__name__)

Header = dict[str, dict[str, Any]]


def check_checkpoint(folder: Path, *, remedy: str = FETCH) -> None:
    """Check the files of a network and its tokenizer.

    Args:
        folder: Holds config.json, weights and a tokenizer.
        remedy: What a user does about a file that is not whole.

    Raises:
        DataError: A file is missing, empty, cut short or a Git LFS pointer, the weights are pickled or quantised, or
            the folder holds an adapter alone.
    """
    folder = Path(folder)
    files = check_weights(folder, remedy=remedy)
    for name in (*TOKENIZER_FILES, "config.json", "generation_config.json"):
        if (folder / name).exists():
            check_json(folder / name, remedy=remedy)
    for name in (*VOCABULARIES, "merges.txt"):
        if (folder / name).exists():
            require_content(folder / name, remedy=remedy)
    if not (folder / "config.json").exists():
        raise DataError(f"{folder / 'config.json'}: expected the configuration of a network, found none; {remedy}")
    _refuse_quantised(folder, files)


def check_weights(folder: Path, *, remedy: str = FETCH) -> dict[Path, Header]:
    """Check the weights that transformers would read in a folder.

    Args:
        folder: Holds model.safetensors, or model.safetensors.index.json and the shards that it names.
        remedy: What a user does about a file that is not whole.

    Returns:
        The header of each file, by its path.

    Raises:
        DataError: There are none, or one is missing, empty, cut short or a Git LFS pointer.
    """
    folder = Path(folder)
    require_safetensors([file.name for file in folder.glob("*")], where=str(folder))
    if (folder / WEIGHTS).exists():
        return {folder / WEIGHTS: safetensors_header(folder / WEIGHTS, remedy=remedy)}
    index = folder / INDEX
    if not index.exists():
        found = min(file.name for file in folder.glob("*.safetensors"))
        raise DataError(f"{folder}: expected {WEIGHTS} or {INDEX}, found {found} alone; {remedy}")
    listed = check_json(index, remedy=remedy).get("weight_map")
    if not isinstance(listed, dict) or not listed:
        raise DataError(f"{index}: weight_map: expected file names by tensor, found none; {remedy}")
    headers = {}
    for name in sorted(set(map(str, listed.values()))):
        file = folder / name
        if Path(name).name != name or not file.exists():
            raise DataError(f"{file}: expected a shard that {INDEX} names, found none; {remedy}")
        headers[file] = safetensors_header(file, remedy=remedy)
        lost = [tensor for tensor, shard in listed.items() if shard == name and tensor not in headers[file]]
        if lost:
            raise DataError(f"{file}: expected tensor {lost[0]}, as {INDEX} says, found none; {remedy}")
    return headers


def require_safetensors(names: Iterable[str], *, where: str) -> None:
    """Refuse a base that has no weights as safetensors.

    Raises:
        DataError: Among the file names is no *.safetensors of a network.
    """
    names = sorted(names)
    if any(name.endswith(".safetensors") and name not in ADAPTER_FILES for name in names):
        return
    if set(names) & set(ADAPTER_FILES):
        raise DataError(
            f"{where}: expected a network, found only an adapter; merge it into its base (`merge_and_unload`) and "
            "save that, or name the base"
        )
    pickled = [name for name in names if name.endswith(PICKLES)]
    gguf = [name for name in names if name.endswith(".gguf")]
    if gguf and not pickled:
        raise DataError(f"{where}: expected weights as *.safetensors, found {gguf[0]}; name the file, with kind gguf")
    found = f"pickled weights only ({pickled[0]})" if pickled else "no weights"
    raise DataError(
        f"{where}: expected weights as *.safetensors, found {found}; pickles can run code, so they are not read: "
        "choose a revision with safetensors or convert the weights yourself"
    )


def safetensors_header(file: Path, *, remedy: str = FETCH) -> Header:
    """Read the header of a safetensors file, and check that the file is as long as it says.

    Returns:
        dtype, shape and data_offsets by tensor.

    Raises:
        DataError: The file is missing, empty, cut short, too long, a Git LFS pointer or of another format.
    """
    require_content(file, remedy=remedy)
    size = file.stat().st_size
    with file.open("rb") as handle:
        start = handle.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else LARGEST_HEADER
        if length >= LARGEST_HEADER:
            raise DataError(f"{file}: expected a safetensors file, found another format; {remedy}")
        text = handle.read(length)
    try:
        header = json.loads(text)
        header.pop("__metadata__", None)
        end = 8 + length + max((tensor["data_offsets"][1] for tensor in header.values()), default=0)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError):
        raise DataError(f"{file}: expected a safetensors file, found a damaged file; {remedy}") from None
    if size != end:
        raise DataError(f"{file}: expected {end:,} bytes, found {size:,}; {remedy}")
    return header


def require_content(file: Path, *, remedy: str = FETCH) -> None:
    """Refuse a file that is missing, empty or a Git LFS pointer.

    Raises:
        DataError: It is, or this user may not read it.
    """
    if not file.is_file():
        raise DataError(f"{file}: expected a file, found none; {remedy}")
    if not os.access(file, os.R_OK):
        raise DataError(f"{file}: cannot be read by this user; ask its owner for access")
    with file.open("rb") as handle:
        start = handle.read(len(LFS_POINTER))
    if not start:
        raise DataError(f"{file}: expected content, found an empty file; {remedy}")
    if start == LFS_POINTER:
        raise DataError(f"{file}: expected the file itself, found a Git LFS pointer to it; {remedy}")


def check_json(file: Path, *, remedy: str = FETCH) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        DataError: The file is missing, empty, a Git LFS pointer, not JSON or not an object.
    """
    require_content(file, remedy=remedy)
    try:
        value = read_json(file)
    except (DataError, UnicodeDecodeError):
        raise DataError(f"{file}: expected JSON, found a file cut short or damaged; {remedy}") from None
    if not isinstance(value, dict):
        raise DataError(f"{file}: expected a JSON object, found {type(value).__name__}; {remedy}")
    return value


def ignored_adapter(folder: Path) -> dict[str, dict[str, str]]:
    """Return arguments of `from_pretrained` that let it read a folder's own weights, whatever lies beside them.

    With adapter_config.json in the folder, as merging leaves it, transformers would add the adapter once more, or
    load the base that this names instead. It is ignored, and a warning says so.
    """
    if (Path(folder) / ADAPTER_FILES[0]).exists():
        logger.warning("%s: ignoring %s beside the network's own weights", folder, ADAPTER_FILES[0])
    # transformers looks for an adapter in this subfolder alone.
    return {"adapter_kwargs": {"subfolder": ".no-adapter"}}


def _refuse_quantised(folder: Path, files: dict[Path, Header]) -> None:
    config = read_json(folder / "config.json")
    parts = [config, *(part for part in config.values() if isinstance(part, dict))]
    for key in ("quantization_config", "compression_config", "quantization"):
        for part in parts:
            if part.get(key):
                settings = part[key] if isinstance(part[key], dict) else {}
                method = settings.get("quant_method") or settings.get("format") or "of unknown method"
                raise _quantised(folder / "config.json", f"{key} ({method})")
    for file, header in files.items():
        for name, tensor in header.items():
            packed = name.endswith("weight") and tensor["dtype"] not in FLOATS
            if packed or name.endswith(PACKED) or tensor["dtype"].startswith("F8"):
                raise _quantised(file, f"packed tensor {name} ({tensor['dtype']})")


def _quantised(file: Path, found: str) -> DataError:
    return DataError(
        f"{file}: expected plain weights, found {found}; quantised checkpoints are not read: choose the repository "
        "that they were made from, or save them dequantised (precision: nf4 quantises a base while it is loaded)"
    )
