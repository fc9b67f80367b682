"""Write the results tables."""

from pathlib import Path

from script_entry import job

with job(snakemake.log[0]):
    from clinical_peft.metrics.registry import find_metric
    from clinical_peft.tables.registry import build_tables
    from clinical_peft.tables.render import write_table
    from clinical_peft.tables.stored import store_tables
    from clinical_peft.tables.study_results import read_results
    from clinical_peft.tables.study_tasks import tasks_of

    params = snakemake.params
    results = read_results(
        snakemake.input,
        labels=params.labels,
        protocol=params.protocol,
        has_paper_cohorts=params.has_paper_cohorts,
        tasks=tasks_of(params.tasks),
        metric=find_metric(params.metric),
    )
    tables = build_tables(results)
    for name, table in tables.items():
        write_table(table, Path(snakemake.output[0]).parent / name)
    store_tables(tables, Path(snakemake.output.stored))
