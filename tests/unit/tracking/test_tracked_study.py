"""A finished study in MLflow: what a reader finds there is what the study's files say."""

import json
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from results_fixtures import built_from
from simulated_study import LABELS, simulate_study

from clinical_peft.errors import DataError
from clinical_peft.runtime.events import JsonlLog
from clinical_peft.tables.render import to_csv
from clinical_peft.tables.study_results import StudyResults
from clinical_peft.tracking.experiment_page import page_address
from clinical_peft.tracking.finished_study import publish_study, read_study
from clinical_peft.tracking.identity import StudyIdentity
from clinical_peft.tracking.run_logs import sync_runs

STUDY = "simulated"
IDENTITY = StudyIdentity(STUDY, "owner", "0" * 32)


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return simulate_study(tmp_path_factory.mktemp("study"), resamples=100, tasks=("mortality", "los", "procedures"))


@pytest.fixture(scope="module")
def store(simulated: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store with a run per model, task and seed, and one per adapter."""
    folder = tmp_path_factory.mktemp("store")
    logs = []
    for run in simulated["metrics"]:
        path = folder / f"{run['model']}-{run['task']}-{run['seed']}.jsonl"
        log = JsonlLog(path, kind="models", name=f"{run['task']}/seed{run['seed']}", parent=run["model"])
        log.metrics({"test_auroc": run["metrics"]["test"]["auroc"]})
        logs.append(path)
    JsonlLog(folder / "tiny-lora.jsonl", kind="adapters", name="tiny-lora", parent="adapters")
    uri = f"sqlite:///{folder}/mlflow.db"
    sync_runs([*logs, folder / "tiny-lora.jsonl"], uri=uri, study=IDENTITY, tags={})
    return uri


def publish(uri: str, simulated: dict[str, Any], **changes: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "description": {"protocol": "corrected", "switches": {"los_rounded": False}},
        "aggregate": simulated["aggregate"],
        "metric": "auroc",
        "labels": LABELS,
        "artifacts": {},
        "adapters": {},
        "tags": {"git_revision": "0123abc"},
    }
    return publish_study(uri=uri, study=IDENTITY, **(given | changes))


def tables_of(aggregate: dict[str, Any], labels: dict[str, Any]) -> dict[str, str]:
    results = StudyResults(comparison=aggregate, labels=labels)
    tables = built_from(results, "downstream_main", "downstream_lora_baselines")
    return {name: to_csv(table) for name, table in tables.items()}


def test_the_tables_are_rebuilt_from_the_runs_alone(store: str, simulated: dict[str, Any]):
    publish(store, simulated)
    assert tables_of(*read_study(store, STUDY)) == tables_of(simulated["aggregate"], LABELS)


def test_a_models_run_has_what_the_comparison_of_runs_needs(store: str, simulated: dict[str, Any]):
    publish(store, simulated)
    client = MlflowClient(tracking_uri=store)
    runs = client.search_runs([client.get_experiment_by_name(STUDY).experiment_id], max_results=500)
    model = next(run for run in runs if run.info.run_name == "llama+lora")
    children = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == model.info.run_id]
    for task in ("mortality", "los", "procedures"):
        seeds = [run.data.metrics["test_auroc"] for run in children if f"/{task}/" in run.info.run_name]
        assert model.data.metrics[f"auroc/{task}"] == pytest.approx(sum(seeds) / len(seeds))
        assert float(model.data.tags[f"{task}/auroc"]) == model.data.metrics[f"auroc/{task}"]
        assert float(model.data.tags[f"{task}/interval.0"]) < float(model.data.tags[f"{task}/interval.1"])
    assert sorted(model.data.metrics) == ["auroc", "auroc/los", "auroc/macro", "auroc/mortality", "auroc/procedures"]
    assert model.data.metrics["auroc"] == model.data.metrics["auroc/macro"]
    assert model.data.tags["label"] == "tiny LLaMA+lora"
    study = next(run for run in runs if run.info.run_name == STUDY)
    assert study.data.tags.items() >= {"protocol": "corrected", "switches.los_rounded": "False"}.items()


def test_the_experiment_opens_on_models_by_macro_auroc(store: str, simulated: dict[str, Any]):
    result = publish(store, simulated)
    client = MlflowClient(tracking_uri=store)
    tags = client.get_experiment(result["experiment"]).tags
    assert tags["mlflow.experimentKind"] == "custom_model_development"
    assert tags["mlflow.note.content"].startswith(f"**{STUDY}**: ")
    assert "- `llama+lora`: tiny LLaMA+lora" in tags["mlflow.note.content"]
    view = json.loads(tags["mlflow.sharedViewState.models"])
    assert view["selectedColumns"][:2] == ["metrics.`auroc/macro`", "metrics.`auroc/los`"]
    assert view["compareRunCharts"][0]["metricKey"] == "auroc/macro"
    order = [f"{view['orderByKey']} {'ASC' if view['orderByAsc'] else 'DESC'}"]
    found = client.search_runs([result["experiment"]], view["searchFilter"], order_by=order)
    aurocs = [run.data.metrics["auroc/macro"] for run in found]
    assert len(aurocs) == len({row["model"] for row in simulated["aggregate"]["summaries"]})
    assert aurocs == sorted(aurocs, reverse=True)
    assert max(map(len, tags.values())) < 5000
    assert page_address(store, "7").startswith("http://127.0.0.1:5000/#/experiments/7/runs?workflowType=machine")


def test_a_study_sent_before_its_numbers_were_tags_is_read(store: str, simulated: dict[str, Any]):
    publish(store, simulated)
    client = MlflowClient(tracking_uri=store)
    runs = client.search_runs([client.get_experiment_by_name(STUDY).experiment_id], "tags.kind = 'model'")
    for run in runs:
        for key, value in run.data.tags.items():
            if key.startswith("los/"):
                client.delete_tag(run.info.run_id, key)
                client.log_metric(run.info.run_id, key, float(value))
    assert tables_of(*read_study(store, STUDY)) == tables_of(simulated["aggregate"], LABELS)


def test_publishing_again_changes_only_what_has_changed(store: str, simulated: dict[str, Any]):
    first = publish(store, simulated)
    aggregate = json.loads(json.dumps(simulated["aggregate"]))
    row = next(row for row in aggregate["summaries"] if (row["model"], row["task"]) == ("tfidf", "los"))
    row["auroc"] = 0.625
    for part in ("summaries", "differences"):
        aggregate[part] = [row for row in aggregate[part] if row["task"] != "procedures"]
    assert publish(store, simulated, aggregate=aggregate) == first
    found, labels = read_study(store, STUDY)
    assert tables_of(found, labels) == tables_of(aggregate, LABELS)
    client = MlflowClient(tracking_uri=store)
    runs = client.search_runs([client.get_experiment_by_name(STUDY).experiment_id], max_results=500)
    model = next(run for run in runs if run.info.run_name == "llama")
    publish(store, simulated, aggregate=aggregate)
    assert len(client.get_metric_history(model.info.run_id, "auroc/los")) == 1


def test_tables_and_figures_are_artifacts_of_the_studys_run(store: str, simulated: dict[str, Any], tmp_path: Path):
    for name in ("a.csv", "b.svg", "report.html"):
        (tmp_path / name).write_text(name)
    artifacts = {"tables": [tmp_path / "a.csv"], "figures": [tmp_path / "b.svg"], "": [tmp_path / "report.html"]}
    result = publish(store, simulated, artifacts=artifacts)
    client = MlflowClient(tracking_uri=store)
    assert {one.path for one in client.list_artifacts(result["run"])} == {"tables", "figures", "report.html"}
    assert [one.path for one in client.list_artifacts(result["run"], "tables")] == ["tables/a.csv"]
    assert result["artifacts"] == 3


def test_an_adapter_is_registered_once_per_content(store: str, simulated: dict[str, Any], tmp_path: Path):
    client = MlflowClient(tracking_uri=store)
    assert publish(store, simulated)["registered"] == {}
    assert client.search_registered_models() == []
    (tmp_path / "adapter_model.safetensors").write_bytes(b"weights")
    (tmp_path / "adapter_config.json").write_text("{}")
    for _ in range(2):
        assert publish(store, simulated, adapters={"tiny-lora": tmp_path})["registered"] == {"tiny-lora": "1"}
    (tmp_path / "adapter_model.safetensors").write_bytes(b"other weights")
    assert publish(store, simulated, adapters={"tiny-lora": tmp_path})["registered"] == {"tiny-lora": "2"}
    version = client.get_model_version(f"{STUDY}.tiny-lora", "2")
    kept = client.list_artifacts(version.run_id, "adapter")
    assert {Path(one.path).name for one in kept} == {"adapter_model.safetensors", "adapter_config.json"}


def test_unfinished_studies_are_not_tracked(store: str, simulated: dict[str, Any]):
    summaries = [{**simulated["aggregate"]["summaries"][0], "model": "unknown"}]
    with pytest.raises(DataError, match="no run group/unknown; send the run logs first"):
        publish(store, simulated, aggregate={**simulated["aggregate"], "summaries": summaries})
    with pytest.raises(DataError, match="no finished study 'another'"):
        read_study(store, "another")
