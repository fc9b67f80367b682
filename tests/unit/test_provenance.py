"""The revision that figures name is that of this code, or none."""

import subprocess
from pathlib import Path

from clinical_peft.provenance import git_revision


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def checkout(folder: Path) -> Path:
    """A repository that holds a file, in a folder below it."""
    code = folder / "code"
    code.mkdir(parents=True)
    (code / "module.py").write_text("one = 1\n")
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", "first")
    return code


def test_the_commit_of_a_checkout_and_whether_it_was_changed(tmp_path: Path):
    code = checkout(tmp_path)
    commit = git(tmp_path, "rev-parse", "HEAD")
    assert git_revision(code) == commit
    (code / "module.py").write_text("one = 2\n")
    assert git_revision(code) == f"{commit}-dirty"


def test_an_unpacked_archive_inside_another_repository_has_no_revision(tmp_path: Path):
    checkout(tmp_path)
    archive = tmp_path / "unpacked" / "code"
    archive.mkdir(parents=True)
    (archive / "module.py").write_text("one = 1\n")
    assert git_revision(archive) == "unknown"


def test_a_checkout_that_another_user_owns_has_its_revision(tmp_path: Path, monkeypatch):
    code = checkout(tmp_path)
    commit = git(tmp_path, "rev-parse", "HEAD")
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    assert git_revision(code) == commit


def test_a_folder_without_a_repository_has_no_revision(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_revision(tmp_path) == "unknown"
