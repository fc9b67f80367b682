"""What the committed profiles decide for every study."""

from pathlib import Path

import pytest
import yaml

PROFILES = Path(__file__).parents[3] / "profiles"


@pytest.mark.parametrize("name", ["default", "slurm"])
def test_only_inputs_and_parameters_rerun_a_job(name: str):
    """A forgotten --use-conda, another prefix, another pin or an edited script reruns no finished job."""
    profile = yaml.safe_load((PROFILES / name / "config.yaml").read_text())
    assert set(profile["rerun-triggers"]) == {"mtime", "params", "input"}
