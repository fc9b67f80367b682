"""The seeds of one fine-tuning job: finished ones are restored, the others are trained."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clinical_peft.files import write_json
from clinical_peft.recipes import FinetuneJob
from clinical_peft.runtime.events import JsonlLog
from clinical_peft.runtime.lineage import Usage
from clinical_peft.training.finetuning import PreparedTask, finetune, prepare_task
from clinical_peft.training.kept_seeds import (
    SeedOutputs,
    forget_checkpoints,
    inputs_digest,
    keep_seed,
    restore_seed,
    seed_key,
)
from clinical_peft.training.task_data import TaskInputs


def finetune_seeds(
    job: FinetuneJob,
    record: Mapping[str, Any],
    outputs: Mapping[int, SeedOutputs],
    *,
    inputs: TaskInputs,
    name: str,
    recipe_file: Path,
    work: Path,
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

    Returns:
        The seeds that were restored, having been trained with the same recipe and inputs.

    Raises:
        TrainingError: See `clinical_peft.training.finetuning`.
    """
    digest = inputs_digest(inputs)
    keys = {seed: seed_key(record, digest, seed) for seed in outputs}
    kept = [seed for seed, each in outputs.items() if restore_seed(work, seed, keys[seed], each)]
    missing = [seed for seed in outputs if seed not in kept]
    if missing:
        task = prepare_task(job, inputs)
        for seed in missing:
            _finetune_seed(task, record, seed, outputs[seed], name=name, work=work / f"seed{seed}")
            keep_seed(work, seed, keys[seed], outputs[seed])
    write_json(recipe_file, record)
    forget_checkpoints(work)
    return kept


def _finetune_seed(
    task: PreparedTask, record: Mapping[str, Any], seed: int, outputs: SeedOutputs, *, name: str, work: Path
) -> None:
    job = task.job
    log = JsonlLog(outputs.run_log, kind="models", name=f"{name}/seed{seed}", parent=job.model, kept=work / "run.jsonl")
    log.params(record)
    usage = Usage()
    summary = finetune(
        task, seed=seed, work=work, log=log, predictions=outputs.predictions, model_directory=outputs.model
    )
    log.metrics(usage.metrics())
    write_json(outputs.training, {"model": job.model, "task": job.task, "seed": seed, **summary})
