"""Pooled features of admission notes on disk: one forward pass over each distinct note, shared by tasks and seeds.

Where base and clinical adapter are frozen, a note's pooled features are the same for every task, seed and epoch. They
are kept in one safetensors file, found by the note's digest; reading it needs neither the base nor `transformers`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from clinical_peft.data.note_digest import DIGEST_BYTES, note_digest
from clinical_peft.errors import TrainingError
from clinical_peft.files import atomic_path


@dataclass(frozen=True)
class PooledBy:
    """The network and settings that computed a set of features.

    Attributes:
        job: `clinical_peft.recipes.PoolJob` as a mapping.
        base: Name of the base.
        revision: Its revision.
        parts: Digests of the base and the clinical adapter; see `clinical_peft.models.folders.parts_digests`.
        frozen_sha256: Digest of every weight of the network, the head apart.
        parameters: Their number.
        spread: Standard deviation with which the base draws new weights.
    """

    job: dict[str, Any]
    base: str
    revision: str
    parts: dict[str, str]
    frozen_sha256: str
    parameters: int
    spread: float


@dataclass(frozen=True)
class PooledNotes:
    """Features of notes, in the order in which they were asked for.

    Attributes:
        features: Pooled features, shape (notes, hidden), float32 or bfloat16.
        lengths: Tokens of each note, int64 of shape (notes,).
        by: The network and settings that computed them.
    """

    features: Tensor
    lengths: npt.NDArray[np.int64]
    by: PooledBy


def write_pooled(
    path: Path, texts: Sequence[str], features: Tensor, lengths: npt.NDArray[np.int64], by: PooledBy
) -> None:
    """Write the features of distinct notes, ordered by digest; the same values give the same bytes.

    Args:
        path: File to write.
        texts: Distinct notes.
        features: Their features, shape (notes, hidden).
        lengths: Their tokens, shape (notes,).
        by: The network and settings that computed them.
    """
    digests = np.frombuffer(b"".join(note_digest(text) for text in texts), np.uint8).reshape(-1, DIGEST_BYTES)
    order = np.lexsort(digests.T[::-1])
    tensors = {
        "digests": torch.from_numpy(digests[order].copy()),
        "features": features.detach().cpu()[torch.from_numpy(order)].contiguous(),
        "lengths": torch.from_numpy(lengths[order].astype(np.int32)),
    }
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata={"by": json.dumps(asdict(by), sort_keys=True)})


def read_pooled(path: Path, texts: Sequence[str], *, where: str) -> PooledNotes:
    """Read the features of some notes.

    Args:
        path: What `write_pooled` wrote.
        texts: Notes, in any order, with repetitions.
        where: Source of the notes, for messages.

    Raises:
        TrainingError: The file is missing or damaged, holds no features of a note, or does not say what computed them.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata: Mapping[str, str] = file.metadata() or {}
            digests, features, lengths = (file.get_tensor(name) for name in ("digests", "features", "lengths"))
    except (OSError, SafetensorError) as error:
        raise TrainingError(f"{path}: no readable features ({type(error).__name__}); pool the notes again") from None
    place = {bytes(digest): row for row, digest in enumerate(digests.numpy())}
    rows = np.empty(len(texts), dtype=np.int64)
    for position, text in enumerate(texts):
        row = place.get(note_digest(text))
        if row is None:
            raise TrainingError(f"{path}: no features of the note in row {position} of {where}; pool the notes again")
        rows[position] = row
    try:
        by = PooledBy(**json.loads(metadata["by"]))
    except (KeyError, TypeError, ValueError):
        raise TrainingError(f"{path}: does not say what computed the features; pool the notes again") from None
    return PooledNotes(features[torch.from_numpy(rows)], lengths.numpy()[rows].astype(np.int64), by)
