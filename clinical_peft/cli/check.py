"""`clinical-peft check`."""

from pathlib import Path

import click

from clinical_peft.cli.arguments import STUDY, examples


@click.command(
    "check",
    epilog=examples("clinical-peft check mine.yaml", "clinical-peft check mine.yaml --first-rows   # of huge files"),
)
@STUDY
@click.option("--first-rows", is_flag=True, help="Read the first rows of own files, not all of them.")
def COMMAND(study: Path, first_rows: bool) -> int:
    """Look at everything that STUDY needs before its first job.

    It reads files, columns, ids and classes, looks for bases, tokenizers, GPU, PyTorch, disk and SLURM, and names what
    the matrix leaves out. Nothing is written and no field is shown. The exit code is 1 if something would stop the run.
    """
    from clinical_peft.workflow.commands import as_typed, snakemake_words
    from clinical_peft.workflow.opened_study import open_study
    from clinical_peft.workflow.readiness import check_study, report_findings

    opened = open_study(study)
    errors = report_findings(check_study(opened, whole=not first_rows), click.echo)
    for error in errors:
        for line in error.splitlines():
            click.echo(f"error: {line}", err=True)
    if errors:
        return 1
    click.echo(f"\nReady: clinical-peft run {study}")
    click.echo(f"     $ {as_typed(snakemake_words(study))}")
    return 0
