"""The revision that figures name is that of this code, or none; versions and machine are those of the jobs."""

import json
import platform
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from clinical_peft.runtime.events import JsonlLog, read_events
from clinical_peft.runtime.lineage import training_environments
from clinical_peft.runtime.provenance import environment_tags, environments_of, git_revision, package_versions, together


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


def test_an_archive_inside_another_repository_has_no_revision(tmp_path: Path):
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


def plant(folder: Path, package: str, version: str, *, module: bool = False) -> Path:
    """Metadata of a package in a folder, with or without the module that they describe."""
    info = folder / f"{package}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
    if module:
        (folder / package).mkdir()
        (folder / package / "__init__.py").write_text("")
    return folder


def versions_with(tail: Path, *options: str, first: Path | None = None) -> dict[str, str]:
    """What another interpreter finds with a folder at the end of its path, as Snakemake gives it to a script."""
    code = (
        "import json, sys; sys.path[:0] = sys.argv[2:]; sys.path.append(sys.argv[1]);"
        "from clinical_peft.runtime.provenance import package_versions; print(json.dumps(package_versions()))"
    )
    ahead = [str(Path(__file__).parents[3]), *([str(first)] if first else [])]
    command = [sys.executable, *options, "-c", code, str(tail), *ahead]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def test_metadata_on_the_tail_of_the_path_are_not_believed(tmp_path: Path):
    tail = plant(tmp_path / "controller", "torch", "9.9.9")
    plant(tail, "numba", "9.9.9")
    without = versions_with(tail, "-I", "-S")  # an interpreter without packages, such as a controller's may be
    assert "torch" not in without
    assert without["python"] == platform.python_version()
    ours = plant(tmp_path / "own", "torch", "1.2.3", module=True)
    assert versions_with(tail, "-I", "-S", first=ours)["torch"] == "1.2.3"
    assert versions_with(plant(tmp_path / "leak", "torch", "4.5.6", module=True), "-I", "-S")["torch"] == "4.5.6"


def test_an_imported_module_says_its_own_version(tmp_path: Path, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", SimpleNamespace(__version__="0.0.7"))
    assert package_versions()["scikit-learn"] == "0.0.7"
    assert package_versions()["numpy"] == np.__version__


def test_a_log_says_what_computed_it_and_what_it_continued(tmp_path: Path, monkeypatch):
    path = tmp_path / "a.jsonl"
    first = {"versions": {"torch": "1"}, "machine": {"processor": "old", "cores": 2}}
    monkeypatch.setattr("clinical_peft.runtime.events.environment", lambda: first)
    log = JsonlLog(path, kind="models", name="los/seed0", parent="m")
    log.metrics({"loss": 1.0}, step=1)
    second = {"versions": {"torch": "2"}, "machine": {"processor": "new", "cores": 4}}
    monkeypatch.setattr("clinical_peft.runtime.events.environment", lambda: second)
    for _ in range(2):
        JsonlLog(path, kind="models", name="los/seed0", parent="m").rewind(1)
        assert environments_of(read_events(path)) == [second, first]
    assert training_environments([path]) == {"models/m/los/seed0": [second, first]}
    JsonlLog(path, kind="models", name="los/seed0", parent="m").rewind(0)
    assert environments_of(read_events(path)) == [second]


def test_jobs_that_differ_are_listed_with_their_counts():
    old = {"versions": {"torch": "1"}, "machine": {"processor": "chip", "cores": 2}}
    new = {"versions": {"torch": "2", "numba": "3"}, "machine": {"processor": "chip", "cores": 4}}
    assert together([[old], [old]]) == {"versions": {"torch": "1"}, "machine": {"processor": "chip", "cores": 2}}
    found = together([[old], [new], [new], environments_of([{"run": {}}])])
    assert found["versions"]["torch"] == "1 (1 job), 2 (2 jobs), unknown (1 job)"
    assert found["machine"] == {
        "machine 1 (2 jobs)": "chip, 4 cores",
        "machine 2 (1 job)": "chip, 2 cores",
        "machine 3 (1 job)": "unknown",
    }
    assert together([]) == {"versions": {}, "machine": {}}


def test_a_log_of_before_is_unknown(tmp_path: Path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"run": {"kind": "models", "name": "n", "parent": null, "tags": {}}}\n')
    (found,) = environments_of(read_events(path))
    assert set(found["versions"].values()) == {"unknown"}
    assert environment_tags([[found]])["torch"] == environment_tags([[found]])["machine"] == "unknown"
