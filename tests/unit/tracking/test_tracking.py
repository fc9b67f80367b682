"""Run logs reach MLflow once and whole; what could be a note does not."""

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from tracking_fixtures import STUDY, TAGS, history, identity, write_log

from clinical_peft.errors import ConfigError, DataError
from clinical_peft.runtime.events import JsonlLog
from clinical_peft.runtime.lineage import Usage, append_inputs
from clinical_peft.tracking.run_logs import sync_runs

NOTE = "Patient Quibbleworth was admitted.\nHe denies chest pain."
IDENTITY = identity()


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database without runs; making its tables takes seconds."""
    folder = tmp_path_factory.mktemp("store")
    sync_runs([], uri=f"sqlite:///{folder}/mlflow.db", study=replace(IDENTITY, name="another study"), tags={})
    return folder / "mlflow.db"


@pytest.fixture
def uri(empty_store: Path, tmp_path: Path) -> str:
    """A store of this test's own."""
    folder = tmp_path / "study"
    folder.mkdir(mode=0o700)
    (folder / "mlflow.db").write_bytes(empty_store.read_bytes())
    return f"sqlite:///{folder}/mlflow.db"


def sync(uri: str, *logs: Path) -> dict[str, str]:
    """Send logs; return the ids of their runs, without those of the groups."""
    ids = sync_runs(logs, uri=uri, study=IDENTITY, tags=TAGS)
    return {name: run_id for name, run_id in ids.items() if not name.startswith("group/")}


def runs(uri: str) -> list[Run]:
    client = MlflowClient(tracking_uri=uri)
    return list(client.search_runs([client.get_experiment_by_name(STUDY).experiment_id]))


def everything(uri: str) -> list[Any]:
    """All that the client can read back, metric histories included."""
    client = MlflowClient(tracking_uri=uri)
    histories = [
        [(each.key, each.step, each.value) for each in client.get_metric_history(run.info.run_id, key)]
        for run in runs(uri)
        for key in run.data.metrics
    ]
    return [run.to_dictionary() for run in runs(uri)] + histories


def test_a_run_is_read_back_as_its_log_says(uri: str, tmp_path: Path):
    write_log(tmp_path / "a.jsonl").metrics({"test_auroc": 0.75})
    ids = sync(uri, tmp_path / "a.jsonl")
    assert list(ids) == ["finetune/llama+lora/los seed 0"]
    run = MlflowClient(tracking_uri=uri).get_run(ids["finetune/llama+lora/los seed 0"])
    assert run.info.run_name == "llama+lora/los seed 0"
    assert run.info.status == "FINISHED"
    assert run.info.end_time >= run.info.start_time
    assert run.data.params == {
        "model": "llama+lora",
        "recipe.learning_rate": "5e-05",
        "recipe.targets": '["q_proj", "v_proj"]',
    }
    assert run.data.metrics == {"train_loss": 1 / 3, "test_auroc": 0.75}
    assert history(uri, run.info.run_id, "train_loss") == [(1, 1.0), (2, 0.5), (3, 1 / 3)]
    assert run.data.tags.items() >= {"task": "los", "kind": "finetune", **TAGS}.items()


def test_runs_of_a_group_are_children_of_one_parent(uri: str, tmp_path: Path):
    write_log(tmp_path / "a.jsonl", name="los seed 0")
    write_log(tmp_path / "b.jsonl", name="los seed 1")
    write_log(tmp_path / "c.jsonl", name="base", parent=None)
    sync(uri, *tmp_path.glob("*.jsonl"))
    by_name = {run.info.run_name: run for run in runs(uri)}
    assert set(by_name) == {"llama+lora/los seed 0", "llama+lora/los seed 1", "base", "llama+lora"}
    parents = {name: run.data.tags.get("mlflow.parentRunId") for name, run in by_name.items()}
    parent = by_name["llama+lora"].info.run_id
    assert parents == {name: parent if "/" in name else None for name in by_name}


def test_runs_last_as_long_as_their_jobs(uri: str, tmp_path: Path):
    began = time.time()
    for name in ("a", "b"):
        log = write_log(tmp_path / f"{name}.jsonl", name=name)
        ended = time.time()
        time.sleep(0.05)
        log.metrics({"test_auroc": 0.75})  # scored later, by another job
    sync(uri, tmp_path / "a.jsonl")
    sync(uri, tmp_path / "b.jsonl")
    times = {run.info.run_name: (run.info.start_time / 1000, run.info.end_time / 1000) for run in runs(uri)}
    first, last, group = (times[name] for name in ("llama+lora/a", "llama+lora/b", "llama+lora"))
    assert began - 0.001 <= first[0] <= first[1] < last[0] <= last[1] <= ended
    assert group == (first[0], last[1])


def test_syncing_again_changes_nothing(uri: str, tmp_path: Path):
    write_log(tmp_path / "a.jsonl")
    first = sync(uri, tmp_path / "a.jsonl")
    before = everything(uri)
    assert sync(uri, tmp_path / "a.jsonl") == first
    assert everything(uri) == before


def test_a_longer_log_adds_what_is_new(uri: str, tmp_path: Path):
    log = write_log(tmp_path / "a.jsonl")
    first = sync(uri, tmp_path / "a.jsonl")
    log.metrics({"train_loss": 0.25}, step=4)
    log.metrics({"test_auroc": 0.75})
    assert sync(uri, tmp_path / "a.jsonl") == first
    (run_id,) = first.values()
    assert history(uri, run_id, "train_loss") == [(1, 1.0), (2, 0.5), (3, 1 / 3), (4, 0.25)]
    assert history(uri, run_id, "test_auroc") == [(0, 0.75)]


def test_a_resumed_job_that_repeats_steps_counts_them_once(uri: str, tmp_path: Path):
    write_log(tmp_path / "a.jsonl", steps=3)
    first = sync(uri, tmp_path / "a.jsonl")
    write_log(tmp_path / "a.jsonl", steps=5)
    assert sync(uri, tmp_path / "a.jsonl") == first
    assert history(uri, *first.values(), "train_loss") == [(step, 1 / step) for step in range(1, 6)]


@pytest.mark.parametrize("change", ["params", "metrics"])
def test_a_job_run_anew_with_other_values_gets_a_new_run(change: str, uri: str, tmp_path: Path):
    write_log(tmp_path / "a.jsonl")
    first = sync(uri, tmp_path / "a.jsonl")
    (tmp_path / "a.jsonl").unlink()
    log = write_log(tmp_path / "a.jsonl", steps=2)
    log.params({"model": "bert"}) if change == "params" else log.metrics({"train_loss": 9.0}, step=3)
    second = sync(uri, tmp_path / "a.jsonl")
    assert first != second
    children = [run for run in runs(uri) if run.info.run_name == "llama+lora/los seed 0"]
    assert [run.info.run_id for run in children] == list(second.values())


def test_a_sync_cut_off_halfway_is_completed(uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write_log(tmp_path / "a.jsonl")
    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "set_terminated", interrupt_on_second_call())
        with pytest.raises(KeyboardInterrupt):
            sync(uri, tmp_path / "a.jsonl")
    ids = sync(uri, tmp_path / "a.jsonl")
    assert [run.info.run_id for run in runs(uri) if run.info.run_name == "llama+lora/los seed 0"] == list(ids.values())
    assert history(uri, *ids.values(), "train_loss") == [(1, 1.0), (2, 0.5), (3, 1 / 3)]


def interrupt_on_second_call() -> Any:
    calls = []
    original = MlflowClient.set_terminated

    def set_terminated(*args: Any, **kwargs: Any) -> None:
        calls.append(args)
        if len(calls) > 1:
            raise KeyboardInterrupt
        original(*args, **kwargs)

    return set_terminated


def test_more_than_a_batch_of_everything_arrives(uri: str, tmp_path: Path):
    log = write_log(tmp_path / "a.jsonl", steps=2500)
    log.params({f"p{number}": number for number in range(250)})
    (run_id,) = sync(uri, tmp_path / "a.jsonl").values()
    assert len(history(uri, run_id, "train_loss")) == 2500
    assert len(MlflowClient(tracking_uri=uri).get_run(run_id).data.params) == 253


def test_no_text_that_could_be_a_note_leaves(uri: str, tmp_path: Path):
    long = "Quibbleworth " * 40
    log = JsonlLog(tmp_path / "a.jsonl", kind="finetune", name="a", tags={"text": NOTE})
    log.params({"note": NOTE, "nested": {"texts": [NOTE, long]}, "ids": list(range(1000))})
    (run_id,) = sync(uri, tmp_path / "a.jsonl").values()
    assert "Quibbleworth" not in json.dumps(everything(uri), default=str)
    for file in (tmp_path / "study").rglob("*"):
        assert not file.is_file() or b"Quibbleworth" not in file.read_bytes()
    assert MlflowClient(tracking_uri=uri).get_run(run_id).data.params["note"] == f"[{len(NOTE)} characters withheld]"


def test_long_values_are_kept_as_an_artifact(uri: str, tmp_path: Path):
    log = write_log(tmp_path / "a.jsonl")
    log.params({"steps": list(range(1000))})
    (run_id,) = sync(uri, tmp_path / "a.jsonl").values()
    client = MlflowClient(tracking_uri=uri)
    assert "steps" not in client.get_run(run_id).data.params
    artifact = client.download_artifacts(run_id, "recipe.json", str(tmp_path))
    assert json.loads(Path(artifact).read_text())["steps"] == list(range(1000))
    assert len(list((tmp_path / "study" / "mlartifacts").rglob("recipe.json"))) == 1


def test_a_new_store_is_private(tmp_path: Path):
    write_log(tmp_path / "a.jsonl")
    sync(f"sqlite:///{tmp_path}/new/study/mlflow.db", tmp_path / "a.jsonl")
    study = tmp_path / "new" / "study"
    modes = {path.name: path.stat().st_mode & 0o777 for path in [study, *study.iterdir()]}
    assert modes == {"study": 0o700, "mlflow.db": 0o600, ".mlflow.db.lock": 0o600, "mlartifacts": 0o700}


def test_two_logs_of_one_run_are_refused(uri: str, tmp_path: Path):
    write_log(tmp_path / "a.jsonl")
    write_log(tmp_path / "b.jsonl")
    with pytest.raises(DataError, match=r"b\.jsonl: a second log of the run finetune/llama\+lora/los seed 0"):
        sync(uri, *tmp_path.glob("*.jsonl"))


def test_a_file_that_is_no_run_log_is_refused(uri: str, tmp_path: Path):
    (tmp_path / "a.jsonl").write_text('{"params": {}}\n')
    with pytest.raises(DataError, match="expected a run log"):
        sync(uri, tmp_path / "a.jsonl")


@pytest.mark.parametrize("store", ["mlruns", "file:///tmp/mlruns", "ftp://host"])
def test_other_stores_are_refused(store: str):
    with pytest.raises(ConfigError, match="expected sqlite:///FILE or a server's URL"):
        sync(store)


def test_a_deleted_experiment_is_not_written_to(uri: str, tmp_path: Path):
    write_log(tmp_path / "a.jsonl")
    sync(uri, tmp_path / "a.jsonl")
    client = MlflowClient(tracking_uri=uri)
    client.delete_experiment(client.get_experiment_by_name(STUDY).experiment_id)
    with pytest.raises(ConfigError, match="was deleted"):
        sync(uri, tmp_path / "a.jsonl")


def test_the_runs_of_groups_are_listed_too(uri: str, tmp_path: Path):
    write_log(tmp_path / "a.jsonl")
    ids = sync_runs([tmp_path / "a.jsonl"], uri=uri, study=IDENTITY, tags=TAGS)
    by_name = {run.info.run_name: run.info.run_id for run in runs(uri)}
    assert ids["group/llama+lora"] == by_name["llama+lora"]


def test_the_data_of_a_run_are_its_inputs(uri: str, tmp_path: Path):
    write_log(tmp_path / "a.jsonl")
    data = {"los": {"path": "results/demo/cohorts/los.parquet", "sha256": "ab" * 32, "context": "training"}}
    append_inputs(tmp_path / "a.jsonl", data)
    (run_id,) = sync(uri, tmp_path / "a.jsonl").values()
    (found,) = MlflowClient(tracking_uri=uri).get_run(run_id).inputs.dataset_inputs
    assert (found.dataset.name, found.dataset.digest) == ("los", ("ab" * 32)[:36])
    assert json.loads(found.dataset.source) == {"uri": "results/demo/cohorts/los.parquet"}
    assert {tag.key: tag.value for tag in found.tags} == {"mlflow.data.context": "training", "sha256": "ab" * 32}


def test_a_rerun_job_with_other_machine_use_keeps_its_run(uri: str, tmp_path: Path):
    write_log(tmp_path / "a.jsonl").metrics({"system/processor_seconds": 1.5})
    first = sync(uri, tmp_path / "a.jsonl")
    (tmp_path / "a.jsonl").unlink()
    write_log(tmp_path / "a.jsonl").metrics({"system/processor_seconds": 2.5})
    assert sync(uri, tmp_path / "a.jsonl") == first


def test_versions_are_those_of_the_job_not_of_the_sender(uri: str, tmp_path: Path):
    write_log(tmp_path / "a.jsonl")
    lines = (tmp_path / "a.jsonl").read_text().splitlines()
    header = json.loads(lines[0])
    header["system"] = {"versions": {"peft": "1.2.3"}, "machine": {"processor": "chip", "cores": 3}}
    (tmp_path / "a.jsonl").write_text("\n".join([json.dumps(header), *lines[1:], ""]))
    (run_id,) = sync(uri, tmp_path / "a.jsonl").values()
    client = MlflowClient(tracking_uri=uri)
    tags = client.get_run(run_id).data.tags
    assert (tags["peft"], tags["machine"]) == ("1.2.3", "chip, 3 cores")
    # A log that does not say, of a run that was sent with the sender's own versions.
    header = {"run": header["run"]}
    (tmp_path / "b.jsonl").write_text(json.dumps({"run": header["run"] | {"name": "old"}}) + "\n")
    old = sync(uri, tmp_path / "a.jsonl", tmp_path / "b.jsonl")["finetune/llama+lora/old"]
    for name in ("peft", "mlflow"):
        client.set_tag(old, name, "9.9.9")
    sync(uri, tmp_path / "a.jsonl", tmp_path / "b.jsonl")
    tags = client.get_run(old).data.tags
    assert [tags[name] for name in ("peft", "mlflow", "machine")] == ["unknown"] * 3


def test_use_of_the_machine_is_measured():
    usage = Usage()
    sum(number * number for number in range(300_000))
    metrics = usage.metrics()
    assert 0 < metrics["system/processor_seconds"] < 60
    assert 10 < metrics["system/peak_memory_mebibytes"] < 100_000
