"""Score one model's predictions on one task, all seeds."""

from pathlib import Path

from script_entry import job

with job(snakemake.log[0]):
    from clinical_peft.data.hidden_splits import hidden_splits
    from clinical_peft.disclosure.ablations import hidden_counts
    from clinical_peft.files import read_json, sha256_file
    from clinical_peft.metrics.evaluate import evaluate
    from clinical_peft.metrics.registry import find_metric
    from clinical_peft.metrics.scored_run_log import provenance_of, write_scored_log
    from clinical_peft.tasks import task_from_record, tasks_from_records

    cohort, cohorts = Path(snakemake.input.cohort), [Path(path) for path in snakemake.input.cohorts]
    digest = sha256_file(cohort)
    hidden = hidden_counts(cohort, cohorts, hidden_splits(cohorts, tasks_from_records(snakemake.params.tasks)))
    for index, seed in enumerate(snakemake.params.seeds):
        log, scored_log = (Path(paths[index]) for paths in (snakemake.input.run_logs, snakemake.output.run_logs))
        result = evaluate(
            Path(snakemake.input.predictions[index]),
            Path(snakemake.input.classes),
            task=task_from_record(snakemake.params.task),
            job=read_json(Path(snakemake.input.recipe)),
            protocol=snakemake.params.protocol,
            patients_apart=snakemake.params.patients_apart,
            cohort=cohort,
            cohort_sha256=digest,
            hidden_splits=hidden.splits,
            hidden_positives=hidden.positives,
            metric=find_metric(snakemake.params.metric),
            seed=seed,
            resamples=snakemake.params.resamples,
            bootstrap_seed=snakemake.params.bootstrap_seed,
            output=Path(snakemake.output.metrics[index]),
            replicates=Path(snakemake.output.replicates[index]),
            provenance=provenance_of(log, code=Path(__file__).parent),
        )
        write_scored_log(log, scored_log, result, cohort=cohort, hidden_splits=hidden.splits)
