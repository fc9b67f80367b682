"""Running the real workflow in a folder of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]
SNAKEMAKE = [sys.executable, "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile"), "--cores", "2"]


@dataclass(frozen=True)
class Run:
    """A finished snakemake command."""

    returncode: int
    output: str
    folder: Path

    @property
    def results(self) -> Path:
        """The folder of all studies."""
        return self.folder / "results"


def snakemake(folder: Path, *arguments: str, config: Path | str = "tiny.yaml", environment=None, before=()) -> Run:
    """Run snakemake in `folder` with a study of the repository, or with a configuration file of one's own."""
    path = Path(config) if Path(config).is_absolute() else REPOSITORY / "config" / config
    command = [*before, *SNAKEMAKE, *arguments, "--directory", str(folder), "--configfile", str(path)]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, **(environment or {})},
        check=False,
        timeout=1800,
    )
    return Run(done.returncode, done.stdout + done.stderr, folder)


def dry_runs(commands: Sequence[Sequence[str]], folder: Path) -> list[dict[str, Any]]:
    """Dry runs of several commands, given by their arguments, in one process; see `dry_runs.py`."""
    script = Path(__file__).with_name("dry_runs.py")
    given = json.dumps([[str(argument) for argument in command] for command in commands])
    done = subprocess.run(
        [sys.executable, script], input=given, capture_output=True, text=True, check=False, cwd=folder, timeout=1800
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def dry_run_of(config: Path | str, folder: Path, *arguments: str) -> list[str]:
    """Arguments of a dry run in `folder` with a study of the repository or a configuration file of one's own."""
    path = Path(config) if Path(config).is_absolute() else REPOSITORY / "config" / config
    start = ["--snakefile", str(REPOSITORY / "Snakefile"), "--cores", "2", "--directory", str(folder)]
    return [*start, *arguments, "--configfile", str(path)]


def typed(commands: str, folder: Path, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Type shell commands in a folder, up to the first that fails; what they print, and whether one failed."""
    return subprocess.run(
        ["bash", "-e"],
        input=commands,
        text=True,
        capture_output=True,
        check=False,
        cwd=folder,
        env=dict(environment),
        timeout=3600,
    )


@cache
def workflow_rules() -> dict[str, dict[str, Any]]:
    """Parts of every rule, by its name; see `rule_list.py`."""
    command = [sys.executable, Path(__file__).with_name("rule_list.py"), REPOSITORY / "Snakefile"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600)
    found: dict[str, dict[str, Any]] = json.loads(done.stdout)
    return found
