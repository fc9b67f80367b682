"""Draw the study's figures."""

from pathlib import Path

from script_entry import job

with job(snakemake.log[0]):
    from clinical_peft.figures.drawing import draw_all
    from clinical_peft.files import atomic_path
    from clinical_peft.tables.study_results import read_results

    params = snakemake.params
    results = read_results(snakemake.input, labels=params.labels, bootstrap_seed=params.bootstrap_seed)
    with atomic_path(Path(snakemake.output[0])) as folder:
        draw_all(folder, results)
