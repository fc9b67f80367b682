"""Label a hospital's admissions for one task."""

from pathlib import Path

from script_entry import job

with job(snakemake.log[0]):
    from clinical_peft.data.labelling import LabelRequest, write_labels
    from clinical_peft.sources import OutcomeFiles, find_source
    from clinical_peft.tasks import task_from_record

    params, given, output = snakemake.params, snakemake.input, snakemake.output
    optional = {
        name: Path(given[name]) if given.get(name) else None for name in ("ventilation", "pmv_labels", "icd_map")
    }
    files = OutcomeFiles(folder=Path(params.tables), icd=params.icd, **optional)
    write_labels(
        task_from_record(params.task),
        LabelRequest(
            outcomes=find_source(params.source).outcomes(files),
            switches=params.switches,
            salt=params.salt,
            split=params.pmv_split,
        ),
        output=Path(output.labels),
        classes_output=Path(output.classes),
        attrition_output=Path(output.attrition),
    )
