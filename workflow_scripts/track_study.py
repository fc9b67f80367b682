"""Give MLflow what the study as a whole found."""

from pathlib import Path

from script_entry import job

with job(snakemake.log[0]):
    from clinical_peft.files import read_json
    from clinical_peft.runtime.lineage import run_log_files, training_environments
    from clinical_peft.runtime.provenance import environment_tags, git_revision
    from clinical_peft.tracking.finished_study import study_artifacts
    from clinical_peft.tracking.sending import send_study

    given, params = snakemake.input, snakemake.params
    artifacts = study_artifacts(
        report=Path(given.report), tables=given.tables, figures=Path(given.figures), cards=given.cards
    )
    trained = training_environments(run_log_files(given.run_logs))
    send_study(
        uri=params.uri,
        study=params.study["study"],
        record=Path(snakemake.output[0]),
        description={key: value for key, value in params.study.items() if key != "study"},
        aggregate=read_json(Path(given.comparison)),
        metric=params.metric,
        labels=params.labels,
        artifacts=artifacts if params.artifacts else {},
        adapters={Path(path).name: Path(path) for path in given.adapters} if params.register else {},
        tags={"git_revision": git_revision(Path(__file__).parent), **environment_tags(trained.values())},
    )
