"""Build the cohort of one task on an own table."""

from pathlib import Path

from script_entry import job

with job(snakemake.log[0]):
    from clinical_peft.runtime.events import JsonlLog
    from clinical_peft.sources.table.cohort import build_table_cohort
    from clinical_peft.sources.table.spec import table_from_record
    from clinical_peft.tasks.own import own_task

    params, output = snakemake.params, snakemake.output
    log = JsonlLog(Path(output.run_log), kind="cohorts", name=snakemake.wildcards.task, parent="data")
    build_table_cohort(
        table_from_record(params.table),
        own_task(params.task),
        Path(snakemake.input.imported),
        output=Path(output.cohort),
        classes_output=Path(output.classes),
        attrition_output=Path(output.attrition),
        drop_stated_outcomes=params.drop_stated_outcomes,
    )
    log.params({"task": params.task["name"]})
