"""A base on this machine, looked at without loading it: is everything there that importing it needs?"""

import os
from pathlib import Path

from clinical_peft.checkpoint_files import check_checkpoint, check_json, require_content
from clinical_peft.errors import DataError

CONFIG = "config.json"
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.txt", "vocab.json", "spiece.model", "sentencepiece.bpe.model")
GGUF = b"GGUF"


def check_base_folder(folder: Path) -> None:
    """Check that a folder holds a network's configuration, whole plain weights as safetensors, and a tokenizer.

    Args:
        folder: Folder of a Hugging Face model.

    Raises:
        DataError: Something is missing, cut off, quantised, or a Git LFS pointer in place of a file.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: expected the folder of a base, found none; correct source.path")
    for path in files_to_watch(folder):
        if path.exists():
            _require_readable(path)
    check_checkpoint(folder)
    if not isinstance(check_json(folder / CONFIG).get("model_type"), str):
        raise DataError(f"{folder / CONFIG}: expected a network's configuration with the key model_type, found none")
    if not any((folder / name).is_file() for name in TOKENIZERS):
        raise DataError(f"{folder}: expected a tokenizer, such as {TOKENIZERS[0]}, found none; add that of the base")


def check_gguf_file(file: Path) -> None:
    """Check that a file begins as GGUF does.

    Raises:
        DataError: There is no such file, or it is something else.
    """
    if not file.is_file():
        raise DataError(f"{file}: expected a GGUF file, found none; correct source.path")
    _require_readable(file)
    require_content(file)
    with file.open("rb") as opened:
        start = opened.read(len(GGUF))
    if start != GGUF:
        raise DataError(f"{file}: expected a GGUF file, found something else")


def files_to_watch(folder: Path) -> list[Path]:
    """Files of a folder that decide what is imported from it, its configuration first whether it is there or not."""
    found = [path for path in sorted(folder.glob("*.safetensors")) if path.is_file()]
    return [folder / CONFIG, *found, *(path for name in TOKENIZERS if (path := folder / name).is_file())]


def _require_readable(file: Path) -> None:
    if not os.access(file, os.R_OK):
        raise DataError(f"{file}: cannot be read by this user; ask its owner for access")
