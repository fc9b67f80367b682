"""The group of all verbs, and the one place that turns errors into one line."""

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import click

from clinical_peft import __version__
from clinical_peft.errors import ClinicalPeftError

NAME = "clinical-peft"
VERBS = ("init", "check", "plan", "run", "why", "show", "track", "completion")
"""Names of the verbs in the order of the help; a module of this package each."""
INTERRUPTED = 130

EPILOG = """\b
First steps:
  clinical-peft init --table notes.csv    write a study
  clinical-peft check notes.yaml          look at files, bases and machine
  clinical-peft run notes.yaml            run it

Every verb prints the command behind it. `clinical-peft VERB --help` has examples."""


class Verbs(click.Group):
    """The verbs, each imported when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the help."""
        return [*VERBS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a verb, or None where there is none of that name."""
        if cmd_name not in VERBS:
            return None
        command: click.Command = import_module(f"clinical_peft.cli.{cmd_name}").COMMAND
        return command


@click.command(cls=Verbs, name=NAME, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name=NAME)
def group() -> None:
    """From hospital notes to adapted language models, and to results that can be checked.

    A study is one file. Snakemake runs it; these verbs write, check, plan, run and explain it.
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: Its arguments; None for those of this process.

    Returns:
        The exit code: 0, 1 for what a user can fix, 2 for arguments that the command does not have, 130 after an
        interrupt. Each error is one line.
    """
    try:
        found: Any = group.main(args=arguments, prog_name=NAME, standalone_mode=False)
    except click.UsageError as error:
        place = error.ctx.command_path if error.ctx is not None else NAME
        return _fail(f"{place}: {error.format_message().rstrip('.')}; see `{place} --help`", error.exit_code)
    except click.ClickException as error:
        return _fail(error.format_message(), error.exit_code)
    except ClinicalPeftError as error:
        return _fail(str(error), 1)
    except (click.Abort, KeyboardInterrupt):
        return _fail("interrupted", INTERRUPTED)
    return found if isinstance(found, int) else 0


def _fail(message: str, code: int) -> int:
    for line in message.splitlines():
        print(f"error: {line}", file=sys.stderr, flush=True)
    return code
