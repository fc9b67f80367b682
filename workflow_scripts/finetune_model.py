"""Fine-tune one model on one task, all seeds."""

import shutil
from pathlib import Path

from script_entry import job, owned_work

with job(snakemake.log[0]), owned_work(snakemake.params.work, snakemake.output):
    from clinical_peft.events import JsonlLog
    from clinical_peft.files import write_json
    from clinical_peft.lineage import Usage
    from clinical_peft.recipes import FinetuneJob
    from clinical_peft.search.outcome import complete_job
    from clinical_peft.training.trainers import trainer_of

    given, output, params = snakemake.input, snakemake.output, snakemake.params
    recipe, resolved = complete_job(FinetuneJob, params.job, given.search)
    names = ("cohort", "classes", "base", "adapter", "features")
    train = trainer_of(recipe, **{name: Path(given[name]) if given[name] else None for name in names})
    for index, seed in enumerate(params.seeds):
        work, name = Path(params.work) / f"seed{seed}", f"{snakemake.wildcards.task}/seed{seed}"
        path = Path(output.run_logs[index])
        log = JsonlLog(path, kind="models", name=name, parent=recipe.model, kept=work / "run.jsonl")
        log.params(resolved)
        usage = Usage()
        record = train(
            seed=seed,
            work=work,
            predictions=Path(output.predictions[index]),
            model_directory=Path(output.models[index]),
            log=log,
        )
        log.metrics(usage.figures())
        write_json(Path(output.training[index]), {"model": recipe.model, "task": recipe.task, "seed": seed, **record})
    write_json(Path(output.recipe), resolved)
    shutil.rmtree(params.work)
