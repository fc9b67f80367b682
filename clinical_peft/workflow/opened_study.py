"""A study file, opened: read, laid over the embedded default, and validated."""

from dataclasses import dataclass
from pathlib import Path

from clinical_peft.config.layers import deep_merge
from clinical_peft.config.study import Study
from clinical_peft.errors import ConfigError
from clinical_peft.workflow.study_file import DEFAULT, load_study, notices, read_study_file

CLONE = Path(__file__).parents[2]
"""The folder of the workflow, which holds its Snakefile, rules and profiles."""


@dataclass(frozen=True)
class OpenedStudy:
    """A valid study and the file that says it.

    Attributes:
        path: The file, as it was given.
        study: The study.
        notices: What its user should know, one line each; see `clinical_peft.workflow.study_file.notices`.
    """

    path: Path
    study: Study
    notices: list[str]

    @property
    def results(self) -> Path:
        """Folder of the study's results, below the working directory."""
        return Path("results") / self.study.study


def open_study(path: Path, *, default: Path = CLONE / DEFAULT) -> OpenedStudy:
    """Read and validate a study.

    Args:
        path: Its file; that of the default study is the study itself.
        default: File of the embedded default study.

    Raises:
        ConfigError: A file is missing or no study; see `clinical_peft.workflow.study_file`.
    """
    path = Path(path)
    require_study_file(path)
    paths = [] if is_default(path, default) else [path]
    own = deep_merge(*map(read_study_file, paths))
    study = load_study(deep_merge(read_study_file(default), own), paths, own)
    return OpenedStudy(path, study, notices(study, paths, own))


def is_default(path: Path, default: Path = CLONE / DEFAULT) -> bool:
    """Whether a file is that of the embedded default study, which every command reads anyway."""
    return path.exists() and default.exists() and path.samefile(default)


def require_study_file(path: Path) -> None:
    """Say how to get a study file where there is none.

    Raises:
        ConfigError: There is no such file.
    """
    try:
        is_there = path.exists()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from None
    if not is_there:
        raise ConfigError(f"{path}: expected a study file, found none; `clinical-peft init` writes one")
