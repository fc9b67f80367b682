"""A study's MLflow file that was moved, copied or written by another MLflow."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from mlflow import MlflowClient

from clinical_peft.errors import DataError
from clinical_peft.runtime.events import JsonlLog
from clinical_peft.tracking.connection import connection
from clinical_peft.tracking.identity import StudyIdentity
from clinical_peft.tracking.moved_store import follow_move
from clinical_peft.tracking.run_logs import sync_runs

STUDY = "laptop"
LONG = {"recipe": {"modules": ["layer"] * 200}}  # kept as an artifact


def sync(folder: Path, *logs: Path) -> dict[str, str]:
    return sync_runs(logs, uri=f"sqlite:///{folder}/mlflow.db", study=StudyIdentity(STUDY, "owner", "0" * 32), tags={})


def write_log(path: Path, name: str) -> Path:
    log = JsonlLog(path, kind="finetune", name=name, parent="llama", tags={})
    log.params(LONG)
    log.metrics({"loss": 1.0})
    return path


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with a run, a logged model, a trace's place and a registered adapter; made in seconds."""
    folder = tmp_path_factory.mktemp("first place") / "study"
    runs = sync(folder, write_log(folder / "logs" / "one.jsonl", "one"))
    with connection(f"sqlite:///{folder}/mlflow.db") as client:
        run = client.get_run(runs["finetune/llama/one"])
        client.create_logged_model(run.info.experiment_id, name="logged", source_run_id=run.info.run_id)
        client.create_registered_model("adapter")
        client.create_model_version("adapter", f"{run.info.artifact_uri}/adapter", run.info.run_id)
        other = client.create_experiment("of the user", artifact_location="s3://bucket/mlartifacts")
        client.create_run(other)
    with closing(sqlite3.connect(folder / "mlflow.db")) as database, database:
        database.execute("PRAGMA foreign_keys = OFF")
        place = f"{client.get_experiment(run.info.experiment_id).artifact_location}/traces/t/artifacts"
        database.execute(
            "INSERT INTO trace_tags (key, value, request_id) VALUES ('mlflow.artifactLocation', ?, 't')", (place,)
        )
        database.execute("INSERT INTO trace_tags (key, value, request_id) VALUES ('theirs', ?, 't')", (place,))
    return folder


@pytest.mark.parametrize("stays", [False, True])
def test_artifacts_follow_a_folder_that_was_moved_or_copied(original, tmp_path, stays, capfd):
    here = tmp_path / "now here" / "study"
    former = tmp_path / "first"
    shutil.copytree(original, former)
    follow_move(former / "mlflow.db")
    shutil.copytree(former, here)
    if not stays:
        shutil.rmtree(former)
    before = files_of(former) if stays else None
    capfd.readouterr()
    runs = sync(here, here / "logs" / "one.jsonl", write_log(here / "logs" / "two.jsonl", "two"))
    said = [line for line in capfd.readouterr().err.splitlines() if "moved" in line]
    assert len(said) == 1
    assert str(former) in said[0]
    assert (files_of(former) if former.exists() else None) == before
    client = MlflowClient(tracking_uri=f"sqlite:///{here}/mlflow.db")
    present = (here / "mlartifacts").as_uri()
    experiment = client.get_experiment_by_name(STUDY)
    assert experiment.artifact_location == present
    for name in ("one", "two"):
        run = client.get_run(runs[f"finetune/llama/{name}"])
        assert run.info.artifact_uri == f"{present}/{run.info.run_id}/artifacts"
        assert [item.path for item in client.list_artifacts(run.info.run_id)] == ["recipe.json"]
        file = client.download_artifacts(run.info.run_id, "recipe.json", str(tmp_path))
        assert "modules" in Path(file).read_text()
    (model,) = client.search_logged_models([experiment.experiment_id])
    assert model.artifact_location.startswith(f"{present}/models/")
    assert client.get_model_version("adapter", "1").source.startswith(present)
    assert client.get_experiment_by_name("of the user").artifact_location == "s3://bucket/mlartifacts"
    with closing(sqlite3.connect(here / "mlflow.db")) as database:
        tags = dict(database.execute("SELECT key, value FROM trace_tags").fetchall())
    assert tags["mlflow.artifactLocation"] == f"{present}/traces/t/artifacts"
    assert tags["theirs"].startswith(original.parent.as_uri())
    sync(here, here / "logs" / "one.jsonl", here / "logs" / "two.jsonl")
    assert "moved" not in capfd.readouterr().err


def test_a_file_moved_without_its_artifacts_says_where_they_are(original, tmp_path, capfd):
    (tmp_path / "alone").mkdir()
    shutil.copy(original / "mlflow.db", tmp_path / "alone" / "mlflow.db")
    sync(tmp_path / "alone")
    assert f"still at {original / 'mlartifacts'}: copy them" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("revision", "expected"),
    [
        (
            None,
            r"an older MLflow; copy the file, then upgrade it with: mlflow db upgrade 'sqlite:///.*store/mlflow\.db'",
        ),
        ("fedcba987654", r"a newer MLflow \(fedcba987654\).*; update MLflow"),
    ],
)
def test_a_store_of_another_mlflow_is_one_line_with_a_remedy(original, tmp_path, revision, expected):
    folder = tmp_path / "a store"
    folder.mkdir()
    shutil.copy(original / "mlflow.db", folder / "mlflow.db")
    with closing(sqlite3.connect(folder / "mlflow.db")) as database, database:
        if revision is None:
            revision = older_than(database.execute("SELECT version_num FROM alembic_version").fetchone()[0])
        database.execute("UPDATE alembic_version SET version_num = ?", (revision,))
    content = (folder / "mlflow.db").read_bytes()
    with pytest.raises(DataError, match=expected) as caught:
        sync(folder)
    assert len(str(caught.value).splitlines()) == 1
    assert (folder / "mlflow.db").read_bytes() == content


def older_than(revision: str) -> str:
    """The schema before the installed MLflow's last change."""
    import mlflow
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory(str(Path(mlflow.__file__).parent / "store" / "db_migrations"))
    return str(scripts.get_revision(revision).down_revision)


def test_a_new_store_that_was_cut_off_is_brought_to_its_end(tmp_path):
    from alembic import command
    from mlflow.store.db.utils import _get_alembic_config
    from mlflow.store.tracking.dbmodels.initial_models import Base
    from sqlalchemy import create_engine

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    engine = create_engine(uri)
    Base.metadata.create_all(engine)
    engine.dispose()
    command.upgrade(_get_alembic_config(uri), "0a8213491aaa")
    assert "group/llama" in sync(tmp_path, write_log(tmp_path / "logs" / "one.jsonl", "one"))


def test_a_file_that_is_no_database_is_one_line(tmp_path):
    (tmp_path / "mlflow.db").write_bytes(b"no database" * 100)
    with pytest.raises(DataError, match="expected MLflow's SQLite file that can be read and written"):
        sync(tmp_path)
