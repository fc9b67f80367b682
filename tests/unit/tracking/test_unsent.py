"""A tracking server that fails costs a study nothing: one try, a record of the reason, and a later command sends."""

import json
import os
import time
from pathlib import Path

import pytest
from http_proxy import answer, proxy
from tracking_fixtures import STUDY, TAGS, runs_of, write_log

from clinical_peft.errors import ConfigError, DataError
from clinical_peft.runtime.jobs import job
from clinical_peft.tracking.identity import identify_study
from clinical_peft.tracking.records import forget_unsent, reason_of, sent_runs
from clinical_peft.tracking.sending import send_runs, send_study

SECRET = "correct-horse"
NOBODY = "http://127.0.0.1:1"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Results of a study with one run log."""
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "somebody")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", SECRET)
    write_log(tmp_path / "study" / "runs" / "a.jsonl")
    return tmp_path / "study"


def send(folder: Path, uri: str, record: str = "tracked/llama.json") -> dict[str, str]:
    """Send as the rules do; return the record."""
    path = folder / "runs" / record
    send_runs([folder / "runs" / "a.jsonl"], uri=uri, study=STUDY, tags=TAGS, record=path)
    content: dict[str, str] = json.loads(path.read_text())
    return content


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        (answer(500), "failed or is overloaded (HTTP 429 or 5xx)"),
        (answer(503), "failed or is overloaded (HTTP 429 or 5xx)"),
        (answer(401, f"Authorization: {SECRET}"), "did not accept the credentials (401)"),
        (answer(403, json.dumps({"error_code": "PERMISSION_DENIED", "message": SECRET})), "does not let this user"),
        (answer(404, "no such page"), "refused with"),
        (answer(200, "<html>Log in</html>"), "refused with"),
    ],
    ids=["500", "503", "401", "403", "404", "login page"],
)
def test_a_server_that_fails_is_asked_once(folder: Path, behaviour, reason: str, capfd):
    with proxy(behaviour=behaviour) as server:
        with job(folder / "logs" / "track.log"):
            record = send(folder, server.uri)
        assert record["unsent"].startswith(f"MLflow at {server.uri} {reason}")
        assert sent_runs(record) == {}
        # Another job of the same command does not wait for it again, and the study is not tried without its runs.
        assert send(folder, server.uri, "tracked.json")["unsent"] == record["unsent"]
        send_study(uri=server.uri, study=STUDY, record=folder / "runs" / "study.json")
        assert len(server.requests) == 1
    assert capfd.readouterr().out == ""
    assert [path for path in folder.rglob("*") if path.is_file() and SECRET in path.read_text()] == []
    assert "nothing was sent: MLflow at" in (folder / "logs" / "track.log").read_text()


def test_a_server_that_does_not_answer_costs_one_wait(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with proxy() as server:
        server.behaviour = server.hang
        start = time.monotonic()
        for record in ("tracked/llama.json", "tracked/bert.json", "tracked.json"):
            assert "did not answer in time" in send(folder, server.uri, record)["unsent"]
        assert len(server.requests) == 1
    assert time.monotonic() - start < 60


def test_waits_are_short_unless_the_user_says_otherwise(folder: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("MLFLOW_HTTP_REQUEST_TIMEOUT", "MLFLOW_HTTP_REQUEST_MAX_RETRIES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PGCONNECT_TIMEOUT", "3")
    send(folder, NOBODY)
    assert float(os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"]) <= 15
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "0"
    assert os.environ["PGCONNECT_TIMEOUT"] == "3"


@pytest.mark.parametrize("uri", [NOBODY, "postgresql://127.0.0.1:1/mlflow"])
def test_a_store_that_is_down_is_one_line(folder: Path, uri: str):
    start = time.monotonic()
    reason = send(folder, uri)["unsent"]
    assert reason.startswith(f"MLflow at {uri} ")
    assert len(reason.splitlines()) == 1
    assert time.monotonic() - start < 60


def test_a_password_in_an_address_is_not_shown(folder: Path):
    record = send(folder, f"http://somebody:{SECRET}@127.0.0.1:1")
    assert record["unsent"].startswith("MLflow at http://127.0.0.1:1 cannot be reached")


def test_a_server_is_tried_again_after_some_minutes(folder: Path):
    record = folder / "runs" / "tracked" / "llama.json"
    with proxy(behaviour=answer(500)) as server:
        for _ in range(2):
            send(folder, server.uri)
            record.write_text(record.read_text().replace('"time": ', '"time": -'))
        assert len(server.requests) == 2


def test_records_of_what_was_not_sent_are_forgotten(folder: Path):
    for record in ("tracked/llama.json", "tracked.json"):
        send(folder, NOBODY, record)
    send_study(uri=NOBODY, study=STUDY, record=folder / "runs" / "study.json")
    reason = forget_unsent(folder)
    assert reason is not None
    assert "cannot be reached" in reason
    assert {path.name for path in (folder / "runs").rglob("*") if path.is_file()} == {"a.jsonl", "study_id.json"}
    uri = f"sqlite:///{folder}/mlflow.db"
    ids = send(folder, uri, "tracked.json")
    assert {run.info.run_id for run in runs_of(uri).values()} == {*ids.values()}
    assert forget_unsent(folder) is None


def test_a_models_record_stays_once_all_runs_are_sent(folder: Path):
    model = folder / "runs" / "tracked" / "llama.json"
    send(folder, NOBODY)
    (folder / "runs" / "tracked.json").write_text('{"models/llama/los/seed0": "1"}')
    assert forget_unsent(folder) is None
    assert reason_of(model) is not None


def test_a_file_that_refuses_ends_the_job(folder: Path):
    (folder / "mlflow.db").write_bytes(b"no database" * 100)
    with pytest.raises(DataError, match="expected MLflow's SQLite file"):
        send(folder, f"sqlite:///{folder}/mlflow.db")
    with pytest.raises(ConfigError, match="expected sqlite"):
        send_runs([], uri="mlruns", study=STUDY, tags={}, record=folder / "runs" / "tracked.json")


def test_a_study_keeps_its_number(folder: Path):
    first = identify_study(folder, STUDY)
    assert identify_study(folder, STUDY) == first
    assert len(first.number) == 32
    assert first.own_name == f"{STUDY}-{first.owner}-{first.number[:8]}"
    (folder / "runs" / "tracked.json").write_text('{"models/llama/los/seed0": "1"}')
    assert identify_study(folder, STUDY).sent == {"1"}
    (folder / "runs" / "study_id.json").write_text('{"study_id": "x"}')
    with pytest.raises(DataError, match="expected study_id with 32 hexadecimal digits"):
        identify_study(folder, STUDY)
