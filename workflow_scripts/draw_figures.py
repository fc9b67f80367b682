"""Draw the study's figures."""

from pathlib import Path

from script_entry import job

with job(snakemake.log[0]):
    from clinical_peft.evaluation.drawing import draw_all
    from clinical_peft.files import atomic_path, read_json

    predictions: dict[str, dict[str, list[Path]]] = {}
    for path in map(Path, snakemake.input.predictions):
        model, task = path.parts[-3:-1]
        predictions.setdefault(task, {}).setdefault(model, []).append(path)
    with atomic_path(Path(snakemake.output[0])) as folder:
        draw_all(
            folder,
            aggregate=read_json(Path(snakemake.input.comparison)),
            perplexities=[read_json(Path(path)) for path in snakemake.input.perplexities],
            training=[read_json(Path(path)) for path in snakemake.input.training],
            predictions=predictions,
            classes={Path(path).name.split(".")[0]: Path(path) for path in snakemake.input.classes},
            attrition={Path(path).name.split(".")[0]: read_json(Path(path)) for path in snakemake.input.attrition},
            labels=snakemake.params.labels,
        )
