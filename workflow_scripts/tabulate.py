"""Write the results tables."""

from pathlib import Path

from script_entry import job

with job(snakemake.log[0]):
    from clinical_peft.data.statistics import dataset_statistics
    from clinical_peft.evaluation.render import write_table
    from clinical_peft.evaluation.tables import build_tables
    from clinical_peft.files import read_json

    tables = build_tables(
        statistics=dataset_statistics(Path(path) for path in snakemake.input.cohorts),
        perplexities=[read_json(Path(path)) for path in snakemake.input.perplexities],
        aggregate=read_json(Path(snakemake.input.comparison)),
        labels=snakemake.params.labels,
    )
    for name, table in tables.items():
        write_table(table, Path(snakemake.output[0]).parent / name)
