"""Train one clinical adapter."""

import shutil
from pathlib import Path

from script_entry import job

with job(snakemake.log[0]):
    from clinical_peft.events import JsonlLog
    from clinical_peft.recipes import PretrainJob
    from clinical_peft.search.outcome import complete_job
    from clinical_peft.training.launch import run_pretraining

    name, work = snakemake.wildcards.adapter, Path(snakemake.params.work)
    log = JsonlLog(
        Path(snakemake.output.run_log), kind="adapters", name=name, parent="adapters", kept=work / "run.jsonl"
    )
    general = snakemake.input.get("general")
    recipe, resolved = complete_job(PretrainJob, snakemake.params.job, snakemake.input.search)
    log.params(resolved)
    run_pretraining(
        recipe,
        base=Path(snakemake.input.base),
        tokens=Path(snakemake.input.tokens),
        output=Path(snakemake.output.adapter),
        perplexity=Path(snakemake.output.perplexity),
        work=work,
        log=log,
        log_file=Path(snakemake.log[0]),
        **({"general": Path(general)} if general else {}),
    )
    shutil.rmtree(work)
