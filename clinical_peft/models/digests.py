"""Identifying sets of tensors by their content."""

import hashlib
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from clinical_peft.files import sha256_file


def tensor_digest(tensors: Iterable[tuple[str, Tensor]]) -> str:
    """SHA-256 of tensors: names, types, shapes and values, in the order of their names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors, key=lambda item: item[0]):
        digest.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def weights_sha256(folder: Path) -> str:
    """SHA-256 of the safetensors files in a base folder; of several, that of their digests in the order of names.

    A file is read once in a process, as long as neither its size nor its time of change differ.
    """
    digests = [_file_digest(file, *_state(file)) for file in sorted(Path(folder).glob("*.safetensors"))]
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


def _state(file: Path) -> tuple[int, int]:
    status = file.stat()
    return status.st_size, status.st_mtime_ns


@lru_cache(maxsize=256)
def _file_digest(file: Path, size: int, changed: int) -> str:
    return sha256_file(file)
