"""Send run logs to MLflow."""

from pathlib import Path

from script_entry import job

with job(snakemake.log[0]):
    from clinical_peft.runtime.lineage import run_log_files
    from clinical_peft.runtime.provenance import git_revision
    from clinical_peft.tracking.sending import send_runs

    send_runs(
        run_log_files(snakemake.input.run_logs),
        uri=snakemake.params.uri,
        study=snakemake.params.study,
        tags={"git_revision": git_revision(Path(__file__).parent)},
        record=Path(snakemake.output[0]),
    )
