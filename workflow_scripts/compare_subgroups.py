"""Compare every model's metrics between groups of patients."""

from pathlib import Path

from script_entry import job

with job(snakemake.log[0]):
    from clinical_peft.metrics.registry import find_metric
    from clinical_peft.metrics.runs import run_files
    from clinical_peft.metrics.subgroup_gaps import compare_subgroups
    from clinical_peft.tasks import tasks_from_records

    compare_subgroups(
        run_files(snakemake.input.metrics, snakemake.input.predictions, snakemake.params.classes),
        [Path(path) for path in snakemake.input.subgroups],
        tasks=tasks_from_records(snakemake.params.tasks),
        metric=find_metric(snakemake.params.metric),
        resamples=snakemake.params.resamples,
        bootstrap_seed=snakemake.params.bootstrap_seed,
        output=Path(snakemake.output[0]),
    )
