"""Pool the admission notes of several cohorts once."""

from pathlib import Path

from script_entry import job, owned_work

with job(snakemake.log[0]), owned_work(snakemake.params.work, snakemake.output):
    from clinical_peft.recipes import PoolJob
    from clinical_peft.recipes.job_records import job_from_record
    from clinical_peft.runtime.events import JsonlLog
    from clinical_peft.runtime.lineage import Usage
    from clinical_peft.training.pooling import pool_notes

    pool_job = job_from_record(PoolJob, snakemake.params.job)
    name = snakemake.wildcards.features
    log = JsonlLog(Path(snakemake.output.run_log), kind="features", name=name, parent="features")
    log.params(snakemake.params.job)
    usage = Usage()
    pool_notes(
        pool_job,
        cohorts=[Path(path) for path in snakemake.input.cohorts],
        base=Path(snakemake.input.base),
        adapter=Path(snakemake.input.adapter) if pool_job.clinical else None,
        output=Path(snakemake.output.features),
        record=Path(snakemake.output.record),
        log=log,
    )
    log.metrics(usage.metrics())
