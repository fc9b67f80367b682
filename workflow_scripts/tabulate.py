"""Write the results tables."""

from pathlib import Path

from script_entry import job

with job(snakemake.log[0]):
    from clinical_peft.tables.registry import build_tables
    from clinical_peft.tables.render import write_table
    from clinical_peft.tables.stored import store_tables
    from clinical_peft.tables.study_results import read_results

    params = snakemake.params
    tables = build_tables(read_results(snakemake.input, labels=params.labels, protocol=params.protocol))
    for name, table in tables.items():
        write_table(table, Path(snakemake.output[0]).parent / name)
    store_tables(tables, Path(snakemake.output.stored))
