"""Train one clinical adapter."""

from pathlib import Path

from script_entry import job, owned_work

with job(snakemake.log[0]), owned_work(snakemake.params.work, snakemake.output):
    from clinical_peft.recipes import PretrainJob
    from clinical_peft.search.outcome import complete_job
    from clinical_peft.training.adapter_job import AdapterJob, train_adapter

    given, output, params = snakemake.input, snakemake.output, snakemake.params
    found = complete_job(PretrainJob, params.job, given.search, checkpoint_seconds=params.checkpoint_seconds)
    train_adapter(
        AdapterJob(
            job=found[0],
            record=found[1],
            base=Path(given.base),
            tokens=Path(given.tokens),
            general=Path(given.general) if given.get("general") else None,
            adapter=Path(output.adapter),
            perplexity=Path(output.perplexity),
            run_log=Path(output.run_log),
            work=Path(params.work),
            log_file=Path(snakemake.log[0]),
            folder=Path.cwd(),
        )
    )
