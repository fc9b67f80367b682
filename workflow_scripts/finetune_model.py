"""Fine-tune one model on one task, all seeds."""

import sys
from pathlib import Path

from script_entry import job, owned_work

with job(snakemake.log[0]), owned_work(snakemake.params.work, snakemake.output):
    from clinical_peft.recipes import FinetuneJob
    from clinical_peft.search.outcome import complete_job
    from clinical_peft.training.kept_seeds import SeedOutputs
    from clinical_peft.training.seeds import finetune_seeds

    given, output, params = snakemake.input, snakemake.output, snakemake.params
    recipe, resolved = complete_job(FinetuneJob, params.job, given.search, checkpoint_seconds=params.checkpoint_seconds)
    names = ("cohort", "classes", "base", "adapter", "features")
    places = zip(output.predictions, output.models, output.training, output.run_logs, strict=True)
    kept = finetune_seeds(
        recipe,
        resolved,
        {seed: SeedOutputs(*map(Path, each)) for seed, each in zip(params.seeds, places, strict=True)},
        inputs={name: Path(given[name]) if given[name] else None for name in names},
        name=snakemake.wildcards.task,
        recipe_file=Path(output.recipe),
        work=Path(params.work),
    )
    if kept:
        seeds = ", ".join(map(str, kept))
        print(f"{recipe.model} on {recipe.task}: trained before, kept in {params.work}: seed {seeds}", file=sys.stderr)
