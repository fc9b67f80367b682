"""`clinical-peft completion`."""

import click
from click.shell_completion import get_completion_class

from clinical_peft.cli.arguments import examples

SHELLS = ("bash", "zsh", "fish")


@click.command(
    "completion",
    epilog=examples(
        'eval "$(clinical-peft completion bash)"     # in ~/.bashrc',
        'eval "$(clinical-peft completion zsh)"      # in ~/.zshrc',
        "clinical-peft completion fish > ~/.config/fish/completions/clinical-peft.fish",
    ),
)
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def COMMAND(context: click.Context, shell: str) -> None:
    """Print what makes SHELL complete verbs, options and files."""
    root = context.find_root()
    name = str(root.info_name)
    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(root.command, {}, name, f"_{name.replace('-', '_').upper()}_COMPLETE").source())
