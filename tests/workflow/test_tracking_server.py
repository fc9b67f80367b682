"""A finished study whose tracking server fails, and the same server once it answers again."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from http_proxy import proxy
from mlflow_server import MlflowServer, missing_parts, mlflow_server
from tracking_fixtures import runs_of
from workflow_run import REPOSITORY, Run, dry_run_of, dry_runs, snakemake

pytestmark = [
    pytest.mark.workflow,
    pytest.mark.skipif(bool(missing_parts()), reason=f"not installed: {', '.join(missing_parts())}"),
]
PASSWORD = "correct-horse-12"
CREDENTIALS = {"MLFLOW_TRACKING_USERNAME": "somebody", "MLFLOW_TRACKING_PASSWORD": PASSWORD}


def track(folder: Path, study: Path) -> subprocess.CompletedProcess[str]:
    """Type `clinical-peft track`."""
    command = [sys.executable, "-m", "clinical_peft.cli", "track", str(study)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=900
    )


def links(run: Run) -> list[str]:
    """Runs that a report links to."""
    return re.findall(r"/#/runs/(\w+)", (run.results / "tiny" / "report.html").read_text())


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MlflowServer]:
    """A server with one account."""
    with mlflow_server(tmp_path) as running:
        running.add_user("somebody", PASSWORD)
        yield running


def test_a_study_outlives_its_server_and_is_sent_later(tiny_run, server, tmp_path, monkeypatch):
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    folder = tmp_path / "copy"
    shutil.copytree(tiny_run.folder, folder, symlinks=True)
    results = folder / "results" / "tiny"
    with proxy(server.uri, lambda method, path: (401, f"{method} {PASSWORD}")) as way:
        settings = yaml.safe_load((REPOSITORY / "config/tiny.yaml").read_text()) | {"tracking": {"uri": way.uri}}
        study = tmp_path / "mine.yaml"
        study.write_text(yaml.safe_dump(settings, sort_keys=False))

        failed = snakemake(folder, config=study)
        assert failed.returncode == 0, failed.output[-3000:]
        (line,) = [line for line in failed.output.splitlines() if way.uri in line]
        assert line.startswith(f"Runs:   not sent. MLflow at {way.uri} did not accept the credentials (401)")
        assert line.endswith(f"To send them later: clinical-peft track {study}")
        assert links(failed) == []
        assert [*(results / "runs").glob("tracked*/*.json"), *(results / "runs").glob("tracked.json")] == []
        assert len(way.requests) <= 2  # two jobs that ran at once

        still = track(folder, study)
        assert (still.returncode, len(still.stderr.splitlines())) == (1, 1)

        way.behaviour = lambda method, path: None
        sent = track(folder, study)
        assert sent.returncode == 0, sent.stderr
        ids = json.loads((results / "runs" / "tracked.json").read_text())
        found = runs_of(server.uri, "tiny")
        assert {run.info.run_id for run in found.values() if run.info.run_name != "tiny"} == {*ids.values()}
        assert "tiny" in found

        (planned,) = dry_runs([dry_run_of(study, folder)], folder)
        assert {*planned["jobs"]} == {"all", "write_report", "track_study"}
    outputs = failed.output + still.stdout + still.stderr + sent.stdout + sent.stderr
    assert PASSWORD not in outputs
    kept = [path for path in folder.rglob("*") if path.is_file() and PASSWORD.encode() in path.read_bytes()]
    assert kept == []
