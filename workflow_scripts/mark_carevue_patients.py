"""Mark the test patients of the CareVue subset."""

from pathlib import Path

from script_entry import job

with job(snakemake.log[0]):
    from clinical_peft.sources.mimic_iii.carevue import mark_carevue_patients

    mark_carevue_patients(
        [Path(path) for path in snakemake.input.cohorts],
        Path(snakemake.output.patients),
        Path(snakemake.output.summary),
        carevue_patients=Path(snakemake.input.tables[0]) if snakemake.params.listed else None,
        mimic_iii=Path(snakemake.params.mimic_iii),
    )
