"""Studies from the files of config/, with changes that a test makes."""

from functools import cache
from pathlib import Path
from typing import Any

import yaml

from clinical_peft.config.experiments import load_study
from clinical_peft.config.layers import deep_merge
from clinical_peft.config.study import Study
from clinical_peft.workflow.study_files import StudyFiles
from clinical_peft.workflow.study_folder import WildcardValues

CONFIG = Path(__file__).parents[2] / "config"
TWO = "llama+clinical-trainable+downstream"
LORA = "tiny-llama-lora"


@cache
def written(name: str) -> dict[str, Any]:
    """What a study file says; not to be changed."""
    return yaml.safe_load((CONFIG / name).read_text())


def study_of(name: str, *changes: dict[str, Any]) -> Study:
    """The study of a file of config/, with changes to some of its keys."""
    return load_study(deep_merge(written("config.yaml"), written(name), *changes))


def study_with(**changes: Any) -> Study:
    """The tiny study under another name, with changes to some of its keys."""
    return study_of("tiny.yaml", {"study": "mine"}, changes)


def study_files(name: str = "tiny.yaml", **changes) -> StudyFiles:
    return StudyFiles(study_of(name, changes))


def wildcards(**values: str) -> WildcardValues:
    """The given wildcards, and for the others names that every study has."""
    names = {"corpus": "mimic-iv", "admission": "admission", "task": "los", "base": "tiny-llama", "adapter": LORA}
    return WildcardValues(**{**names, "model": "llama", **values})
