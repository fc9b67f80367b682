"""Derive ventilation episodes, or periods of one way of ventilation."""

from pathlib import Path

from script_entry import job

with job(snakemake.log[0]):
    from clinical_peft.data.ventilation_table import write_intervals
    from clinical_peft.sources import find_source

    params = snakemake.params
    source = find_source(params.source)
    found = source.derive_ventilation(Path(params.tables), work=Path(params.work), adjusted=params.adjusted)
    write_intervals(Path(snakemake.output[0]), *found)
