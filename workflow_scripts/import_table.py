"""Import a user's own table."""

from pathlib import Path

from script_entry import job, owned_work

with job(snakemake.log[0]), owned_work(snakemake.params.work, snakemake.output):
    from clinical_peft.sources.table.importing import import_table
    from clinical_peft.sources.table.spec import table_from_record

    params, output = snakemake.params, snakemake.output
    import_table(
        table_from_record(params.table),
        Path(output.imported),
        Path(output.attrition),
        salt=params.salt,
        work=Path(params.work),
        **params.repetition,
    )
