"""The search study from end to end: trials, best recipes, the final training that uses them, their runs."""

import csv
import json

import pytest
from workflow_run import Run, snakemake

pytestmark = pytest.mark.workflow

MODEL, ADAPTER = "llama+clinical-frozen+downstream", "tiny-llama-lora"


@pytest.fixture(scope="module")
def search_run(tmp_path_factory) -> Run:
    run = snakemake(tmp_path_factory.mktemp("search"), config="search.yaml")
    assert run.returncode == 0, run.output[-3000:]
    return run


def test_searches_end_to_end(search_run):
    study = search_run.results / "search"
    found = json.loads((study / "search" / MODEL / "mortality.json").read_text())
    rows = list(csv.DictReader((study / "search" / MODEL / "mortality.csv").open()))
    assert [int(row["number"]) for row in rows] == list(range(8))
    complete = [row for row in rows if row["state"] == "complete"]
    assert len(complete) == found["trials"]["complete"] >= 5
    assert found["best"]["value"] == max(float(row["validation_auroc"]) for row in complete)

    recipe = json.loads((study / "recipes" / MODEL / "mortality.json").read_text())
    assert recipe["task_method"]["r"] == found["best"]["values"]["settings.r"]
    assert recipe["recipe"]["learning_rate"] == found["best"]["values"]["recipe.learning_rate"]
    assert recipe["search"]["best"] == found["best"]
    metrics = json.loads((study / "metrics" / MODEL / "mortality" / "seed0.json").read_text())
    assert metrics["recipe"] == recipe
    # The final training repeats the best trial, whose seed is that of the matrix, on a cohort with its test rows.
    for model in ("llama", MODEL):
        best = json.loads((study / "search" / model / "mortality.json").read_text())["best"]
        training = json.loads((study / "training" / model / "mortality" / "seed0.json").read_text())
        assert training["curve"][training["best_epoch"] - 1]["validation_auroc"] == best["value"]

    adapter = json.loads((study / "search" / "adapters" / f"{ADAPTER}.json").read_text())
    trained = json.loads((study / "perplexity" / f"{ADAPTER}.json").read_text())
    assert {f"settings.{name}": trained["method"][name] for name in ("r", "alpha", "dropout")} == adapter["best"][
        "values"
    ]
    assert min(point["validation_perplexity"] for point in trained["curve"]) == adapter["best"]["value"]


def test_every_trial_is_an_mlflow_run(search_run):
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{search_run.results / 'search'}/mlflow.db")
    experiment = client.get_experiment_by_name("search")
    runs = client.search_runs([experiment.experiment_id], filter_string="tags.kind = 'search'", max_results=500)
    names = sorted(run.info.run_name for run in runs)
    trials = {f"{MODEL}/mortality": 8, "llama/mortality": 6, ADAPTER: 4}
    assert names == sorted(f"search {name}/trial{number}" for name, count in trials.items() for number in range(count))


def test_a_second_run_does_nothing(search_run):
    again = snakemake(search_run.folder, config="search.yaml")
    assert again.returncode == 0
    assert "Nothing to be done" in again.output
