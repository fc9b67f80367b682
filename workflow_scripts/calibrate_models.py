"""Recalibrate every run on validation, and measure what its scores are worth."""

from pathlib import Path

from script_entry import job

with job(snakemake.log[0]):
    from clinical_peft.metrics.calibrate import calibrate

    calibrate(
        [Path(path) for path in snakemake.input.metrics],
        [Path(path) for path in snakemake.input.predictions],
        {task: Path(path) for task, path in snakemake.params.classes.items()},
        resamples=snakemake.params.resamples,
        bootstrap_seed=snakemake.params.bootstrap_seed,
        output=Path(snakemake.output[0]),
    )
