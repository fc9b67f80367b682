"""What the commands of the Makefile leave behind."""

import shutil
import subprocess
from pathlib import Path

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
