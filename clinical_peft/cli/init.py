"""`clinical-peft init`."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from clinical_peft.cli.arguments import examples

if TYPE_CHECKING:
    from clinical_peft.workflow.own_file import OwnFile

ROLES = ("id", "text", "label", "patient", "time", "site")
FOLDERS = {
    "mimic_iii": "Folder of MIMIC-III.",
    "mimic_iv_note": "Folder of MIMIC-IV-Note.",
    "mimic_iv": "Folder of MIMIC-IV, for outcomes; needs MIMIC-IV-Note.",
}
SOURCES = {
    "table": "a file of notes with an outcome for each",
    "notes": "a file of notes alone",
    "mimic": "folders of MIMIC",
}
Verb = TypeVar("Verb", bound=Callable[..., Any])
PATH = click.Path(path_type=Path)


def is_terminal() -> bool:
    """Whether someone can answer."""
    return sys.stdin.isatty()


def _folders(command: Verb) -> Verb:
    """Add an option for each folder of MIMIC."""
    for key, help_text in reversed(FOLDERS.items()):
        command = click.option(f"--{key.replace('_', '-')}", key, type=PATH, help=help_text)(command)
    return command


def _columns(command: Verb) -> Verb:
    """Add an option for each role of a column."""
    for role in reversed(ROLES):
        command = click.option(f"--{role}", metavar="COLUMN", help=f"Column of the {role}.")(command)
    return command


@click.command(
    "init",
    epilog=examples(
        "clinical-peft init                                   # asks",
        "clinical-peft init --table notes.csv --label readmitted --patient mrn",
        "clinical-peft init --notes notes.jsonl --base OWNER/NAME",
        "clinical-peft init --mimic-iii /data/mimic-iii-1.4 --mimic-iv-note /data/mimic-iv-note-2.2",
        "clinical-peft init --table notes.csv --tracking-uri sqlite:////data/mlflow.db",
    ),
)
@click.option("--table", type=PATH, help="File of notes with an outcome: .csv, .jsonl or .parquet, gzipped or not.")
@click.option("--notes", type=PATH, help="File of notes without an outcome.")
@_folders
@_columns
@click.option("--title", help="Title of the outcome, for readers.")
@click.option("--base", metavar="BASE", help="tiny (trained here), smollm2, a folder, or OWNER/NAME on the Hub.")
@click.option("--tracking-uri", metavar="URI", help="One MLflow store for several studies, to compare them.")
@click.option("--name", help="Name of the study; that of the file if absent.")
@click.option("-o", "--output", type=PATH, help="File to write; NAME.yaml if absent.")
def COMMAND(
    table: Path | None,
    notes: Path | None,
    title: str | None,
    base: str | None,
    tracking_uri: str | None,
    name: str | None,
    output: Path | None,
    **more: str | Path | None,
) -> None:
    """Write a short study file for your own data.

    Columns are recognised by their names; name the others by option. On a terminal, what is missing is asked for. A
    file that exists is never replaced.
    """
    from clinical_peft.workflow.new_study import NewStudy, write_new_study
    from clinical_peft.workflow.new_study_bases import TINY
    from clinical_peft.workflow.new_study_names import plain_name, stem

    folders = {key: Path(value) for key in FOLDERS if (value := more[key]) is not None}
    asks = is_terminal() and not (table or notes or folders)
    if asks:
        table, notes, folders = _ask_source()
        base = base or click.prompt("Base (tiny, smollm2, a folder, or OWNER/NAME on the Hub)", default=TINY)
        tracking_uri = tracking_uri or click.prompt("MLflow store shared with other studies", default="") or None
    given = {role: value if (value := more[role]) is None else str(value) for role in ROLES}
    own = _look(table, given, with_label=True)
    alone = _look(notes, given if table is None else {}, with_label=False)
    first = table or notes
    name = (
        name or (output and plain_name(stem(output), "mine")) or (plain_name(stem(first), "mine") if first else "mimic")
    )
    new = NewStudy(
        name=name,
        table=own,
        notes=alone,
        reads_note_file=alone is None or alone.fits_note_files,
        folders=folders,
        base=base or TINY,
        title=title,
        tracking_uri=tracking_uri,
    )
    path = output or Path(f"{name}.yaml")
    write_new_study(new, path)
    for file in (own, alone):
        if file is not None:
            columns = ", ".join(f"{role} {column}" for role, column in file.columns.items())
            click.echo(f"{file.path}: {columns}{'' if file.label is None else f'; {file.label.type} outcome'}")
    click.echo(f"Wrote {path}. Next: clinical-peft check {path}")


def _look(path: Path | None, given: dict[str, str | None], *, with_label: bool) -> "OwnFile | None":
    from clinical_peft.workflow.own_file import look_into

    return None if path is None else look_into(path, given, with_label=with_label, ask=_ask if is_terminal() else None)


def _ask(role: str, proposal: str | None, is_needed: bool) -> str | None:
    """Ask for a column."""
    remark = "" if is_needed else " (- for none)"
    default = proposal if is_needed else proposal or "-"
    answer = str(click.prompt(f"Column of the {role}{remark}", default=default))
    return None if answer == "-" and not is_needed else answer


def _ask_source() -> tuple[Path | None, Path | None, dict[str, Path]]:
    """Ask where notes are: a table, notes alone, or folders of MIMIC."""
    for key, meaning in SOURCES.items():
        click.echo(f"  {key:<6} {meaning}")
    kind = click.prompt("Your notes", type=click.Choice([*SOURCES]), default="table")
    if kind != "mimic":
        path = Path(click.prompt("File (.csv, .jsonl or .parquet, gzipped or not)"))
        return (path, None, {}) if kind == "table" else (None, path, {})
    answers = {key: click.prompt(help_text.rstrip("."), default="") for key, help_text in FOLDERS.items()}
    return None, None, {key: Path(answer) for key, answer in answers.items() if answer}
