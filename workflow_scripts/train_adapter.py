"""Train one clinical adapter."""

from pathlib import Path

from script_entry import job

with job(snakemake.log[0]):
    from clinical_peft.events import JsonlLog
    from clinical_peft.recipes import PretrainJob
    from clinical_peft.search.outcome import complete_job
    from clinical_peft.training.language import pretrain

    name = snakemake.wildcards.adapter
    log = JsonlLog(Path(snakemake.output.run_log), kind="adapters", name=name, parent="adapters")
    recipe, resolved = complete_job(PretrainJob, snakemake.params.job, snakemake.input.search)
    log.params(resolved)
    pretrain(
        recipe,
        base=Path(snakemake.input.base),
        tokens=Path(snakemake.input.tokens),
        output=Path(snakemake.output.adapter),
        perplexity=Path(snakemake.output.perplexity),
        work=Path(snakemake.params.work),
        log=log,
    )
