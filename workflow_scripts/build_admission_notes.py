"""Cut discharge summaries down to admission notes."""

from pathlib import Path

from script_entry import job

with job(snakemake.log[0]):
    from clinical_peft.data.admission_notes import build_admission_notes
    from clinical_peft.files import write_json

    attrition = build_admission_notes(
        Path(snakemake.params.mimic_iii),
        Path(snakemake.output.notes),
        sections_unanchored=snakemake.params.sections_unanchored,
        addenda_searched=snakemake.params.addenda_searched,
    )
    write_json(Path(snakemake.output.attrition), attrition)
