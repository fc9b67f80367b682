"""Jobs in a container: what Snakemake asks of Apptainer. The stand-in records it and runs the command outside."""

import os
import sys
from pathlib import Path

import pytest
from workflow_run import snakemake

pytestmark = pytest.mark.workflow

APPTAINER = """#!/bin/sh
[ "$1" = --version ] && echo "apptainer version 1.4.2" && exit
echo "$@" >>"$(dirname "$0")/asked.txt"
while [ "$1" != "$(dirname "$0")/packages.sif" ]; do shift; done
shift
exec "$@"
"""


@pytest.fixture
def site(tmp_path) -> Path:
    """A folder with an image and the command that runs it."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "packages.sif").touch()
    (folder / "apptainer").write_text(APPTAINER)
    (folder / "apptainer").chmod(0o755)
    return folder


def in_containers(folder: Path, site: Path, *arguments: str):
    path = os.pathsep.join([str(site), str(Path(sys.executable).parent), os.environ["PATH"]])
    flags = ("--software-deployment-method", "apptainer", "--config", f"container={site}/packages.sif")
    return snakemake(folder, *arguments, *flags, environment={"PATH": path})


def test_jobs_run_in_the_image_of_the_site(site, tmp_path):
    done = in_containers(tmp_path, site, "results/tiny/notes/general.parquet")
    assert done.returncode == 0, done.output[-3000:]
    (asked,) = (site / "asked.txt").read_text().splitlines()
    assert asked.startswith(f"exec --home {tmp_path} ")
    assert f"{site}/packages.sif bash -c" in asked
    assert "python" in asked.rpartition("packages.sif")[2]


def test_an_image_reruns_nothing(site, tiny_run):
    plan = in_containers(tiny_run.folder, site, "--dry-run")
    assert plan.returncode == 0, plan.output
    assert "Nothing to be done" in plan.output
