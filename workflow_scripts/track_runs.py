"""Send run logs to MLflow."""

from pathlib import Path

from script_entry import job

with job(snakemake.log[0]):
    from clinical_peft.files import write_json
    from clinical_peft.runtime.lineage import run_log_files
    from clinical_peft.runtime.provenance import git_revision
    from clinical_peft.tracking.run_logs import sync_runs

    tags = {"git_revision": git_revision(Path(__file__).parent)}
    logs = run_log_files(snakemake.input.run_logs)
    runs = sync_runs(logs, uri=snakemake.params.uri, study=snakemake.params.study, tags=tags)
    write_json(Path(snakemake.output[0]), runs)
