"""Running the real workflow in a folder of its own."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

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
