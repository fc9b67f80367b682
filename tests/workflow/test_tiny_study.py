"""The tiny study from end to end: what users and further tools rely on in its results."""

import csv
import json
import os
import re
import shutil
import stat
import zipfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from tiny_tables import TABLES, comparable
from workflow_run import REPOSITORY, snakemake

from clinical_peft.tables.registry import find_table
from clinical_peft.tables.render import to_csv
from clinical_peft.tables.study_results import StudyResults
from clinical_peft.tracking.finished_study import read_study

pytestmark = pytest.mark.workflow

MODELS = ["tfidf", "llama", "llama+clinical-trainable+downstream", "bert+lora"]
TASKS = ["mortality", "diagnoses"]
FIGURES = [
    *("attrition", "learning_curves", "perplexity_change", "perplexity_cost", "downstream_auroc", "validation_auroc"),
    *("label_frequency", "roc_pr_mortality", "roc_pr_diagnoses", "decision_mortality"),
    *("reliability_mortality", "reliability_diagnoses"),
]


@pytest.fixture(scope="module")
def study(tiny_run) -> Path:
    return tiny_run.results / "tiny"


def test_every_table_in_four_formats(study):
    for name in TABLES:
        for suffix in ("csv", "md", "tex", "html"):
            assert (study / "tables" / f"{name}.{suffix}").stat().st_size > 0
    rows = list(csv.DictReader((study / "tables" / "downstream_main.csv").open()))
    assert {row["model"] for row in rows} == set(MODELS) - {"bert+lora"}
    for row in rows:
        if row["auroc_percent"]:
            assert float(row["low_percent"]) <= float(row["auroc_percent"]) <= float(row["high_percent"])


def test_every_figure_is_drawn_and_in_the_report(study):
    assert set(FIGURES) <= {path.stem for path in (study / "figures").glob("*.svg")}
    report = (study / "report.html").read_text()
    # With two deaths in test there is no curve of mortality to show.
    assert [name for name in FIGURES if f'id="figure-{name}"' not in report] == ["roc_pr_mortality"]


def test_columns_of_notes_and_cohorts(study):
    assert pq.read_schema(study / "notes" / "mimic-iv.parquet").names == [
        "note_id", "subject_id", "hadm_id", "kind", "charttime", "text",
    ]  # fmt: skip
    for task in TASKS:
        schema = pq.read_schema(study / "cohorts" / f"{task}.parquet")
        assert {"hadm_id": "int64", "subject_id": "int64", "split": "string", "text": "string"}.items() <= {
            name: str(schema.field(name).type) for name in schema.names
        }.items()
        assert json.loads((study / "cohorts" / f"{task}.classes.json").read_text())


def test_predictions_hold_one_score_per_class(study):
    for model in MODELS:
        for task in TASKS:
            classes = json.loads((study / "cohorts" / f"{task}.classes.json").read_text())
            table = pq.read_table(study / "predictions" / model / task / "seed0.parquet")
            assert {"hadm_id", "subject_id", "split", "label", "scores", "logits"} <= set(table.column_names)
            assert {len(scores) for scores in table["scores"].to_pylist()} == {len(classes)}


def test_metrics_record_the_resolved_recipe_and_their_interval(study):
    metrics = json.loads((study / "metrics" / "llama" / "mortality" / "seed0.json").read_text())
    assert metrics["recipe"] == json.loads((study / "recipes" / "llama" / "mortality.json").read_text())
    assert metrics["recipe"]["recipe"]["context"] == 64
    low, high = metrics["intervals"]["test"]["auroc"]
    assert low <= metrics["metrics"]["test"]["auroc"] <= high
    assert metrics["n"]["test"] > 0
    assert metrics["versions"]["torch"]


def test_adapters_are_peft_folders_without_pickles(study):
    for name in ("tiny-llama-lora", "tiny-llama-prompt-tuning"):
        files = {path.name for path in (study / "adapters" / name).iterdir()}
        assert {"adapter_config.json", "adapter_model.safetensors", "README.md"} <= files
    pickles = [path for path in study.rglob("*") if path.suffix in {".bin", ".pt", ".pkl", ".pth", ".joblib"}]
    assert pickles == []


def test_shards_load_with_datasets(study):
    from datasets import load_from_disk

    shards = load_from_disk(str(study / "tokens" / "tiny-llama" / "mimic-iv"))
    assert {"note_ids", "subject_ids", "document_lengths", "split", "input_ids"} <= set(shards.column_names)
    assert max(len(ids) for ids in shards["input_ids"]) <= 64


def test_everything_is_private(study):
    open_to_others = [path for path in [study, *study.rglob("*")] if stat.S_IMODE(path.stat().st_mode) & 0o077]
    assert open_to_others == []


def test_mlflow_holds_every_run(study):
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{study}/mlflow.db")
    experiment = client.get_experiment_by_name("tiny")
    runs = client.search_runs([experiment.experiment_id], max_results=500)
    names = [run.info.run_name for run in runs]
    for model in MODELS:
        assert model in names
        parent = next(run for run in runs if run.info.run_name == model)
        children = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
        assert len(children) == len(TASKS)
        for child in children:
            assert 0 <= child.data.metrics["test_auroc"] <= 1
    for model in MODELS:
        sent = json.loads((study / "runs" / "tracked" / f"{model}.json").read_text())
        assert {name for name in sent if name.startswith("models/")} == {
            f"models/{model}/{task}/seed0" for task in TASKS
        }
    tracked = json.loads((study / "runs" / "tracked.json").read_text())
    assert sorted(tracked.values()) == sorted(run.info.run_id for run in runs if run.info.run_name != "tiny")


def test_the_main_table_is_rebuilt_from_mlflow_alone(study):
    results = from_mlflow(study)
    for name in ("downstream_main", "downstream_lora_baselines"):
        assert to_csv(find_table(name).build(results)) == (study / "tables" / f"{name}.csv").read_text(), name


def from_mlflow(study):
    aggregate, labels = read_study(f"sqlite:///{study}/mlflow.db", "tiny")
    return StudyResults(comparison=aggregate, labels=labels)


def test_mlflow_holds_tables_figures_lineage_and_usage(study):
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{study}/mlflow.db")
    run = json.loads((study / "runs" / "study.json").read_text())["run"]
    assert {one.path for one in client.list_artifacts(run)} == {"tables", "figures", "cards", "report.html"}
    tables = {Path(one.path).name for one in client.list_artifacts(run, "tables")}
    assert {f"{name}.{suffix}" for name in TABLES for suffix in ("csv", "html")} <= tables
    tracked = json.loads((study / "runs" / "tracked.json").read_text())
    child = client.get_run(tracked["models/llama/mortality/seed0"])
    metrics = json.loads((study / "metrics" / "llama" / "mortality" / "seed0.json").read_text())
    (data,) = child.inputs.dataset_inputs
    assert data.dataset.name == "mortality"
    assert metrics["cohort_sha256"].startswith(data.dataset.digest)
    assert child.data.metrics["system/processor_seconds"] > 0
    assert child.data.params["recipe.context"] == "64"
    (data,) = client.get_run(tracked["adapters/adapters/tiny-llama-lora"]).inputs.dataset_inputs
    assert data.dataset.name == "mimic-iv"


def test_every_adapter_has_a_card_and_the_study_a_sheet(study):
    for name in ("tiny-llama-lora", "tiny-llama-prompt-tuning"):
        card = (study / "cards" / f"{name}.md").read_text()
        metadata = yaml.safe_load(card.split("---")[1])
        assert (metadata["library_name"], metadata["base_model"], metadata["license"]) == ("peft", "tiny-llama", "mit")
    lora = (study / "cards" / "tiny-llama-lora.md").read_text()
    rows = [
        row
        for row in csv.DictReader((study / "tables" / "downstream_main.csv").open())
        if (row["model"], row["task"]) == ("llama+clinical-trainable+downstream", "mortality")
    ]
    assert f"| {float(rows[0]['auroc_percent']):.1f} | {float(rows[0]['low_percent']):.1f} to " in lora
    sheet = (study / "tripod_ai.md").read_text()
    assert "AUTHOR INPUT NEEDED" in sheet
    assert sheet.count("| from the run |") > 15


def test_nothing_goes_to_the_hub_unless_a_repository_is_named(tiny_run):
    run = snakemake(tiny_run.folder, "push_to_hub")
    assert run.returncode == 1
    assert "hub.repository: expected owner/name, found none, so nothing was sent" in run.output
    assert "tiny-llama-lora to no repository: README.md (" in run.output
    assert not (tiny_run.results / "tiny" / "hub").exists() or not list((tiny_run.results / "tiny" / "hub").iterdir())


def test_snakemakes_own_report_holds_tables_and_report(tiny_run, tmp_path):
    run = snakemake(tiny_run.folder, "--report", str(tmp_path / "report.zip"))
    assert run.returncode == 0, run.output[-2000:]
    with zipfile.ZipFile(tmp_path / "report.zip") as archive:
        names = [Path(name).name for name in archive.namelist()]
        page = archive.read(
            next(name for name in archive.namelist() if name.count("/") == 1 and name.endswith("report.html"))
        ).decode()
    assert "report.html" in names
    assert "downstream_main.csv" in names
    assert "downstream_auroc.svg" in names
    # It opens on the description of the results, not on the graph of rules.
    assert "Results of the study <em>tiny</em>" in page
    assert re.search(r"var metadata = \{.+\}", page)


def test_a_second_run_does_nothing(tiny_run):
    again = snakemake(tiny_run.folder)
    assert again.returncode == 0
    assert "Nothing to be done" in again.output


@pytest.mark.parametrize("seed", ["0", "1"])
def test_no_parameter_of_a_rule_hangs_on_the_order_of_a_set(tiny_run, seed):
    plan = snakemake(tiny_run.folder, "--dry-run", environment={"PYTHONHASHSEED": seed})
    assert "Nothing to be done" in plan.output


CONDA = """#!/bin/sh
case "$*" in
    "info --json") echo '{"conda_prefix": "/opt/conda", "platform": "linux-64"}' ;;
    --version) echo "conda 26.7.0" ;;
    *channel_priority*) echo '{"get": {"channel_priority": "strict"}}' ;;
esac
"""


def test_where_packages_lie_reruns_nothing(tiny_run, tmp_path):
    conda = tmp_path / "conda"
    conda.write_text(CONDA)  # what Snakemake asks it before a dry run
    conda.chmod(0o755)
    path = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    flags = ("--software-deployment-method", "conda", "--conda-prefix", str(tmp_path / "environments"))
    plan = snakemake(tiny_run.folder, "--dry-run", *flags, environment=path)
    assert plan.returncode == 0, plan.output
    assert "Nothing to be done" in plan.output


def test_changing_one_tasks_recipe_reruns_that_task_alone(tiny_run, tmp_path):
    content = yaml.safe_load((REPOSITORY / "config" / "tiny.yaml").read_text())
    content["tasks"] = {"mortality": {"recipe": {"weight_decay": 0.5}}}
    changed = tmp_path / "changed.yaml"
    changed.write_text(yaml.safe_dump(content))
    plan = snakemake(tiny_run.folder, "--dry-run", "--quiet", "host", config=changed)
    assert plan.returncode == 0
    retrained = [
        line for line in plan.output.splitlines() if "predictions/" in line and line.strip().startswith("output")
    ]
    assert len(retrained) == len(MODELS) - 1  # TF-IDF has no weight decay
    assert all("/mortality/" in line for line in retrained)
    assert "rule train_adapter" not in plan.output
    assert "rule train_base" not in plan.output


def test_two_runs_give_the_same_bytes(tiny_run, tmp_path):
    again = snakemake(tmp_path, "tables")
    assert again.returncode == 0, again.output[-3000:]
    first, second = tiny_run.results / "tiny", tmp_path / "results" / "tiny"
    for name in TABLES:
        assert comparable(first / "tables" / f"{name}.csv") == comparable(second / "tables" / f"{name}.csv"), name
    for folder, pattern in (
        ("predictions", "*.parquet"),
        ("notes", "*.parquet"),
        ("cohorts", "*.parquet"),
        ("adapters", "*.safetensors"),
        ("bases", "*.safetensors"),
        ("models", "*.safetensors"),
    ):
        files = sorted(path.relative_to(first) for path in (first / folder).rglob(pattern))
        assert files
        for path in files:
            assert (first / path).read_bytes() == (second / path).read_bytes(), path


def test_a_failing_job_is_one_line_and_leaves_nothing(tiny_run, tmp_path):
    shutil.copytree(tiny_run.results / "tiny", tmp_path / "results" / "tiny")
    classes = tmp_path / "results" / "tiny" / "cohorts" / "mortality.classes.json"
    classes.write_text("not JSON")
    run = snakemake(tmp_path, "results/tiny/predictions/tfidf/mortality/seed0.parquet", "--forcerun", "finetune_model")
    assert run.returncode == 1
    assert "error: " in run.output
    assert "Traceback" not in run.output
    assert not (tmp_path / "results" / "tiny" / "predictions" / "tfidf" / "mortality" / "seed0.parquet").exists()
    assert not list((tmp_path / "results" / "tiny").rglob(".partial-*"))
