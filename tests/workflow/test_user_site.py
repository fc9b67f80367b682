"""Packages in a user's own folder (`~/.local`) reach no job."""

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


def test_no_job_imports_a_package_of_the_users_own(tmp_path: Path):
    base = tmp_path / "user"
    own = Path(sysconfig.get_path("purelib", f"{os.name}_user", {"userbase": str(base)}))
    own.mkdir(parents=True)
    (own / "usercustomize.py").write_text(NOTES_ITS_PROCESS)
    seen = tmp_path / "imported_by"
    # A virtual environment ignores the folder anyhow, so this is the interpreter below it with the same packages.
    packages = os.pathsep.join([str(REPOSITORY), *(path for path in sys.path if path.endswith("site-packages"))])
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONNOUSERSITE"}
    environment |= {"PYTHONUSERBASE": str(base), "PYTHONPATH": packages, "IMPORTED_BY": str(seen)}
    done = subprocess.run(
        [
            *(getattr(sys, "_base_executable", sys.executable), "-m", "snakemake", TARGET, "--cores", "1"),
            *("--snakefile", str(REPOSITORY / "Snakefile"), "--directory", str(tmp_path)),
            *("--configfile", str(REPOSITORY / "config" / "tiny.yaml")),
        ],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (controller,) = seen.read_text().splitlines()  # it had started before it could know, and no job has
    assert "-m snakemake" in controller
