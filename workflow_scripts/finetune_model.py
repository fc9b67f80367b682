"""Fine-tune one model on one task, all seeds."""

import shutil
from pathlib import Path

from script_entry import job

with job(snakemake.log[0]):
    from clinical_peft.events import JsonlLog
    from clinical_peft.files import write_json
    from clinical_peft.lineage import Usage
    from clinical_peft.recipes import FinetuneJob
    from clinical_peft.search.outcome import complete_job

    output, params = snakemake.output, snakemake.params
    recipe, resolved = complete_job(FinetuneJob, params.job, snakemake.input.search)
    inputs = {"cohort": Path(snakemake.input.cohort), "classes": Path(snakemake.input.classes)}
    adapter = Path(snakemake.input.adapter) if recipe.clinical else None
    if recipe.kind == "tfidf":
        from clinical_peft.training.classical import fit_tfidf
    elif snakemake.input.features:
        from clinical_peft.training.head_runs import finetune_head as finetune
        from clinical_peft.training.head_runs import prepare_head

        prepared = prepare_head(recipe, **inputs, features=Path(snakemake.input.features), adapter=adapter)
    else:
        from clinical_peft.training.classification import finetune, prepare

        prepared = prepare(recipe, **inputs, base=Path(snakemake.input.base), adapter=adapter)
    for index, seed in enumerate(params.seeds):
        work = Path(params.work) / f"seed{seed}"
        log = JsonlLog(
            Path(output.run_logs[index]),
            kind="models",
            name=f"{recipe.task}/seed{seed}",
            parent=recipe.model,
            kept=work / "run.jsonl",
        )
        log.params(resolved)
        usage = Usage()
        written = {"predictions": Path(output.predictions[index]), "model_directory": Path(output.models[index])}
        if recipe.kind == "tfidf":
            record = fit_tfidf(recipe, **inputs, seed=seed, **written, log=log)
        else:
            record = finetune(prepared, seed=seed, work=work, **written, log=log)
        log.metrics(usage.figures())
        write_json(Path(output.training[index]), {"model": recipe.model, "task": recipe.task, "seed": seed, **record})
    write_json(Path(output.recipe), resolved)
    shutil.rmtree(params.work)
