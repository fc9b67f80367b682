"""Cut discharge summaries down to admission notes."""

from pathlib import Path

from script_entry import job

with job(snakemake.log[0]):
    from clinical_peft.data import admission_notes
    from clinical_peft.data.mimic_iv import admission_notes as mimic_iv
    from clinical_peft.files import write_json

    params, output = snakemake.params, Path(snakemake.output.notes)
    if params.source == "mimic-iv":
        attrition = mimic_iv.build_admission_notes(
            Path(params.tables),
            Path(params.mimic_iv_note),
            output,
            addenda_searched=params.switches["addenda_searched"],
        )
    else:
        attrition = admission_notes.build_admission_notes(Path(params.tables), output, **params.switches)
    write_json(Path(snakemake.output.attrition), attrition)
