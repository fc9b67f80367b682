"""Take the columns of an own table that metrics are compared between."""

from pathlib import Path

from script_entry import job

with job(snakemake.log[0]):
    from clinical_peft.sources.table.groups import write_subgroups
    from clinical_peft.sources.table.spec import table_from_record

    write_subgroups(table_from_record(snakemake.params.table), Path(snakemake.input[0]), Path(snakemake.output[0]))
