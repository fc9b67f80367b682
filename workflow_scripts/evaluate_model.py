"""Score one model's predictions on one task, all seeds."""

from pathlib import Path

from script_entry import job

with job(snakemake.log[0]):
    from clinical_peft.data.hidden_splits import hidden_splits
    from clinical_peft.files import read_json, sha256_file
    from clinical_peft.metrics.evaluate import evaluate
    from clinical_peft.metrics.registry import find_metric
    from clinical_peft.metrics.scored_run_log import write_scored_log
    from clinical_peft.runtime.events import read_events
    from clinical_peft.runtime.provenance import environments_of, git_revision, together
    from clinical_peft.tasks import task_from_record, tasks_from_records

    recipe = read_json(Path(snakemake.input.recipe))
    revision = {"git_revision": git_revision(Path(__file__).parent)}
    cohort = Path(snakemake.input.cohort)
    digest = sha256_file(cohort)
    hidden = hidden_splits(list(map(Path, snakemake.input.cohorts)), tasks_from_records(snakemake.params.tasks))
    for index, seed in enumerate(snakemake.params.seeds):
        result = evaluate(
            Path(snakemake.input.predictions[index]),
            Path(snakemake.input.classes),
            task=task_from_record(snakemake.params.task),
            job=recipe,
            protocol=snakemake.params.protocol,
            patients_apart=snakemake.params.patients_apart,
            cohort=cohort,
            cohort_sha256=digest,
            hidden_splits=hidden.get(cohort.stem, ()),
            metric=find_metric(snakemake.params.metric),
            seed=seed,
            resamples=snakemake.params.resamples,
            bootstrap_seed=snakemake.params.bootstrap_seed,
            output=Path(snakemake.output.metrics[index]),
            replicates=Path(snakemake.output.replicates[index]),
            provenance=revision | together([environments_of(read_events(Path(snakemake.input.run_logs[index])))]),
        )
        write_scored_log(
            Path(snakemake.input.run_logs[index]), Path(snakemake.output.run_logs[index]), result, cohort=cohort
        )
