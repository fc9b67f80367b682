"""The container image in which jobs run, where a command asks for one."""

from collections.abc import Iterable
from pathlib import Path

from clinical_peft.config.study import Study
from clinical_peft.errors import ConfigError

APPTAINER = "apptainer"
ADDRESS = "://"


def image_of_jobs(study: Study, deployment: Iterable[object]) -> str | None:
    """Return the image in which jobs run.

    Args:
        study: The study, which names the image.
        deployment: How the command asks that software be deployed, as Snakemake's enumeration prints it.

    Returns:
        Path or address of the image; None where jobs run in none, whatever the study names.

    Raises:
        ConfigError: The command asks for Apptainer, and the study names no image or one that does not exist.
    """
    if APPTAINER not in {str(method) for method in deployment}:
        return None
    image = study.container
    if image is None:
        raise ConfigError(
            "container: expected an image for --software-deployment-method apptainer, found none; give its path or "
            "address (--config container=/images/clinical-peft.sif)"
        )
    if ADDRESS not in image and not Path(image).exists():
        raise ConfigError(
            f"container: expected an image, found no file {image}; docs/environments.md tells how to build it"
        )
    return image
