"""The study of config/tiny.yaml, with changes."""

from pathlib import Path
from typing import Any

import yaml

from clinical_peft.config import experiments
from clinical_peft.config.layers import deep_merge
from clinical_peft.config.study import Study

CONFIG = Path(__file__).parents[2] / "config"


def study_with(**overrides: Any) -> Study:
    """The tiny study, called `mine`, with other values."""
    layers = [yaml.safe_load((CONFIG / name).read_text()) for name in ("config.yaml", "tiny.yaml")]
    return experiments.load_study(deep_merge(*layers, {"study": "mine"}, overrides))
