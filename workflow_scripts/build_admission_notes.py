"""Cut discharge summaries down to admission notes."""

from pathlib import Path

from script_entry import job

with job(snakemake.log[0]):
    from clinical_peft.files import write_json
    from clinical_peft.sources import AdmissionRequest, find_source

    params = snakemake.params
    request = AdmissionRequest(
        folder=Path(params.tables),
        note_folder=Path(params.mimic_iv_note or params.tables),
        output=Path(snakemake.output.notes),
        switches=params.switches,
    )
    write_json(Path(snakemake.output.attrition), find_source(params.source).build_admission_notes(request))
