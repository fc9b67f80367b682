"""Measure what each of the original's choices is worth."""

from pathlib import Path

from script_entry import job

with job(snakemake.log[0]):
    from clinical_peft.metrics.protocol_gaps import AblationRuns, measure_protocol_gaps
    from clinical_peft.metrics.registry import find_metric

    given, params = snakemake.input, snakemake.params
    seeds = len(params.seeds)
    runs = [
        AblationRuns(
            switch=switch,
            task=task,
            metrics=tuple(map(Path, given.metrics[number * seeds : (number + 1) * seeds])),
            replicates=tuple(map(Path, given.replicates[number * seeds : (number + 1) * seeds])),
            cohort=Path(given.cohorts[number]),
        )
        for number, (switch, task, _, _) in enumerate(params.runs)
    ]
    measure_protocol_gaps(
        runs,
        model=params.model,
        untouched=params.untouched,
        metric=find_metric(params.metric),
        output=Path(snakemake.output[0]),
    )
