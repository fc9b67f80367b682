"""Check the cohorts and pretraining corpora for leaks."""

from pathlib import Path

from script_entry import job

with job(snakemake.log[0]):
    from clinical_peft.data.held_out import Repetition
    from clinical_peft.data.leakage import check_leakage
    from clinical_peft.tasks import tasks_from_records

    params = snakemake.params
    check_leakage(
        [Path(path) for path in snakemake.input.cohorts],
        dict(zip(params.corpora, map(Path, snakemake.input.notes), strict=True)),
        Path(snakemake.output[0]),
        tasks=tasks_from_records(params.tasks),
        forbidden=params.forbidden,
        sources={name: Path(str(snakemake.input.source)) for name in params.forbidden},
        with_patients=params.with_patients,
        crossing_allowed=params.crossing_allowed,
        repetition=Repetition(**params.repetition),
        flattened=params.flattened,
        fail_on_stated_outcomes=params.fail_on_stated_outcomes,
        work=Path(params.work),
        processes=snakemake.threads,
    )
