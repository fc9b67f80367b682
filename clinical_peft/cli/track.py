"""`clinical-peft track`."""

from pathlib import Path

import click

from clinical_peft.cli.arguments import STUDY, examples


@click.command(
    "track",
    short_help="Send STUDY's runs to MLflow, without running a job.",
    epilog=examples("clinical-peft track mine.yaml     # after a tracking server was down"),
)
@STUDY
def COMMAND(study: Path) -> None:
    """Send the finished runs of STUDY, and its results, to MLflow.

    A run of the study sends them by itself. Where a tracking server was down or refused them, this sends them later.
    What MLflow has already is not sent twice. The exit code is 1 if the server still fails.
    """
    from clinical_peft.workflow.opened_study import open_study
    from clinical_peft.workflow.track import track_study

    for line in track_study(open_study(study)):
        click.echo(line)
