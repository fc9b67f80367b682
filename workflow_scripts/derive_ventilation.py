"""Derive ventilation episodes, or periods of one way of ventilation."""

from pathlib import Path

from script_entry import job

with job(snakemake.log[0]):
    from clinical_peft.data.mimic_iv.ventilation import ventilation_periods
    from clinical_peft.data.ventilation import ventilation_episodes

    derive = ventilation_periods if snakemake.params.source == "mimic-iv" else ventilation_episodes
    derive(Path(snakemake.params.tables), Path(snakemake.output[0]))
