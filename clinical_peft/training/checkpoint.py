"""Checkpoints that survive a kill: one safetensors file, replaced whole, without pickle.

A checkpoint holds tensors by name and a JSON state in the file's metadata. A single file is replaced by one
rename, so a job that is killed at any moment leaves either the old checkpoint or the new one.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from clinical_peft.errors import TrainingError
from clinical_peft.files import atomic_path

FILE_NAME = "checkpoint.safetensors"


@dataclass(frozen=True)
class Checkpoint:
    """What an interrupted run left: tensors by name and plain values."""

    tensors: dict[str, torch.Tensor]
    state: dict[str, Any]

    def section(self, prefix: str) -> dict[str, torch.Tensor]:
        """Return the tensors whose names start with `prefix`, without it."""
        return {key.removeprefix(prefix): value for key, value in self.tensors.items() if key.startswith(prefix)}


def save_checkpoint(
    work: Path, *, identity: str, tensors: Mapping[str, torch.Tensor], state: Mapping[str, Any]
) -> None:
    """Write `work`/checkpoint.safetensors whole or not at all.

    Args:
        work: Folder of the job's state.
        identity: Digest of what the job computes; a checkpoint of another job is never resumed.
        tensors: Weights, optimizer moments and generator states by name.
        state: Values that JSON can hold.
    """
    metadata = {"identity": identity, "state": json.dumps(dict(state), sort_keys=True)}
    contiguous = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
    with atomic_path(Path(work) / FILE_NAME) as temporary:
        save_file(contiguous, temporary, metadata=metadata)


def load_checkpoint(work: Path, *, identity: str) -> Checkpoint | None:
    """Read the checkpoint in `work`, if there is one of this very job.

    Returns:
        The checkpoint with its tensors on the CPU; None when there is none or it belongs to another job.

    Raises:
        TrainingError: The file is damaged.
    """
    path = Path(work) / FILE_NAME
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("identity") != identity:
                return None
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
    except SafetensorError as error:
        raise TrainingError(f"{path}: damaged checkpoint ({error}); delete the file to train from the start") from None
    return Checkpoint(tensors, json.loads(metadata["state"]))


def remove_checkpoint(work: Path) -> None:
    """Delete the checkpoint in `work`, if any."""
    (Path(work) / FILE_NAME).unlink(missing_ok=True)


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """Return an optimizer's moments and step counts, named `{parameter index}.{quantity}`."""
    state = optimizer.state_dict()["state"]
    return {
        f"{index}.{name}": torch.as_tensor(value) for index, values in state.items() for name, value in values.items()
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, torch.Tensor]) -> None:
    """Put back what `optimizer_tensors` returned; learning rates are not part of it."""
    current = optimizer.state_dict()
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in tensors.items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": current["param_groups"]})


def generator_tensors() -> dict[str, torch.Tensor]:
    """Return the states of PyTorch's global generators, on which dropout draws."""
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    return states


def restore_generators(tensors: Mapping[str, torch.Tensor]) -> None:
    """Put back what `generator_tensors` returned."""
    torch.set_rng_state(tensors["cpu"])
    if "cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["cuda"])


class CheckpointClock:
    """Says when the next checkpoint is due.

    Args:
        seconds: Time between two checkpoints.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.last = time.monotonic()

    def due(self) -> bool:
        """Return whether `seconds` have passed since the last time this was true."""
        now = time.monotonic()
        if now - self.last < self.seconds:
            return False
        self.last = now
        return True
