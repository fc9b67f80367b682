"""What the commands of the Makefile leave behind."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from clinical_peft.locks.lease import Lease

REPOSITORY = Path(__file__).parents[2]


def clean(folder: Path) -> str:
    shutil.copy(REPOSITORY / "Makefile", folder)
    return subprocess.run(["make", "clean"], cwd=folder, check=True, capture_output=True, text=True).stdout


def test_clean_says_which_results_stay_behind_a_link(tmp_path: Path):
    checkout, disk = tmp_path / "checkout", tmp_path / "other disk"
    checkout.mkdir()
    (disk / "demo").mkdir(parents=True)
    (checkout / "results").symlink_to(disk)
    assert f"remain in {disk}" in clean(checkout)
    assert not (checkout / "results").is_symlink()
    assert (disk / "demo").exists()


def test_clean_removes_results(tmp_path: Path):
    (tmp_path / "results" / "demo").mkdir(parents=True)
    assert "remain" not in clean(tmp_path)
    assert not (tmp_path / "results").exists()


def test_results_of_a_running_study_stay(tmp_path: Path):
    for name in ("Makefile", "clinical_peft"):
        (tmp_path / name).symlink_to(REPOSITORY / name)
    lease = Lease(tmp_path / "results" / "demo", study="demo")
    lease.take(run=None)
    command = ["make", "--silent", "clean", f"PYTHON={sys.executable}"]
    try:
        done = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True)
    finally:
        lease.release()
    assert done.returncode != 0
    assert f"process {os.getpid()} runs study demo already" in done.stderr
    assert (tmp_path / "results" / "demo").exists()
    lease.path.write_text("{}")  # damaged: it does not say who runs the study
    assert subprocess.run(command, cwd=tmp_path, check=False, capture_output=True).returncode != 0
    lease.path.unlink()
    subprocess.run(command, cwd=tmp_path, check=True)
    assert not (tmp_path / "results").exists()


def plan(folder: Path, python: str) -> subprocess.CompletedProcess[str]:
    """`make plan` in a checkout without .venv."""
    for name in ("Makefile", "clinical_peft", "config", "envs", "pyproject.toml"):
        (folder / name).symlink_to(REPOSITORY / name)
    command = ["make", "--silent", "plan", "STUDY=config/tiny.yaml", f"PYTHON={python}"]
    return subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)


def test_plan_installs_nothing(tmp_path: Path):
    done = plan(tmp_path, sys.executable)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Study tiny" in done.stdout
    assert not (tmp_path / ".venv").exists()


def test_plan_without_its_packages_is_one_line(tmp_path: Path):
    done = plan(tmp_path, f"{sys.executable} -I -S")
    assert done.returncode != 0
    assert done.stderr.splitlines()[0].startswith("error: make plan needs pydantic and PyYAML, which `make install`")
    assert "Traceback" not in done.stderr
    assert not (tmp_path / ".venv").exists()
