"""Jobs run in the image that a study names, if the command asks for it."""

from pathlib import Path

import pytest
from snakemake_interface_executor_plugins.settings import DeploymentMethod

from clinical_peft.config.study import parse_study
from clinical_peft.errors import ConfigError
from clinical_peft.workflow.container_image import image_of_jobs

APPTAINER = {DeploymentMethod.APPTAINER}
ADDRESS = "docker://images.example.org/clinical-peft:1"


def study(**keys: str):
    return parse_study({"study": "mine", **keys})


@pytest.mark.parametrize("deployment", [set(), {DeploymentMethod.CONDA}])
def test_an_image_is_used_only_where_the_command_asks(deployment):
    assert image_of_jobs(study(container="/no/such.sif"), deployment) is None


def test_an_image_is_a_file_or_an_address(tmp_path: Path, monkeypatch):
    (tmp_path / "packages.sif").touch()
    monkeypatch.setenv("IMAGES", str(tmp_path))
    assert image_of_jobs(study(container="$IMAGES/packages.sif"), APPTAINER) == f"{tmp_path}/packages.sif"
    assert image_of_jobs(study(container=ADDRESS), APPTAINER | {DeploymentMethod.CONDA}) == ADDRESS


def test_no_job_runs_outside_an_image_unnoticed():
    with pytest.raises(ConfigError, match="expected an image for --software-deployment-method apptainer, found none"):
        image_of_jobs(study(), APPTAINER)


def test_a_missing_image_is_named_before_the_first_job():
    with pytest.raises(ConfigError, match=r"found no file /no/such\.sif"):
        image_of_jobs(study(container="/no/such.sif"), APPTAINER)


def test_an_image_has_no_spaces_and_no_password():
    with pytest.raises(ConfigError, match=r"container: .*without spaces"):
        study(container="/my images/packages.sif")
    with pytest.raises(ConfigError, match=r"container: .*not shown here") as caught:
        study(container="docker://me:secret@images.example.org/packages")
    assert "secret" not in str(caught.value)


def test_an_image_is_no_setting_that_is_kept():
    assert "container" not in study(container=ADDRESS).model_dump(mode="json")
