"""A user's own folders: packages in `~/.local` reach no job, and a home that cannot be written stops none."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from workflow_run import REPOSITORY

pytestmark = pytest.mark.workflow

TARGET = "results/tiny/notes/general.parquet"
# Python imports this module at its start wherever the user's folder counts.
NOTES_ITS_PROCESS = """
import os, sys
with open(os.environ["IMPORTED_BY"], "a") as file:
    file.write(" ".join(sys.orig_argv) + "\\n")
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where notes were written, with packages of the user's own and without a home that can be written."""
    folder = tmp_path_factory.mktemp("study")
    base = folder / "user"
    own = Path(sysconfig.get_path("purelib", f"{os.name}_user", {"userbase": str(base)}))
    own.mkdir(parents=True)
    (own / "usercustomize.py").write_text(NOTES_ITS_PROCESS)
    # A virtual environment ignores the folder anyhow, so this is the interpreter below it with the same packages.
    packages = os.pathsep.join([str(REPOSITORY), *(path for path in sys.path if path.endswith("site-packages"))])
    environment = {key: value for key, value in os.environ.items() if key not in {"PYTHONNOUSERSITE", "XDG_CACHE_HOME"}}
    environment |= {"PYTHONUSERBASE": str(base), "PYTHONPATH": packages, "IMPORTED_BY": str(folder / "imported_by")}
    done = subprocess.run(
        [
            *(getattr(sys, "_base_executable", sys.executable), "-m", "snakemake", TARGET, "--cores", "1"),
            *("--snakefile", str(REPOSITORY / "Snakefile"), "--directory", str(folder)),
            *("--configfile", str(REPOSITORY / "config" / "tiny.yaml")),
        ],
        env=environment | {"HOME": "/dev/null/home"},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_no_job_imports_a_package_of_the_users_own(folder: Path):
    (controller,) = (folder / "imported_by").read_text().splitlines()  # it had started before it could know
    assert "-m snakemake" in controller


def test_caches_of_an_unwritable_home_are_beside_the_study(folder: Path):
    assert (folder / ".snakemake" / "cache").is_dir()
