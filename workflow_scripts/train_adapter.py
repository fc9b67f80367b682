"""Train one clinical adapter."""

from pathlib import Path

from script_entry import job

with job(snakemake.log[0]):
    from clinical_peft.events import JsonlLog
    from clinical_peft.experiments import job_from_record
    from clinical_peft.recipes import PretrainJob
    from clinical_peft.training.language import pretrain

    name = snakemake.wildcards.adapter
    log = JsonlLog(Path(snakemake.output.run_log), kind="adapters", name=name, parent="adapters")
    log.params(snakemake.params.job)
    pretrain(
        job_from_record(PretrainJob, snakemake.params.job),
        base=Path(snakemake.input.base),
        tokens=Path(snakemake.input.tokens),
        output=Path(snakemake.output.adapter),
        perplexity=Path(snakemake.output.perplexity),
        work=Path(snakemake.params.work),
        log=log,
    )
