"""The Snakemake commands behind the command line, with the study in its right place."""

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from clinical_peft.errors import ConfigError
from clinical_peft.workflow.opened_study import CLONE, is_default, require_study_file

SNAKEFILE = "Snakefile"
STUDY_OPTIONS = ("--configfile", "--configfiles")
# Each says how many jobs run at once, or leaves it to a profile.
CORE_OPTIONS = ("-c", "--cores", "-j", "--jobs", "--profile", "--workflow-profile", "-e", "--executor")


def snakemake_words(study: Path, options: Sequence[str] = (), *, clone: Path = CLONE) -> list[str]:
    """Return the words of a Snakemake command that runs a study.

    The study stands last: targets behind `--configfile` would be taken for further study files.

    Args:
        study: The study's file.
        options: Options and targets of Snakemake.
        clone: The folder of the workflow.

    Raises:
        ConfigError: The study is missing, an option names a study too, or the workflow's Snakefile is not there.
    """
    require_study_file(study)
    for word in options:
        if word.partition("=")[0] in STUDY_OPTIONS:
            raise ConfigError(f"{word}: expected options of Snakemake without a study, which stands before --; drop it")
    words = ["snakemake", *snakefile_words(clone)]
    if not any(_is_option(word, CORE_OPTIONS) for word in options):
        words += ["--cores", "all"]
    words += options
    return words if is_default(study, clone / "config/config.yaml") else [*words, "--configfile", str(study)]


def snakefile_words(clone: Path = CLONE) -> list[str]:
    """Return what tells Snakemake where the workflow is: nothing in the workflow's own folder.

    Raises:
        ConfigError: There is no Snakefile beside the package.
    """
    snakefile = clone / SNAKEFILE
    if not snakefile.is_file():
        raise ConfigError(f"{snakefile}: expected the workflow, found none; install from a clone with `make install`")
    return [] if Path.cwd().samefile(clone) else ["--snakefile", str(snakefile)]


def _is_option(word: str, names: Sequence[str]) -> bool:
    """Whether a word is one of some options, its value attached or not: `--cores=4`, `-c4`."""
    return any(
        word.partition("=")[0] == name or (len(name) == 2 and word.startswith(name) and not word.startswith("--"))
        for name in names
    )


def as_typed(words: Sequence[str]) -> str:
    """A command as a shell takes it."""
    return shlex.join(words)


def replace_process(words: Sequence[str]) -> None:
    """Go on as a Snakemake command: its exit code is this process's, and an interrupt from the keyboard reaches it.

    Args:
        words: The command; its first word is `snakemake`.
    """
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", *words])
