"""Recalibrate every run on validation, and measure what its scores are worth."""

from pathlib import Path

from script_entry import job

with job(snakemake.log[0]):
    from clinical_peft.metrics.calibrate import calibrate
    from clinical_peft.metrics.registry import find_metric
    from clinical_peft.metrics.runs import run_files

    calibrate(
        run_files(snakemake.input.metrics, snakemake.input.predictions, snakemake.params.classes),
        metric=find_metric(snakemake.params.metric),
        resamples=snakemake.params.resamples,
        bootstrap_seed=snakemake.params.bootstrap_seed,
        output=Path(snakemake.output[0]),
    )
