"""Measure what pretraining on the notes of test patients is worth."""

from pathlib import Path

from script_entry import job

with job(snakemake.log[0]):
    from clinical_peft.metrics.contamination_gaps import ComparedModels, measure_contamination

    given, params = snakemake.input, snakemake.params
    measure_contamination(
        [Path(path) for path in given.metrics],
        [Path(path) for path in given.predictions],
        {task: Path(path) for task, path in params.classes.items()},
        Path(given.membership),
        Path(given.source),
        models=ComparedModels(**params.models),
        resamples=params.resamples,
        bootstrap_seed=params.bootstrap_seed,
        output=Path(snakemake.output[0]),
    )
