"""A real MLflow server on PostgreSQL with accounts: runs once each, one user's apart from another's, few requests."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from http_proxy import Proxy, proxy
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow_server import ADMIN, MlflowServer, missing_parts, mlflow_server
from tracking_fixtures import TAGS, history, identity, runs_of, write_log

from clinical_peft.errors import ConfigError, TrackingError
from clinical_peft.runtime.events import append_metrics
from clinical_peft.tracking.finished_study import publish_study
from clinical_peft.tracking.run_logs import sync_runs

pytestmark = pytest.mark.skipif(bool(missing_parts()), reason=f"not installed: {', '.join(missing_parts())}")
USERS = {"first": "first-password-123", "second": "second-password-45"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """A server with two accounts."""
    with mlflow_server(tmp_path_factory.mktemp("server")) as running:
        for name, password in USERS.items():
            running.add_user(name, password)
        yield running


@pytest.fixture
def counted(server: MlflowServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """The way to the server for the first user, which counts requests."""
    use_account("first", monkeypatch)
    with proxy(server.uri) as running:
        yield running


@pytest.fixture
def study(request: pytest.FixtureRequest) -> str:
    """A name of this test's own: tests share the server."""
    return str(request.node.name)


def use_account(name: str, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("MLFLOW_TRACKING_USERNAME", name)
    patch.setenv("MLFLOW_TRACKING_PASSWORD", USERS[name])


def test_a_server_holds_the_same_as_a_file(counted: Proxy, study: str, tmp_path: Path, capfd):
    write_log(tmp_path / "a.jsonl").params({"steps": list(range(1000))})
    file = f"sqlite:///{tmp_path}/mlflow.db"
    for uri in (counted.uri, file):
        sync_runs([tmp_path / "a.jsonl"], uri=uri, study=identity(name=study), tags=TAGS)
    remote, local = (runs_of(uri, study)["llama+lora/los seed 0"] for uri in (counted.uri, file))
    assert (remote.data.params, remote.data.metrics) == (local.data.params, local.data.metrics)
    assert remote.info.status == "FINISHED"
    kept = MlflowClient(tracking_uri=counted.uri).download_artifacts(remote.info.run_id, "recipe.json", str(tmp_path))
    assert json.loads(Path(kept).read_text())["steps"] == list(range(1000))
    assert capfd.readouterr().out == ""


def test_a_run_takes_few_requests_and_none_asks_for_it(counted: Proxy, study: str, tmp_path: Path):
    logs = [tmp_path / f"{number}.jsonl" for number in range(5)]
    for path in logs:
        write_log(path, name=path.stem).metrics({f"metric {number}": 0.5 for number in range(30)})
    first = sync_runs(logs, uri=counted.uri, study=identity(name=study), tags=TAGS)
    assert Counter(line.rsplit("/mlflow/")[-1] for line in counted.requests) == {
        "experiments/search": 1,
        "experiments/get-by-name": 1,
        "experiments/create": 1,
        "runs/search": 1,
        "runs/create": 6,
        "runs/log-batch": 5,
        "runs/update": 6,
    }
    counted.requests.clear()
    append_metrics(logs[0], {"later": 0.25})
    assert sync_runs(logs, uri=counted.uri, study=identity(name=study), tags=TAGS) == first
    assert Counter(line.rsplit("/mlflow/")[-1] for line in counted.requests) == {
        "experiments/search": 1,
        "runs/search": 1,
        "runs/log-batch": 1,
        "runs/update": 2,
    }
    assert history(counted.uri, first["finetune/llama+lora/0"], "later") == [(0, 0.25)]


def test_sending_that_was_cut_off_is_completed_once(counted: Proxy, study: str, tmp_path: Path):
    write_log(tmp_path / "a.jsonl", steps=1500)
    behaviour = counted.behaviour
    counted.behaviour = lambda method, path: (
        (502, "") if path.endswith("/update") and len(counted.requests) > 7 else None
    )
    with pytest.raises(TrackingError, match="overloaded"):
        sync_runs([tmp_path / "a.jsonl"], uri=counted.uri, study=identity(name=study), tags=TAGS)
    assert "POST /api/2.0/mlflow/runs/log-batch" in counted.requests
    counted.behaviour = behaviour
    ids = sync_runs([tmp_path / "a.jsonl"], uri=counted.uri, study=identity(name=study), tags=TAGS)
    assert {run.info.run_id for run in runs_of(counted.uri, study).values()} == {*ids.values()}
    curve = history(counted.uri, ids["finetune/llama+lora/los seed 0"], "train_loss")
    assert curve == [(step, 1 / step) for step in range(1, 1501)]


def test_studies_of_one_name_keep_runs_of_their_own(server: MlflowServer, study: str, tmp_path: Path, monkeypatch):
    def send(owner: str, number: str, steps: int) -> dict[str, str]:
        path = tmp_path / f"{owner}-{number[0]}.jsonl"
        write_log(path, steps=steps)
        use_account(owner, monkeypatch)
        return sync_runs([path], uri=server.uri, study=identity(owner, number, name=study), tags=TAGS)

    mine = send("first", "1" * 32, steps=3)
    server.show("second", MlflowClient(tracking_uri=server.uri).get_experiment_by_name(study).experiment_id)
    theirs = send("second", "2" * 32, steps=5)
    other_folder = send("first", "3" * 32, steps=7)
    copied_results = send("second", "1" * 32, steps=9)
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", ADMIN)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", server.password)
    run = "finetune/llama+lora/los seed 0"
    sent = (mine, theirs, other_folder, copied_results)
    assert len({ids[run] for ids in sent}) == 4
    assert [len(history(server.uri, ids[run], "train_loss")) for ids in sent] == [3, 5, 7, 9]
    assert {*runs_of(server.uri, study)} == {*runs_of(server.uri, f"{study}-second-22222222")}
    assert {run.info.run_id for run in runs_of(server.uri, study).values()} == {*mine.values()}
    tags = MlflowClient(tracking_uri=server.uri).get_experiment_by_name(study).tags
    assert (tags["clinical_peft.owner"], tags["clinical_peft.study_id"]) == ("first", "1" * 32)


@pytest.mark.parametrize("late", ["experiments/search", "experiments/get-by-name"])
def test_jobs_that_start_at_once_share_an_experiment(counted: Proxy, study: str, tmp_path: Path, late: str):
    """The second job looks before the first has created it, and then by name, or then creates it too."""
    write_log(tmp_path / "a.jsonl")
    write_log(tmp_path / "b.jsonl", name="los seed 1")
    sync_runs([tmp_path / "a.jsonl"], uri=counted.uri, study=identity(name=study), tags={})
    nothing = [(200, "{}"), (404, json.dumps({"error_code": "RESOURCE_DOES_NOT_EXIST", "message": ""}))]
    before = {"search": nothing[:1], "get-by-name": nothing[:]}[late.split("/")[1]]
    counted.behaviour = lambda method, path: before.pop(0) if before and "/experiments/" in path else None
    sync_runs([tmp_path / "b.jsonl"], uri=counted.uri, study=identity(name=study), tags={})
    assert len(runs_of(counted.uri, study)) == 3
    assert before == []


def test_an_experiment_that_is_hidden_is_another_users(server: MlflowServer, study: str, tmp_path: Path, monkeypatch):
    write_log(tmp_path / "a.jsonl")
    for owner, number in (("first", "1" * 32), ("second", "2" * 32), ("second", "2" * 32)):
        use_account(owner, monkeypatch)
        sync_runs([tmp_path / "a.jsonl"], uri=server.uri, study=identity(owner, number, name=study), tags={})
    assert len(runs_of(server.uri, f"{study}-second-22222222")) == 2
    with pytest.raises(MlflowException, match="Permission denied"):
        runs_of(server.uri, study)


def test_an_experiment_without_owner_is_adopted_by_its_runs(counted: Proxy, study: str, tmp_path: Path):
    write_log(tmp_path / "a.jsonl")
    client = MlflowClient(tracking_uri=counted.uri)
    experiment = client.create_experiment(study)
    run = client.create_run(experiment, tags={"clinical_peft.run": "finetune/llama+lora/los seed 0"}).info.run_id
    stranger = identity("second", "2" * 32, name=study)
    sync_runs([tmp_path / "a.jsonl"], uri=counted.uri, study=stranger, tags={})
    assert client.get_run(run).info.lifecycle_stage == "active"
    own = type(stranger)(study, "first", "1" * 32, frozenset({run}))
    sync_runs([tmp_path / "a.jsonl"], uri=counted.uri, study=own, tags={})
    assert client.get_experiment(experiment).tags["clinical_peft.study_id"] == "1" * 32


def test_a_deleted_experiment_is_not_written_to(counted: Proxy, study: str, tmp_path: Path):
    write_log(tmp_path / "a.jsonl")
    sync_runs([tmp_path / "a.jsonl"], uri=counted.uri, study=identity(name=study), tags={})
    client = MlflowClient(tracking_uri=counted.uri)
    client.delete_experiment(client.get_experiment_by_name(study).experiment_id)
    with pytest.raises(ConfigError, match="was deleted"):
        sync_runs([tmp_path / "a.jsonl"], uri=counted.uri, study=identity(name=study), tags={})


def test_a_wrong_password_is_one_line_without_it(server: MlflowServer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "first")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "correct-horse")
    with pytest.raises(TrackingError, match=r"did not accept the credentials \(401\); set MLFLOW_TRACK") as raised:
        sync_runs([], uri=server.uri, study=identity(), tags={})
    assert "horse" not in str(raised.value)


def test_credentials_of_netrc_are_taken(server: MlflowServer, study: str, tmp_path: Path, monkeypatch):
    for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "netrc").write_text(f"machine 127.0.0.1 login first password {USERS['first']}\n")
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    write_log(tmp_path / "a.jsonl")
    assert len(sync_runs([tmp_path / "a.jsonl"], uri=server.uri, study=identity(name=study), tags={})) == 2


def test_what_a_study_found_is_sent_once(counted: Proxy, study: str, tmp_path: Path):
    (tmp_path / "report.html").write_text("report")
    found = {
        "description": {"protocol": "corrected"},
        "aggregate": {"summaries": [], "differences": []},
        "metric": "auroc",
        "labels": {},
        "artifacts": {"": [tmp_path / "report.html"]},
        "adapters": {},
        "tags": {},
    }
    first = publish_study(uri=counted.uri, study=identity(name=study), **found)
    counted.requests.clear()
    assert publish_study(uri=counted.uri, study=identity(name=study), **found) == first
    assert len(counted.requests) == 3
    (tmp_path / "report.html").write_text("another report")
    secret = "correct-horse"
    counted.behaviour = lambda method, path: (401, f"Authorization: {secret}") if method == "PUT" else None
    with pytest.raises(TrackingError, match=r"did not accept the credentials \(401\)") as raised:
        publish_study(uri=counted.uri, study=identity(name=study), **found)
    assert secret not in str(raised.value)


def test_a_database_is_a_store_too(server: MlflowServer, study: str, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("PGPASSWORD", server.database_password)
    monkeypatch.chdir(tmp_path)
    write_log(tmp_path / "a.jsonl")
    ids = sync_runs([tmp_path / "a.jsonl"], uri=server.database, study=identity(name=study), tags={})
    assert len(ids) == 2
    monkeypatch.setenv("PGPASSWORD", "correct-horse")
    wrong = server.database.replace("/postgres", "/template1")
    with pytest.raises(TrackingError, match="MLflow at postgresql://") as raised:
        sync_runs([], uri=wrong, study=identity(name=study), tags={})
    assert "horse" not in str(raised.value)
