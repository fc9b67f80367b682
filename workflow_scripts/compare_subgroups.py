"""Compare every model's metrics between groups of patients."""

from pathlib import Path

from script_entry import job

with job(snakemake.log[0]):
    from clinical_peft.metrics.subgroup_gaps import compare_subgroups

    compare_subgroups(
        [Path(path) for path in snakemake.input.metrics],
        [Path(path) for path in snakemake.input.predictions],
        {task: Path(path) for task, path in snakemake.params.classes.items()},
        Path(snakemake.input.subgroups[0]) if snakemake.input.subgroups else None,
        resamples=snakemake.params.resamples,
        bootstrap_seed=snakemake.params.bootstrap_seed,
        output=Path(snakemake.output[0]),
    )
