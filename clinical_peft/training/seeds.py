"""The seeds of one fine-tuning job: finished ones are restored, the others are trained.

A seed of a training size that is the whole split is that of the run on the whole split, and is not trained again.
"""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clinical_peft.files import atomic_path, read_json, write_json
from clinical_peft.recipes import FinetuneJob
from clinical_peft.runtime.events import JsonlLog
from clinical_peft.runtime.lineage import Usage
from clinical_peft.training.finetuning import PreparedTask, finetune, prepare_task
from clinical_peft.training.kept_seeds import (
    SeedOutputs,
    forget_checkpoints,
    inputs_digest,
    keep_seed,
    link_files,
    restore_seed,
    seed_key,
)
from clinical_peft.training.task_data import TaskInputs
from clinical_peft.training.train_sizes import WHOLE_SPLIT, takes_whole_split

logger = logging.getLogger(__name__)


def finetune_seeds(
    job: FinetuneJob,
    record: Mapping[str, Any],
    outputs: Mapping[int, SeedOutputs],
    *,
    inputs: TaskInputs,
    name: str,
    recipe_file: Path,
    work: Path,
    whole: Mapping[int, SeedOutputs] | None = None,
) -> list[int]:
    """Write the outputs of every seed of a model on a task.

    Args:
        job: Recipe and switches.
        record: The job as it is recorded; see `clinical_peft.search.outcome.complete_job`.
        outputs: Files of each seed.
        inputs: Files and folders that the job reads.
        name: Name of the task, with its switch, in the run log.
        recipe_file: JSON file to write with the record.
        work: Folder of checkpoints and kept seeds, which must outlive a failed run.
        whole: Of a job with a training size, the outputs of the run on the whole split.

    Returns:
        The seeds that were restored, having been trained with the same recipe and inputs.

    Raises:
        TrainingError: See `clinical_peft.training.finetuning`.
    """
    digest = inputs_digest(inputs)
    keys = {seed: seed_key(record, digest, seed) for seed in outputs}
    kept = [seed for seed, each in outputs.items() if restore_seed(work, seed, keys[seed], each)]
    missing = [seed for seed in outputs if seed not in kept]
    equal = {seed: whole[seed] for seed in missing if whole and _takes_whole_split(job, inputs, seed)}
    task = prepare_task(job, inputs) if len(equal) < len(missing) else None
    for seed in missing:
        log_file = work / f"seed{seed}" / "run.jsonl"
        log = JsonlLog(outputs[seed].run_log, kind="models", name=f"{name}/seed{seed}", parent=job.model, kept=log_file)
        log.params(record)
        if seed in equal:
            _take_over(job, equal[seed], outputs[seed])
        elif task is not None:
            _finetune_seed(task, log, seed, outputs[seed], work=work / f"seed{seed}")
        keep_seed(work, seed, keys[seed], outputs[seed])
    write_json(recipe_file, record)
    forget_checkpoints(work)
    return kept


def _finetune_seed(task: PreparedTask, log: JsonlLog, seed: int, outputs: SeedOutputs, *, work: Path) -> None:
    job, usage = task.job, Usage()
    summary = finetune(
        task, seed=seed, work=work, log=log, predictions=outputs.predictions, model_directory=outputs.model
    )
    log.metrics(usage.metrics())
    write_json(outputs.training, {"model": job.model, "task": job.task, "seed": seed, **summary})


def _takes_whole_split(job: FinetuneJob, inputs: TaskInputs, seed: int) -> bool:
    return job.train_size is not None and takes_whole_split(inputs.cohort, job.train_size, seed=seed)


def _take_over(job: FinetuneJob, whole: SeedOutputs, outputs: SeedOutputs) -> None:
    """Make the outputs of a seed from those of the run on the whole split."""
    logger.warning(
        "task %s, matrix.train_sizes: the training split has no more than %d rows, so this run is that on all of it "
        "and no point of the learning curve",
        job.task,
        job.train_size,
    )
    for source, target in ((whole.predictions, outputs.predictions), (whole.model, outputs.model)):
        with atomic_path(target) as temporary:
            link_files(source, temporary)
    write_json(outputs.training, {**read_json(whole.training), "model": job.model, **WHOLE_SPLIT})
