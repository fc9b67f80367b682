"""Draw the study's figures."""

from pathlib import Path

from script_entry import job

with job(snakemake.log[0]):
    from clinical_peft.figures.drawing import FigureSources, draw_all
    from clinical_peft.files import atomic_path, read_json

    given = snakemake.input
    predictions: dict[str, dict[str, list[Path]]] = {}
    for path in map(Path, given.predictions):
        model, task = path.parts[-3:-1]
        predictions.setdefault(task, {}).setdefault(model, []).append(path)
    sources = FigureSources(
        aggregate=read_json(Path(given.comparison)),
        perplexities=[read_json(Path(path)) for path in given.perplexities],
        training=[read_json(Path(path)) for path in given.training],
        predictions=predictions,
        classes={Path(path).name.split(".")[0]: Path(path) for path in given.classes},
        cohorts={Path(path).stem: Path(path) for path in given.cohorts},
        attrition={Path(path).name.split(".")[0]: read_json(Path(path)) for path in given.attrition},
        calibration=read_json(Path(given.calibration)),
        pooled=[Path(path) for path in given.pooled],
        bootstrap_seed=snakemake.params.bootstrap_seed,
    )
    with atomic_path(Path(snakemake.output[0])) as folder:
        draw_all(folder, sources, snakemake.params.labels)
