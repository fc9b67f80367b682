"""Finished seeds of a fine-tuning job, kept where the workflow does not delete them.

A model on a task is one job for all of its seeds, and a workflow deletes a job's outputs before it runs the job again.
So every finished seed is kept in the job's work folder, under a digest of everything that decides it. Where a seed is
added or an input touched, finished seeds are not trained again: their files are restored. Kept files are hard links to
the outputs where the file system has them, and take no space of their own. Like finished jobs, finished seeds stay
finished when the library changes; `forget_seeds` is for a job that must run again.

This module does not import PyTorch, so that the workflow can use it.
"""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinical_peft.errors import DataError, StorageError
from clinical_peft.files import atomic_path, read_json, sha256_file, write_json

if TYPE_CHECKING:  # the workflow imports this module, and needs no library that reads cohorts
    from clinical_peft.training.task_data import TaskInputs

FINISHED = "finished"
RECORD = "kept.json"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SeedOutputs:
    """Outputs of one seed.

    Attributes:
        predictions: Parquet file.
        model: Folder.
        training: JSON file of the summary.
        run_log: JSON lines.
    """

    predictions: Path
    model: Path
    training: Path
    run_log: Path

    def by_name(self) -> dict[str, Path]:
        """Every output by the name under which it is kept."""
        return {
            "predictions.parquet": self.predictions,
            "model": self.model,
            "training.json": self.training,
            "run.jsonl": self.run_log,
        }


def inputs_digest(inputs: "TaskInputs") -> str:
    """Identify by their content the files that decide the seeds of a job.

    Pooled features are not among them: base, adapter and cohort decide those of the cohort's notes, whatever other
    notes are pooled with them.

    Args:
        inputs: Files and folders that the job reads.

    Raises:
        DataError: A file of the base or of the adapter is missing.
    """
    base = inputs.base
    found = {"cohort": sha256_file(inputs.cohort), "classes": sha256_file(inputs.classes)}
    if base is not None:
        from clinical_peft.models.folders import parts_digests

        found |= parts_digests(base, inputs.adapter)
        # base.json holds the digest of the weights, beside metrics that differ from one training to the next.
        small = [path for path in _files(base) if path.suffix != ".safetensors" and path.name != "base.json"]
        found |= {f"base/{path.relative_to(base)}": sha256_file(path) for path in small}
    return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()


def seed_key(record: Mapping[str, Any], inputs: str, seed: int) -> str:
    """Digest of everything that decides a seed's outputs.

    Args:
        record: The job as `clinical_peft.recipes.job_records.read_record` gives it; how its recipe was found is
            ignored.
        inputs: From `inputs_digest`.
        seed: The seed.
    """
    job = {key: value for key, value in record.items() if key != "search"}
    return hashlib.sha256(json.dumps([job, inputs, seed], sort_keys=True).encode()).hexdigest()


def keep_seed(work: Path, seed: int, key: str, outputs: SeedOutputs) -> None:
    """Keep a finished seed, replacing an earlier copy of the same seed.

    On a full disk the seed is not kept, with a warning in the log; the job goes on.

    Args:
        work: The job's work folder.
        seed: The seed.
        key: From `seed_key`.
        outputs: Its outputs, all of which exist.
    """
    try:
        with atomic_path(_place(work, seed)) as folder:
            folder.mkdir()
            digests: dict[str, str] = {}
            for name, source in outputs.by_name().items():
                _link(source, folder / name)
                digests |= {str(path.relative_to(folder)): sha256_file(path) for path in _files(folder / name)}
            write_json(folder / RECORD, {"key": key, "files": digests})
    except StorageError as error:
        logger.warning("seed %d is not kept for a later run (%s)", seed, error)


def restore_seed(work: Path, seed: int, key: str, outputs: SeedOutputs) -> bool:
    """Restore the outputs of a kept seed.

    Args:
        work: The job's work folder.
        seed: The seed.
        key: From `seed_key`; a seed that is kept under another key is not restored.
        outputs: Where its outputs belong.

    Returns:
        Whether they were restored; False if the seed must be trained.

    Raises:
        StorageError: The disk is full, where the file system has no hard links.
    """
    folder = _place(work, seed)
    try:
        record = read_json(folder / RECORD)
    except DataError:
        return False
    if record["key"] != key:
        logger.info("seed %d was kept from another recipe or input; it is trained again", seed)
        return False
    damaged = [name for name, digest in record["files"].items() if not _is_whole(folder / name, digest)]
    if damaged:
        logger.warning("%s: damaged, seed %d is trained again", folder / damaged[0], seed)
        return False
    for name, target in outputs.by_name().items():
        with atomic_path(target) as temporary:
            _link(folder / name, temporary)
    return True


def forget_seeds(work: Path) -> None:
    """Delete the kept seeds of a job that the user runs again."""
    shutil.rmtree(Path(work) / FINISHED, ignore_errors=True)


def forget_checkpoints(work: Path) -> None:
    """Delete everything in a finished job's work folder but the kept seeds."""
    for path in Path(work).iterdir():
        if path.name != FINISHED:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _place(work: Path, seed: int) -> Path:
    return Path(work) / FINISHED / f"seed{seed}"


def _is_whole(path: Path, digest: str) -> bool:
    return path.is_file() and sha256_file(path) == digest


def _files(path: Path) -> Iterator[Path]:
    """The file itself, or all files of a folder, in a fixed order."""
    yield from [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())


def _link(source: Path, target: Path) -> None:
    """Link a file, or every file of a folder; copy where the file system has no hard links."""
    for file in _files(source):
        place = target / file.relative_to(source) if file != source else target
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(file, place)
        except OSError:
            shutil.copyfile(file, place)
