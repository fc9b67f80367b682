"""A stand-in for conda, where none is installed: what Snakemake asks of it, and environments of packages that are here.

`write_conda` writes a command `conda` and its `bin/activate`. Its environments are plain ones of links
(`plain_environments.py`), with pip, so that a post-deploy script runs in them and finds everything installed.
"""

import json
import sys
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path

from plain_environments import ENVS, linked_environment, pins

COMMAND = """#!/bin/sh
exec {python} {script} {prefix} "$@"
"""
ACTIVATE = """PATH="$1/bin:$PATH"
export PATH
"""


def write_conda(folder: Path) -> Path:
    """Write the command; return the folder that holds it, for PATH."""
    programs = folder / "bin"
    programs.mkdir(parents=True)
    command = COMMAND.format(python=sys.executable, script=Path(__file__).resolve(), prefix=folder)
    (programs / "conda").write_text(command)
    (programs / "conda").chmod(0o755)
    (programs / "activate").write_text(ACTIVATE)
    return programs


def create(file: Path, prefix: Path) -> None:
    """Make the environment that a YAML describes."""
    (name,) = [path.stem for path in ENVS.glob("*.yaml") if path.read_text() == file.read_text()]
    linked_environment(prefix, {**pins(name), "pip": version("pip")})


def main(prefix: str, *words: str) -> None:
    """Answer as a conda that is installed in a folder does."""
    arguments = [*words]
    if arguments == ["info", "--json"]:
        print(json.dumps({"conda_prefix": prefix, "platform": "linux-64"}))
    elif arguments == ["--version"]:
        print("conda 26.7.0")
    elif arguments[:2] == ["config", "--get"]:
        print(json.dumps({"get": {"channel_priority": "strict"}}))
    elif arguments[:2] == ["env", "create"]:
        options = dict(pairwise(arguments))
        create(Path(options["--file"]), Path(options["--prefix"]))
    elif arguments[:1] != ["clean"]:
        raise SystemExit(f"unexpected: {arguments}")


if __name__ == "__main__":
    main(*sys.argv[1:])
