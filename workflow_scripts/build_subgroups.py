"""Add patient attributes to each admission."""

from pathlib import Path

from script_entry import job

with job(snakemake.log[0]):
    from clinical_peft.data.subgroups import build_subgroups

    build_subgroups(snakemake.params.source, Path(snakemake.params.tables), Path(snakemake.output[0]))
