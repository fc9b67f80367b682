"""Measure what more training rows are worth."""

from pathlib import Path

from script_entry import job

with job(snakemake.log[0]):
    from clinical_peft.disclosure.splits import hidden_splits
    from clinical_peft.metrics.training_size import measure_training_size, sized_runs

    given = snakemake.input
    measure_training_size(
        sized_runs(
            snakemake.params.runs,
            metrics=[Path(path) for path in given.metrics],
            replicates=[Path(path) for path in given.replicates],
            training=[Path(path) for path in given.training],
        ),
        cohorts={Path(path).stem: Path(path) for path in given.cohorts},
        hidden=hidden_splits([Path(path) for path in given.cohorts]),
        output=Path(snakemake.output[0]),
    )
