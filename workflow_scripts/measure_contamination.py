"""Measure what pretraining on the notes of test patients is worth."""

from pathlib import Path

from script_entry import job

with job(snakemake.log[0]):
    from clinical_peft.metrics.contamination_gaps import ComparedModels, measure_contamination
    from clinical_peft.metrics.registry import find_metric
    from clinical_peft.metrics.runs import run_files

    given, params = snakemake.input, snakemake.params
    measure_contamination(
        run_files(given.metrics, given.predictions, params.classes),
        Path(given.membership),
        Path(given.source),
        models=ComparedModels(**params.models),
        metric=find_metric(params.metric),
        resamples=params.resamples,
        bootstrap_seed=params.bootstrap_seed,
        output=Path(snakemake.output[0]),
    )
