"""Draw the study's figures."""

from pathlib import Path

from script_entry import job

with job(snakemake.log[0]):
    from clinical_peft.figures.drawing import draw_all
    from clinical_peft.files import atomic_path
    from clinical_peft.metrics.registry import find_metric
    from clinical_peft.tables.study_results import read_results
    from clinical_peft.tables.study_tasks import tasks_of

    params = snakemake.params
    results = read_results(
        snakemake.input,
        labels=params.labels,
        bootstrap_seed=params.bootstrap_seed,
        tasks=tasks_of(params.tasks),
        metric=find_metric(params.metric),
    )
    with atomic_path(Path(snakemake.output[0])) as folder:
        draw_all(folder, results)
