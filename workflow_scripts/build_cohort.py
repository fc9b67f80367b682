"""Build the cohort of one task."""

from pathlib import Path

from script_entry import job

with job(snakemake.log[0]):
    from clinical_peft.data.cohorts import build_cohort
    from clinical_peft.runtime.events import JsonlLog
    from clinical_peft.sources import OutcomeFiles, find_source

    params, given = snakemake.params, snakemake.input
    optional = {
        name: Path(given[name]) if given.get(name) else None for name in ("ventilation", "pmv_labels", "icd_map")
    }
    files = OutcomeFiles(folder=Path(params.tables), icd=params.icd, **optional)
    log = JsonlLog(Path(snakemake.output.run_log), kind="cohorts", name=snakemake.wildcards.task, parent="data")
    build_cohort(
        params.task,
        admission_notes=Path(given.notes),
        outcomes=find_source(params.source).outcomes(files),
        splits="hash" if params.splits == "hash" else Path(params.splits),
        salt=params.salt,
        pmv_split=params.pmv_split,
        switches=params.switches,
        drop_stated_outcomes=params.drop_stated_outcomes,
        output=Path(snakemake.output.cohort),
        classes_output=Path(snakemake.output.classes),
        attrition_output=Path(snakemake.output.attrition),
    )
    log.params({"task": params.task, **params.switches})
