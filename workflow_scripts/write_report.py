"""Write the report and the TRIPOD+AI evidence sheet."""

from pathlib import Path

from script_entry import job

with job(snakemake.log[0]):
    from clinical_peft.files import write_json
    from clinical_peft.metrics.registry import find_metric
    from clinical_peft.report.study_report import ReportSources, write_study_report
    from clinical_peft.runtime.provenance import git_revision
    from clinical_peft.tables.study_tasks import tasks_of

    given, params = snakemake.input, snakemake.params
    write_study_report(
        ReportSources(
            template=Path(given.template),
            tables=Path(given.tables),
            figures=Path(given.figures),
            comparison=Path(given.comparison),
            perplexities=[Path(path) for path in given.perplexities],
            attrition=[Path(path) for path in given.attrition],
            metrics=[Path(path) for path in given.metrics],
            runs=Path(given.runs),
            leakage=Path(given.leakage),
            run_logs=[Path(path) for path in given.run_logs],
            inputs=[Path(path) for path in [*given.cohorts, *filter(None, [params.hospital])]],
        ),
        study=params.study,
        labels=params.labels,
        tasks=tasks_of(params.tasks),
        metric=find_metric(params.metric),
        config=params.config,
        revision=git_revision(Path(__file__).parent),
        mlflow=params.mlflow,
        report=Path(snakemake.output[0]),
        checklist=Path(snakemake.output.checklist),
    )
    write_json(Path(snakemake.output.settings), params.settings)
