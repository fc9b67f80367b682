"""`clinical-peft run`."""

from pathlib import Path

import click

from clinical_peft.cli.arguments import STUDY, examples


@click.command(
    "run",
    short_help="Run STUDY with Snakemake.",
    options_metavar="",
    epilog=examples(
        "clinical-peft run mine.yaml",
        "clinical-peft run mine.yaml -- --cores 4 tables",
        "clinical-peft run mine.yaml -- --workflow-profile profiles/slurm",
    ),
)
@STUDY
@click.argument("options", nargs=-1, type=click.UNPROCESSED, metavar="[-- OPTIONS]")
def COMMAND(study: Path, options: tuple[str, ...]) -> None:
    """Run STUDY with Snakemake, on all cores unless OPTIONS say otherwise.

    OPTIONS, behind --, are Snakemake's own options and targets. The command is printed before it runs. The same command
    continues a study that was interrupted. Nothing goes to the Hugging Face Hub unless you name the target push_to_hub.
    """
    from clinical_peft.workflow.commands import as_typed, replace_process, snakemake_words

    words = snakemake_words(study, options)
    click.echo(f"$ {as_typed(words)}")
    replace_process(words)
