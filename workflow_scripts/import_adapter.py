"""Bring a clinical adapter that exists already into the study."""

from pathlib import Path

from script_entry import job

with job(snakemake.log[0]):
    from clinical_peft.models.external_adapters import import_adapter

    source, base, output = Path(snakemake.params.source), Path(snakemake.input.base), Path(snakemake.output[0])
    import_adapter(source, output, base=base, name=snakemake.wildcards.adapter)
