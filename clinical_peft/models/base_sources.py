"""A base on this machine, looked at without loading it: is everything there that importing it needs?"""

import json
import os
from collections.abc import Iterable
from pathlib import Path

from clinical_peft.errors import DataError

CONFIG = "config.json"
INDEX = "model.safetensors.index.json"
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.txt", "vocab.json", "spiece.model", "sentencepiece.bpe.model")
POINTER = b"version https://git-lfs"
GGUF = b"GGUF"
_HEADER_LENGTH = 8  # bytes, little-endian, in which a safetensors file says how long its header is


def check_base_folder(folder: Path) -> None:
    """Check that a folder holds a network's configuration, whole weights as safetensors, and a tokenizer.

    Args:
        folder: Folder of a Hugging Face model.

    Raises:
        DataError: Something is missing, cut off, or a Git LFS pointer in place of a file.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: expected the folder of a base, found none; correct source.path")
    _check_config(folder / CONFIG)
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        pickled = [path.name for path in sorted(folder.iterdir()) if path.suffix in (".bin", ".pt", ".pth", ".ckpt")]
        found = f"pickled weights only ({pickled[0]})" if pickled else "no weights"
        raise DataError(f"{folder}: expected weights as *.safetensors, found {found}; convert or download them")
    for path in (folder / name for name in _indexed(folder / INDEX)):
        if path not in weights:
            raise DataError(f"{path}: expected this part of the weights, which {INDEX} names, found none; fetch it")
    for path in weights:
        _check_weights(path)
    if not any((folder / name).is_file() for name in TOKENIZERS):
        raise DataError(f"{folder}: expected a tokenizer, such as {TOKENIZERS[0]}, found none; add that of the base")


def check_gguf_file(file: Path) -> None:
    """Check that a file begins as GGUF does.

    Raises:
        DataError: There is no such file, or it is something else.
    """
    if not file.is_file():
        raise DataError(f"{file}: expected a GGUF file, found none; correct source.path")
    _refuse_pointer(file)
    if _beginning(file, len(GGUF)) != GGUF:
        raise DataError(f"{file}: expected a GGUF file, found something else")


def files_to_watch(folder: Path) -> list[Path]:
    """Files of a folder that decide what is imported from it, its configuration first whether it is there or not."""
    found = [path for path in sorted(folder.glob("*.safetensors")) if path.is_file()]
    return [folder / CONFIG, *found, *(path for name in TOKENIZERS if (path := folder / name).is_file())]


def _check_config(path: Path) -> None:
    if not path.is_file():
        raise DataError(f"{path}: expected a network's configuration, found none; give the folder that holds it")
    _refuse_pointer(path)
    config = _read_json(path)
    if not isinstance(config, dict) or not isinstance(config.get("model_type"), str):
        raise DataError(f"{path}: expected a network's configuration with the key model_type, found none")


def _indexed(path: Path) -> Iterable[str]:
    """Names of the parts that an index of weights names; none without an index."""
    if not path.is_file():
        return []
    _refuse_pointer(path)
    index = _read_json(path)
    parts = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(parts, dict):
        raise DataError(f"{path}: expected the key weight_map, found none; fetch the file again")
    return sorted({str(name) for name in parts.values()})


def _check_weights(path: Path) -> None:
    """Compare the length of a safetensors file with what its header says."""
    _refuse_pointer(path)
    size = path.stat().st_size
    length = int.from_bytes(_beginning(path, _HEADER_LENGTH), "little")
    try:
        with path.open("rb") as file:
            file.seek(_HEADER_LENGTH)
            header = json.loads(file.read(length)) if length < size else None
        ends = [value["data_offsets"][1] for key, value in header.items() if key != "__metadata__"]  # type: ignore[union-attr]
        expected = _HEADER_LENGTH + length + max(ends, default=0)
    except (ValueError, AttributeError, KeyError, TypeError, IndexError):
        raise DataError(f"{path}: expected safetensors, found a damaged header; fetch the file again") from None
    if size < expected:
        raise DataError(f"{path}: expected {expected:,} bytes, found {size:,}: it is cut off; fetch the file again")


def _refuse_pointer(path: Path) -> None:
    if _beginning(path, len(POINTER)) == POINTER:
        raise DataError(
            f"{path}: a Git LFS pointer stands in place of the file; run `git lfs pull` where the folder comes from"
        )


def _beginning(path: Path, length: int) -> bytes:
    if not os.access(path, os.R_OK):
        raise DataError(f"{path}: cannot be read by this user; ask its owner for access")
    with path.open("rb") as file:
        return file.read(length)


def _read_json(path: Path) -> object:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise DataError(f"{path}: expected JSON, found something else; fetch the file again") from None
