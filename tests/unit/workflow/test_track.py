"""A study's runs sent without running a job: what has finished, once, with the records that the workflow reads."""

import json
from pathlib import Path

import pytest
from http_proxy import answer, proxy
from mlflow import MlflowClient
from study_fixtures import study_of

from clinical_peft.errors import ConfigError, StudyInUseError, TrackingError
from clinical_peft.locks.lease import Lease
from clinical_peft.runtime.events import JsonlLog
from clinical_peft.tracking.records import write_reason
from clinical_peft.workflow.opened_study import OpenedStudy
from clinical_peft.workflow.study_files import StudyFiles
from clinical_peft.workflow.track import track_study


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Results of a study, below the working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path / "results" / "tiny"


def opened(uri: str | None = None) -> OpenedStudy:
    """The tiny study without adapters, with a store."""
    matrix = {"adapters": [], "models": ["tfidf"], "tasks": ["mortality"]}
    changes = {"matrix": matrix, **({"tracking": {"uri": uri}} if uri else {})}
    return OpenedStudy(Path("mine.yaml"), study_of("tiny.yaml", changes), [])


def write_logs(study: OpenedStudy, *, without: str = "") -> list[Path]:
    """Write the run logs of a study."""
    paths = [Path(path) for path in StudyFiles(study.study).run_logs() if not (without and without in path)]
    for path in paths:
        model = path.parts[-3] if "models" in path.parts else None
        kind = "models" if model else path.parts[3]
        name = f"{path.parts[-2]}/{path.stem}" if model else path.stem
        JsonlLog(path, kind=kind, name=name, parent=model, tags={}).metrics({"test_auroc": 0.75})
    return paths


def test_a_study_without_finished_jobs_has_nothing_to_send(folder):
    with pytest.raises(ConfigError, match="expected run logs, found none; run the study first"):
        track_study(opened())
    assert not folder.exists()


def test_finished_runs_of_a_running_study_are_left_to_it(folder):
    write_logs(opened())
    lease = Lease(folder, study="tiny")
    lease.take(run=None)
    with pytest.raises(StudyInUseError, match="runs study tiny already"):
        track_study(opened())
    lease.release()


def test_what_is_missing_is_sent_with_its_records(folder):
    study = opened()
    (last,) = [path for path in StudyFiles(study.study).run_logs() if path.endswith("seed0.jsonl")]
    logs = write_logs(study, without=last)
    lines = track_study(study)
    assert lines[0] == f"Sent:   {len(logs)} runs to sqlite:///results/tiny/mlflow.db"
    assert "has not finished" in lines[1]
    assert not (folder / "runs" / "tracked.json").exists()
    write_logs(study, without="no such log")
    for name in ("tracked/tfidf.json", "tracked.json", "study.json"):
        write_reason(folder / "runs" / name, "MLflow was down")
    (folder / "report.html").touch()
    lines = track_study(study)
    assert lines[1:] == [
        "        To link the report to them: clinical-peft run mine.yaml",
        "        The study has no report yet; the same command sends its results later.",
    ]
    sent = json.loads((folder / "runs" / "tracked.json").read_text())
    model = json.loads((folder / "runs" / "tracked" / "tfidf.json").read_text())
    assert set(model) == {"models/tfidf/mortality/seed0", "group/tfidf"}
    assert model.items() <= sent.items()
    assert not (folder / "runs" / "study.json").exists()
    client = MlflowClient(tracking_uri="sqlite:///results/tiny/mlflow.db")
    found = client.search_runs([client.get_experiment_by_name("tiny").experiment_id])
    assert {run.info.run_id for run in found} == {*sent.values()}
    before = (folder / "runs" / "tracked.json").stat().st_mtime_ns
    assert "To link" not in " ".join(track_study(study))
    assert (folder / "runs" / "tracked.json").stat().st_mtime_ns == before


def test_a_server_that_still_fails_is_an_error(folder):
    with proxy(behaviour=answer(500)) as server:
        study = opened(server.uri)
        write_logs(study)
        write_reason(folder / "runs" / "tracked.json", "MLflow was down")
        with pytest.raises(TrackingError, match="failed or is overloaded"):
            track_study(study)
        assert len(server.requests) == 1
    assert not (folder / "controller.json").exists()
