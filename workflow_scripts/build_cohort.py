"""Build the cohort of one task."""

from pathlib import Path

from script_entry import job

with job(snakemake.log[0]):
    from clinical_peft.data.cohorts import build_cohort
    from clinical_peft.data.splits import given_splits
    from clinical_peft.runtime.events import JsonlLog
    from clinical_peft.sources import OutcomeFiles, find_source
    from clinical_peft.tasks import task_from_record

    params, given = snakemake.params, snakemake.input
    optional = {
        name: Path(given[name]) if given.get(name) else None for name in ("ventilation", "pmv_labels", "icd_map")
    }
    source, folder = find_source(params.source), Path(params.tables)
    files = OutcomeFiles(folder=folder, icd=params.icd, **optional)
    log = JsonlLog(Path(snakemake.output.run_log), kind="cohorts", name=snakemake.wildcards.task, parent="data")
    build_cohort(
        task_from_record(params.task),
        admission_notes=Path(given.notes),
        outcomes=source.outcomes(files),
        splits=given_splits(params.splits, source, folder),
        salt=params.salt,
        pmv_split=params.pmv_split,
        switches=params.switches,
        drop_stated_outcomes=params.drop_stated_outcomes,
        output=Path(snakemake.output.cohort),
        classes_output=Path(snakemake.output.classes),
        attrition_output=Path(snakemake.output.attrition),
    )
    log.params({"task": params.task["name"], **params.switches})
