"""Write the results tables."""

from pathlib import Path

from script_entry import job

with job(snakemake.log[0]):
    from clinical_peft.tables.render import write_table
    from clinical_peft.tables.study_tables import TableSources, study_tables

    params = snakemake.params
    tables = study_tables(TableSources.of(snakemake.input), labels=params.labels, protocol=params.protocol)
    for name, table in tables.items():
        write_table(table, Path(snakemake.output[0]).parent / name)
