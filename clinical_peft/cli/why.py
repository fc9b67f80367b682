"""`clinical-peft why`."""

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from clinical_peft.cli.arguments import STUDY, examples

if TYPE_CHECKING:
    from clinical_peft.workflow.reruns import PlannedJob


@click.command(
    "why", short_help="Name the keys for which jobs would run again.", epilog=examples("clinical-peft why mine.yaml")
)
@STUDY
def COMMAND(study: Path) -> None:
    """Say which jobs of STUDY would run again, and for which key of the study file or which file.

    Snakemake decides; this compares what each finished job was told with what it would be told now. Nothing runs.
    """
    from clinical_peft.workflow.commands import as_typed, snakemake_words
    from clinical_peft.workflow.named_files import require_files
    from clinical_peft.workflow.opened_study import open_study
    from clinical_peft.workflow.reruns import explain_reruns, render_reruns, require_results

    opened = open_study(study)
    require_results(opened.results, study)
    require_files(opened.study)
    jobs = _jobs(study)
    click.echo(f"$ {as_typed(snakemake_words(study, ['-n']))}\n")
    click.echo(render_reruns(opened.study, explain_reruns(opened.study, jobs)))


def _jobs(study: Path) -> "list[PlannedJob]":
    """Ask Snakemake, in a process of its own."""
    from clinical_peft.errors import ConfigError
    from clinical_peft.workflow.opened_study import CLONE, is_default
    from clinical_peft.workflow.reruns import PlannedJob

    studies = [] if is_default(study) else [str(study)]
    command = [sys.executable, "-m", "clinical_peft.cli.dry_run", str(CLONE / "Snakefile"), *studies]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line.removeprefix("error: ") for line in done.stderr.splitlines() if line.startswith("error: ")]
        raise ConfigError("\n".join(lines) or f"Snakemake ended with code {done.returncode}; run it with -n to see why")
    return [PlannedJob(**record) for record in json.loads(done.stdout)]
