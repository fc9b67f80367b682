"""Addresses of stores: no password in a study, and nothing that is printed repeats one."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinical_peft.config.study import parse_study
from clinical_peft.errors import ConfigError
from clinical_peft.runtime.privacy import keep_to_owner
from clinical_peft.tracking.stores import holds_credentials, how_to_look, is_store, shown

SECRET = "correct-horse"
LEAKS = [
    f"http://me:{SECRET}@mlflow.example.org",
    f"https://{SECRET}@mlflow.example.org:5000/path",
    f"HTTPS://me:{SECRET}/9@mlflow.example.org",
    f"postgresql://me:{SECRET}@db.example.org/mlflow",
    f"postgresql+psycopg2://me:{SECRET}#@db.example.org/mlflow",
    f"mysql+pymysql://db.example.org/mlflow?user=me&password={SECRET}",
    f"mssql+pyodbc:///?odbc_connect=DRIVER%3DODBC%3BUID%3Dme%3BPWD%3D{SECRET}",
    f"https://mlflow.example.org/?access_token={SECRET}",
    f"https://mlflow.example.org/#token={SECRET}",
    f"http://me%3A{SECRET}%40mlflow.example.org",
    f"databricks://me:{SECRET}@workspace",
    f"sqlite://me:{SECRET}@/runs.db",
    f"http://{SECRET}%2F9@mlflow.example.org",
    f"http:///me:{SECRET}@mlflow.example.org",
    f"https:/me:{SECRET}@mlflow.example.org",
    f"http://\tme:{SECRET}@mlflow.example.org",
    f"https://mlflow.example.org/?pw={SECRET}",
    f"https://mlflow.example.org/?key={SECRET}",
]
KEPT = [
    "sqlite:///results/study/mlflow.db",
    "sqlite:////home/me@example.org/runs.db",
    "https://mlflow.example.org:5000/path",
    "http://127.0.0.1:5000",
    "http://mlflow-auth:5000",
    "http://token.example.org:8080/monkey",
    "postgresql://db.example.org:5432/mlflow",
    "mysql+pymysql://db.example.org/mlflow?read_default_file=~/.my.cnf",
    "databricks://workspace",
]


@pytest.mark.parametrize("uri", LEAKS)
@pytest.mark.parametrize(
    "place",
    [
        lambda uri: {"tracking": {"uri": uri}},
        lambda uri: {"tracking": uri},
        lambda uri: {"tracking.uri": uri},
        lambda uri: {"tracking": {uri: True}},
        lambda uri: {"hub": {"repository": uri}},
        lambda uri: {"data": {"note_files": {"mine": {"path": [uri]}}}},
        lambda uri: {"study": uri, "seed": "no number"},
    ],
)
def test_an_address_with_a_password_is_refused_unquoted(uri, place):
    with pytest.raises(ConfigError) as caught:
        parse_study(place(uri))
    message = str(caught.value)
    assert SECRET not in message
    assert "expected an address without a user name, password or token" in message
    assert len(message.splitlines()) == 1
    assert caught.value.__cause__ is None
    assert SECRET not in shown(uri)
    assert SECRET not in how_to_look(uri)


@pytest.mark.parametrize(
    ("uri", "remedy"),
    [
        (LEAKS[0], "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"),
        (LEAKS[3], "PGPASSFILE"),
        (LEAKS[5], "read_default_file"),
        (LEAKS[6], "MLflow server"),
    ],
)
def test_the_refusal_says_what_works_instead(uri, remedy):
    with pytest.raises(ConfigError, match=re.escape(remedy)):
        parse_study({"tracking": {"uri": uri}})


@pytest.mark.parametrize("uri", KEPT)
def test_an_address_without_a_password_is_kept(uri):
    assert not holds_credentials(uri)
    assert is_store(uri)
    assert shown(uri) == uri
    assert not any("tracking" in str(problem) for problem in _problems({"tracking": {"uri": uri}}))


CONNECTIONS = [
    f"host=db.example.org user=me password={SECRET}",
    f"Server=db.example.org;User Id=me;Password={SECRET};",
    f"DRIVER={{ODBC}};UID=me;PWD = {SECRET}",
]


@pytest.mark.parametrize(
    "uri", ["mlruns", f"me:{SECRET}@host", f"//me:{SECRET}@host", "ftp://host", "sqlite:///", 7, *CONNECTIONS]
)
def test_what_is_no_store_is_refused_before_anything_runs(uri):
    with pytest.raises(ConfigError, match=r"tracking\.uri: ") as caught:
        parse_study({"tracking": {"uri": uri}})
    assert SECRET not in str(caught.value)


def test_a_wrong_value_like_an_address_is_not_quoted():
    with pytest.raises(ConfigError, match=r"hub\.repository: ") as caught:
        parse_study({"hub": {"repository": f"me:{SECRET}@owner/name"}})
    assert SECRET not in str(caught.value)


def test_a_password_in_a_variable_of_a_path_is_not_quoted(monkeypatch):
    monkeypatch.setenv("NOTES", f"https://me:{SECRET}@host")
    with pytest.raises(ConfigError, match=r"mine\.path: expected a path") as caught:
        parse_study({"data": {"note_files": {"mine": {"path": "$NOTES/n.csv"}}}})
    assert SECRET not in str(caught.value)


def _problems(config):
    try:
        parse_study(config)
    except ConfigError as error:
        return str(error).split("; ")
    return []


@given(st.text("abcXYZ0189-_.!*'()$&+,;= %:/?#[]", min_size=1), st.text("abc1", min_size=1))
@settings(max_examples=200, deadline=None)
def test_no_password_whatever_its_characters_is_accepted(password, user):
    assert holds_credentials(f"https://{user}:{password}@host/path")


def test_a_server_is_shown_by_its_address():
    assert how_to_look("https://mlflow.example.org") == "https://mlflow.example.org"
    assert how_to_look("databricks://work") == "databricks://work"
    assert how_to_look("sqlite:///my results/m.db") == "mlflow ui --backend-store-uri 'sqlite:///my results/m.db'"
    assert how_to_look("postgresql://db/mlflow") == "mlflow ui --backend-store-uri postgresql://db/mlflow"


def test_the_plan_of_a_study_with_a_password_does_not_repeat_it(tmp_path):
    study = tmp_path / "study.yaml"
    study.write_text(f"tracking: {{uri: 'http://me:{SECRET}@host'}}\n")
    root = Path(__file__).parents[3]
    found = subprocess.run(
        [sys.executable, "-m", "clinical_peft.workflow.plan", str(study)], cwd=root, capture_output=True, text=True
    )
    assert found.returncode == 1
    assert SECRET not in found.stdout + found.stderr
    assert "MLFLOW_TRACKING_TOKEN" in found.stderr


def test_a_folder_that_others_could_enter_is_closed(tmp_path):
    folder = tmp_path / "state"
    assert keep_to_owner(folder)
    assert not folder.exists()
    folder.mkdir(mode=0o755)
    assert keep_to_owner(folder)
    assert folder.stat().st_mode & 0o777 == 0o700
