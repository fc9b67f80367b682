"""Describe the cohorts."""

from pathlib import Path

from script_entry import job

with job(snakemake.log[0]):
    from clinical_peft.data.hidden_splits import hidden_splits
    from clinical_peft.data.statistics import dataset_statistics, publishable
    from clinical_peft.files import write_json
    from clinical_peft.tasks import tasks_from_records

    cohorts = [Path(path) for path in snakemake.input.cohorts]
    hidden = hidden_splits(cohorts, tasks_from_records(snakemake.params.tasks))
    statistics = dataset_statistics(
        cohorts,
        {Path(folder).name: Path(folder) for folder in snakemake.input.bases},
    )
    write_json(Path(snakemake.output[0]), [publishable(row, hidden[row["task"]]) for row in statistics])
