"""Arguments that several verbs take."""

from pathlib import Path

import click

STUDY = click.argument("study", type=click.Path(path_type=Path))
"""A study's file; shells complete it as a path."""


def examples(*lines: str) -> str:
    """The end of a verb's help: examples as they are typed."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)
