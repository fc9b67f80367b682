"""Measure the perplexity of a clinical adapter that exists already."""

from pathlib import Path

from script_entry import job, owned_work

with job(snakemake.log[0]), owned_work(snakemake.params.work, snakemake.output):
    from clinical_peft.recipes import MeasureJob
    from clinical_peft.recipes.job_records import job_from_record
    from clinical_peft.runtime.events import JsonlLog
    from clinical_peft.runtime.lineage import Usage
    from clinical_peft.training.measuring import measure_adapter

    given, output, params = snakemake.input, snakemake.output, snakemake.params
    usage, work = Usage(), Path(params.work)
    name = snakemake.wildcards.adapter
    log = JsonlLog(Path(output.run_log), kind="adapters", name=name, parent="adapters", kept=work / "run.jsonl")
    log.params(params.job)
    measure_adapter(
        job_from_record(MeasureJob, params.job),
        **{key: Path(given[key]) for key in ("base", "adapter", "tokens")},
        perplexity=Path(output.perplexity),
        work=work,
        log=log,
        general=Path(given.general) if given.get("general") else None,
    )
    log.metrics(usage.metrics())
