"""Fine-tune one model on one task, all seeds."""

import sys
from pathlib import Path

from script_entry import job, owned_work

with job(snakemake.log[0]), owned_work(snakemake.params.work, snakemake.output):
    from clinical_peft.recipes import FinetuneJob
    from clinical_peft.search.outcome import complete_job
    from clinical_peft.training.kept_seeds import SeedOutputs
    from clinical_peft.training.seeds import finetune_seeds
    from clinical_peft.training.task_data import TaskInputs

    given, output, params = snakemake.input, snakemake.output, snakemake.params
    finetune_job, record = complete_job(
        FinetuneJob, params.job, given.search, checkpoint_seconds=params.checkpoint_seconds
    )
    names = ("cohort", "classes", "base", "adapter", "features")
    places = zip(output.predictions, output.models, output.training, output.run_logs, strict=True)
    whole = zip(*[iter(given.get("whole") or [])] * 4, strict=True)
    kept = finetune_seeds(
        finetune_job,
        record,
        {seed: SeedOutputs(*map(Path, each)) for seed, each in zip(params.seeds, places, strict=True)},
        inputs=TaskInputs(**{name: Path(given[name]) for name in names if given[name]}),
        name=snakemake.wildcards.task,
        recipe_file=Path(output.recipe),
        work=Path(params.work),
        whole={seed: SeedOutputs(*map(Path, each)) for seed, each in zip(params.seeds, whole, strict=False)},
    )
    if kept:
        seeds = ", ".join(map(str, kept))
        print(
            f"note: {finetune_job.model} on {finetune_job.task}: trained before, kept in {params.work}: seed {seeds}",
            file=sys.stderr,
        )
