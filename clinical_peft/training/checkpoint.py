"""Checkpoints that survive a kill and a full disk: two generations of a safetensors file, without pickle.

A checkpoint holds tensors by name and a JSON state in the file's metadata, with a digest of both. A new one is written
beside the others before it replaces the newest, which becomes the previous one. A job that is killed at any moment
thus leaves a complete checkpoint, and where the newest is damaged later, the previous one is read.
"""

import hashlib
import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from clinical_peft.errors import StoppedError, StorageError
from clinical_peft.files import atomic_path, check_guards, remove_partial
from clinical_peft.models.digests import tensor_digest
from clinical_peft.runtime.signals import StopRequest

FILE_NAME = "checkpoint.safetensors"
PREVIOUS = "checkpoint.previous.safetensors"
# Present only where a kill came between the two renames of a save; it is newer than both.
NEW = "checkpoint.new.safetensors"
GENERATIONS = (NEW, FILE_NAME, PREVIOUS)

# Part of the identity: a checkpoint of another layout is not resumed.
FORMAT = "3"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Checkpoint:
    """State of an interrupted run: tensors by name and plain values."""

    tensors: dict[str, torch.Tensor]
    state: dict[str, Any]

    def section(self, prefix: str) -> dict[str, torch.Tensor]:
        """Return the tensors whose names start with `prefix`, without it."""
        return {key.removeprefix(prefix): value for key, value in self.tensors.items() if key.startswith(prefix)}


class _Unusable(Exception):
    """Why a file is skipped."""


def save_checkpoint(
    work: Path, *, identity: str, tensors: Mapping[str, torch.Tensor], state: Mapping[str, Any]
) -> bool:
    """Write a checkpoint atomically and keep the previous one.

    Args:
        work: Folder of the job's state.
        identity: Digest of what the job computes; a checkpoint of another job is never resumed.
        tensors: Weights, optimizer moments and generator states by name.
        state: Values that JSON can hold.

    Returns:
        Whether it was written. On a full disk it is not: earlier ones stay as they are, and a warning is logged.
    """
    work = Path(work)
    text = json.dumps(dict(state), sort_keys=True)
    contiguous = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
    metadata = {"identity": _identity(identity), "state": text, "digest": _digest(contiguous, text)}
    try:
        with atomic_path(work / NEW) as temporary:
            save_file(contiguous, temporary, metadata=metadata)
    except StorageError as error:
        size = sum(value.nbytes for value in contiguous.values())
        logger.warning("no checkpoint of %d bytes was saved (%s); the one before stays, training goes on", size, error)
        return False
    if (work / FILE_NAME).exists():
        check_guards()
        (work / FILE_NAME).replace(work / PREVIOUS)
    check_guards()
    (work / NEW).replace(work / FILE_NAME)
    return True


def load_checkpoint(work: Path, *, identity: str) -> Checkpoint | None:
    """Read the newest usable checkpoint of a job, and delete partial files of a kill.

    One that is damaged or belongs to another job is skipped for the previous one, with a warning in the log.

    Returns:
        The checkpoint with its tensors on the CPU; None when there is none that can be used.
    """
    work = Path(work)
    remove_partial(work)
    passed: list[Path] = []
    for path in (work / name for name in GENERATIONS):
        if not path.exists():
            continue
        try:
            found = _read(path, identity)
        except _Unusable as reason:
            logger.warning("%s: %s", path, reason)
            passed.append(path)
            continue
        if passed:
            logger.warning("%s: training goes on from this checkpoint, the one before", path)
        _make_newest(path)
        return found
    if passed:
        logger.warning("%s: no checkpoint can be used; training starts from the beginning", work)
    return None


def read_checkpoint(work: Path, *, identity: str) -> Checkpoint | None:
    """Read what `load_checkpoint` has just returned to another process, changing nothing."""
    path = Path(work) / FILE_NAME
    try:
        return _read(path, identity) if path.exists() else None
    except _Unusable:
        return None


def _make_newest(path: Path) -> None:
    """Rename a checkpoint to the newest, so that the next save does not replace it by an unusable one."""
    newest = path.with_name(FILE_NAME)
    if path.name == NEW and newest.exists():
        newest.replace(path.with_name(PREVIOUS))
    if path.name != FILE_NAME:
        path.replace(newest)
    path.with_name(NEW).unlink(missing_ok=True)


def _read(path: Path, identity: str) -> Checkpoint:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("identity") != _identity(identity):
                raise _Unusable("this checkpoint belongs to another job, recipe, input or version")
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
    except SafetensorError as error:
        raise _Unusable(f"damaged checkpoint ({error})") from None
    if metadata.get("digest") != _digest(tensors, metadata.get("state", "")):
        raise _Unusable("damaged checkpoint (its contents do not match their digest)")
    return Checkpoint(tensors, json.loads(metadata["state"]))


def _identity(identity: str) -> str:
    return f"{FORMAT}:{identity}"


def _digest(tensors: Mapping[str, torch.Tensor], state: str) -> str:
    return hashlib.sha256(f"{tensor_digest(tensors.items())}|{state}".encode()).hexdigest()


def remove_checkpoint(work: Path) -> None:
    """Delete the checkpoints in `work`, if any."""
    for name in GENERATIONS:
        (Path(work) / name).unlink(missing_ok=True)
    remove_partial(work)


def stopped(what: str, request: StopRequest, *, step: int, steps: int, saved: bool) -> StoppedError:
    """Return the error of a training loop that was asked to stop.

    Args:
        what: The run, for instance `adapter x`.
        request: Who asked.
        step: Optimizer steps done.
        steps: Optimizer steps of the whole run.
        saved: Whether a checkpoint of this step was saved.
    """
    left = "a checkpoint is saved" if saved else "the disk is full, so the checkpoint before stays"
    return StoppedError(
        f"{what} after step {step} of {steps}, asked by {request.signal}; {left}, and the same command goes on from it"
    )


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """Return an optimizer's moments and step counts, named `{parameter index}.{quantity}`."""
    state = optimizer.state_dict()["state"]
    return {
        f"{index}.{name}": torch.as_tensor(value) for index, values in state.items() for name, value in values.items()
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, torch.Tensor]) -> None:
    """Restore what `optimizer_tensors` returned; learning rates are not part of it."""
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
    """Restore what `generator_tensors` returned."""
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
