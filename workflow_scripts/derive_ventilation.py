"""Derive ventilation episodes, or periods of one way of ventilation."""

from pathlib import Path

from script_entry import job

with job(snakemake.log[0]):
    from clinical_peft.data.mimic_iv.ventilation import find_periods
    from clinical_peft.data.ventilation import find_episodes
    from clinical_peft.data.ventilation_table import write_intervals

    tables, work = Path(snakemake.params.tables), Path(snakemake.params.work)
    if snakemake.params.source == "mimic-iv":
        found = find_periods(tables, work, adjusted=snakemake.params.adjusted)
    else:
        found = find_episodes(tables, work)
    write_intervals(Path(snakemake.output[0]), *found)
