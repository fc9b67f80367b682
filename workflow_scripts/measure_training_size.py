"""Measure what more training rows are worth."""

from pathlib import Path

from script_entry import job

with job(snakemake.log[0]):
    from clinical_peft.data.hidden_splits import hidden_splits
    from clinical_peft.metrics.registry import find_metric
    from clinical_peft.metrics.training_size import measure_training_size, sized_runs
    from clinical_peft.tasks import tasks_from_records

    given, params = snakemake.input, snakemake.params
    cohorts = {Path(path).stem: Path(path) for path in given.cohorts}
    measure_training_size(
        sized_runs(
            params.runs,
            metrics=[Path(path) for path in given.metrics],
            replicates=[Path(path) for path in given.replicates],
            training=[Path(path) for path in given.training],
        ),
        cohorts=cohorts,
        hidden=hidden_splits(list(cohorts.values()), tasks_from_records(params.tasks)),
        metric=find_metric(params.metric),
        output=Path(snakemake.output[0]),
    )
