"""Choose the best recipe of a search from its workers' trials."""

from pathlib import Path

from script_entry import job

with job(snakemake.log[0]):
    from clinical_peft.config.search_spaces import from_record
    from clinical_peft.search.outcome import choose_best

    choose_best(
        from_record(snakemake.params.search),
        [Path(path) for path in snakemake.input],
        searched=", ".join(snakemake.wildcards),
        best=Path(snakemake.output.best),
        table=Path(snakemake.output.table),
    )
