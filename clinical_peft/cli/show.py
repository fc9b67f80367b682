"""`clinical-peft show`."""

import shutil
import sys
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from clinical_peft.cli.arguments import STUDY, examples


def _complete_table(context: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """Names of the study's tables, for a shell; nothing where the study has none or cannot be read."""
    from clinical_peft.errors import ClinicalPeftError
    from clinical_peft.tables.terminal import stored_tables

    try:
        names = stored_tables(_results(Path(context.params["study"])))
    except ClinicalPeftError:
        return []
    return [CompletionItem(name) for name in names if name.startswith(begun)]


@click.command(
    "show",
    epilog=examples(
        "clinical-peft show mine.yaml                   # the main comparison",
        "clinical-peft show mine.yaml --list",
        "clinical-peft show mine.yaml domain_adaptation",
        "clinical-peft show results/mine metrics",
    ),
)
@STUDY
@click.argument("table", required=False, shell_complete=_complete_table)
@click.option("--list", "is_list", is_flag=True, help="Name the tables that have rows.")
def COMMAND(study: Path, table: str | None, is_list: bool) -> None:
    """Print a TABLE of STUDY, or the main comparison.

    STUDY is a study's file, or the folder of its results.
    """
    from clinical_peft.tables.terminal import as_text, choose_table, list_tables, stored_tables

    results = _results(study)
    tables = stored_tables(results)
    if is_list:
        click.echo(list_tables(tables))
        return
    chosen = choose_table(tables, table)
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    click.echo(as_text(chosen, width=width))
    click.echo(f"\nFile: {results}/tables/{chosen.name}.md (also .csv, .tex, .html)")


def _results(study: Path) -> Path:
    from clinical_peft.workflow.opened_study import open_study

    return study if study.is_dir() else open_study(study).results
