"""Derive ventilation episodes."""

from pathlib import Path

from script_entry import job

with job(snakemake.log[0]):
    from clinical_peft.data.ventilation import ventilation_episodes

    ventilation_episodes(Path(snakemake.params.mimic_iii), Path(snakemake.output[0]))
