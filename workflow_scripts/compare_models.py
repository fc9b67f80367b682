"""Average the seeds and compare models in pairs."""

from pathlib import Path

from script_entry import job

with job(snakemake.log[0]):
    from clinical_peft.metrics.aggregate import aggregate
    from clinical_peft.metrics.registry import find_metric
    from clinical_peft.tasks import tasks_from_records

    aggregate(
        [Path(path) for path in snakemake.input.metrics],
        [Path(path) for path in snakemake.input.replicates],
        predictions=[Path(path) for path in snakemake.input.predictions],
        classes={task: Path(path) for task, path in snakemake.params.classes.items()},
        tasks=tasks_from_records(snakemake.params.tasks),
        metric=find_metric(snakemake.params.metric),
        groups=snakemake.params.groups,
        output=Path(snakemake.output[0]),
    )
