"""Finished seeds of a fine-tuning job, and finished adapters, kept where no workflow deletes them.

A model on a task is one job for all of its seeds, and a workflow deletes a job's outputs before it runs the job again.
So every finished seed is kept in the job's work folder, under a digest of everything that decides it. Where a seed is
added or an input touched, finished seeds are not trained again: their files are restored. Kept files are hard links to
the outputs where the file system has them, and take no space of their own. Like finished jobs, finished seeds stay
finished when the library changes; `forget_seeds` is for a job that must run again.

A finished adapter is kept in the same way: a job on a node that SLURM has lost sight of may finish after it was queued
again, and the second job then takes what the first has made.

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
from clinical_peft.locks.ownership import FINISHED

if TYPE_CHECKING:  # the workflow imports this module, and needs no library that reads cohorts
    from clinical_peft.training.task_data import TaskInputs

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

        found |= parts_digests(base, inputs.adapter) | small_files(base)
    return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()


def small_files(base: Path) -> dict[str, str]:
    """Digests of a base's files beside its weights, whose digest stands in base.json.

    That file itself is not among them: it also holds metrics that differ from one training to the next.
    """
    small = [path for path in _files(base) if path.suffix != ".safetensors" and path.name != "base.json"]
    return {f"base/{path.relative_to(base)}": sha256_file(path) for path in small}


def adapter_key(record: Mapping[str, Any], *, base: Path, tokens: Path, general: Path | None) -> str:
    """Digest of everything that decides a clinical adapter and its perplexities.

    Args:
        record: The job as `clinical_peft.search.outcome.complete_job` gives it; how its recipe was found is ignored.
        base: Base folder.
        tokens: Folder of token shards.
        general: Notes of general text, or None.

    Raises:
        DataError: base.json or tokens.json is missing.
    """
    inputs = {
        "base": str(read_json(base / "base.json")["sha256"]),
        **small_files(base),
        "tokens": str(read_json(tokens / "tokens.json")["fingerprint"]),
        **({"general": sha256_file(general)} if general else {}),
    }
    return _key(record, inputs)


def seed_key(record: Mapping[str, Any], inputs: str, seed: int) -> str:
    """Digest of everything that decides a seed's outputs.

    Args:
        record: The job as `clinical_peft.recipes.job_records.read_record` gives it; how its recipe was found is
            ignored.
        inputs: From `inputs_digest`.
        seed: The seed.
    """
    return _key(record, inputs, seed)


def _key(record: Mapping[str, Any], *inputs: Any) -> str:
    job = {key: value for key, value in record.items() if key != "search"}
    return hashlib.sha256(json.dumps([job, *inputs], sort_keys=True).encode()).hexdigest()


def keep_seed(work: Path, seed: int, key: str, outputs: SeedOutputs) -> None:
    """Keep a finished seed, replacing an earlier copy of the same seed.

    On a full disk the seed is not kept, with a warning in the log; the job goes on.

    Args:
        work: The job's work folder.
        seed: The seed.
        key: From `seed_key`.
        outputs: Its outputs, all of which exist.
    """
    keep(work, f"seed{seed}", key, outputs.by_name())


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
    return restore(work, f"seed{seed}", key, outputs.by_name())


def keep(work: Path, name: str, key: str, outputs: Mapping[str, Path]) -> None:
    """Keep finished outputs in a job's work folder, replacing what was kept under the same name.

    Args:
        work: The folder.
        name: Name of what is kept.
        key: Digest of everything that decides the outputs.
        outputs: Files and folders, all of which exist, by the name that each is kept under.
    """
    try:
        with atomic_path(work / FINISHED / name) as folder:
            folder.mkdir()
            digests: dict[str, str] = {}
            for part, source in outputs.items():
                link_files(source, folder / part)
                digests |= {str(path.relative_to(folder)): sha256_file(path) for path in _files(folder / part)}
            write_json(folder / RECORD, {"key": key, "files": digests})
    except StorageError as error:
        logger.warning("%s is not kept for a later run (%s)", name, error)


def restore(work: Path, name: str, key: str, outputs: Mapping[str, Path]) -> bool:
    """Restore kept outputs; arguments as for `keep`.

    Returns:
        Whether they were restored; False where they were kept under another key, are damaged, or were not kept.

    Raises:
        StorageError: The disk is full, where the file system has no hard links.
    """
    folder = work / FINISHED / name
    try:
        record = read_json(folder / RECORD)
    except DataError:
        return False
    if record["key"] != key:
        logger.info("%s was kept from another recipe or input; it is trained again", name)
        return False
    damaged = [part for part, digest in record["files"].items() if not _is_whole(folder / part, digest)]
    if damaged:
        logger.warning("%s: damaged, %s is trained again", folder / damaged[0], name)
        return False
    for part, target in outputs.items():
        with atomic_path(target) as temporary:
            link_files(folder / part, temporary)
    return True


def forget_seeds(work: Path) -> None:
    """Delete the kept seeds of a job that the user runs again."""
    shutil.rmtree(Path(work) / FINISHED, ignore_errors=True)


def forget_checkpoints(work: Path) -> None:
    """Delete everything in a finished job's work folder but the kept seeds."""
    for path in Path(work).iterdir():
        if path.name != FINISHED:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _is_whole(path: Path, digest: str) -> bool:
    return path.is_file() and sha256_file(path) == digest


def _files(path: Path) -> Iterator[Path]:
    """The file itself, or all files of a folder, in a fixed order."""
    yield from [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())


def link_files(source: Path, target: Path) -> None:
    """Link a file, or every file of a folder; copy where the file system has no hard links."""
    for file in _files(source):
        place = target / file.relative_to(source) if file != source else target
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(file, place)
        except OSError:
            shutil.copyfile(file, place)
