"""Effects of the training size: paired by patient and seed, hidden where counts are small, sizes that are no part."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from simulated_study import CLASSES, simulate_predictions

from clinical_peft.errors import DataError
from clinical_peft.metrics.aggregate import aggregate
from clinical_peft.metrics.evaluate import evaluate
from clinical_peft.metrics.training_size import measure_training_size, sized_runs
from clinical_peft.metrics.training_size_records import TrainingSizes
from clinical_peft.tasks import find_task

SEEDS = (0, 1)
MODELS = ("tfidf", "llama")
SIGNALS = {20: 0.3, 100: 0.9, 400: 1.5, None: 1.5}
TASK = "mortality"
WHOLE = {"train_rows": None, "train_patients": None, "is_whole_split": True}


def evaluated(folder, model, signal, seed, *, shift=0, task=TASK):
    predictions = folder / f"predictions{seed}.parquet"
    folder.mkdir(parents=True, exist_ok=True)
    simulate_predictions(predictions, task, signal=signal, seed=seed + shift)
    (folder / "classes.json").write_text(json.dumps(CLASSES[task]))
    evaluate(
        predictions,
        folder / "classes.json",
        task=find_task(task),
        job={"model": model},
        protocol="corrected",
        cohort_sha256="cohort",
        seed=seed,
        resamples=200,
        bootstrap_seed=0,
        output=folder / f"seed{seed}.json",
        replicates=folder / f"seed{seed}.parquet",
        provenance={},
    )
    return folder / f"seed{seed}.json"


def files(root, *, task=TASK, models=MODELS, sizes=SIGNALS):
    """Files of every run: the part of 400 rows holds the whole training split, and has its scores."""
    keys = [(model, task, size) for size in sizes for model in models]
    metrics, training = [], []
    for model, _, size in keys:
        for seed in SEEDS:
            folder = root / task / model / str(size)
            name = model if size is None else f"{model}@n{size}"
            shift = 10 * MODELS.index(model)
            metrics.append(evaluated(folder, name, SIGNALS[size], seed, shift=shift, task=task))
            counts = {"train_rows": size and size + seed, "train_patients": size and size - 4, "is_whole_split": False}
            training.append(folder / f"training{seed}.json")
            training[-1].write_text(json.dumps({None: {}, 400: WHOLE}.get(size, counts)))
    replicates = [path.with_suffix(".parquet") for path in metrics]
    return sized_runs(keys, metrics=metrics, replicates=replicates, training=training)


def write_cohort(folder, rows=300):
    table = {"subject_id": [row // 2 for row in range(rows)], "split": ["train"] * (rows - 40) + ["test"] * 40}
    pq.write_table(pa.table(table), folder / "cohort.parquet")
    return folder / "cohort.parquet"


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return files(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def measure(tmp_path_factory):
    folder = tmp_path_factory.mktemp("measured")
    cohort = write_cohort(folder)

    def measured(runs, hidden=(), task=TASK):
        settings = {"cohorts": {task: cohort}, "hidden": {task: hidden}}
        found = measure_training_size(runs, output=folder / "training_size.json", **settings).to_json()
        assert json.loads((folder / "training_size.json").read_text()) == found
        return found

    return measured


@pytest.fixture(scope="module")
def found(runs, measure):
    return measure(runs)


def row_of(found, model, size):
    (row,) = (row for row in found["rows"] if (row["model"], row["size"]) == (model, size))
    return row


def test_every_size_has_a_row_and_the_whole_none_to_compare_with(found):
    assert [(row["model"], row["size"]) for row in found["rows"]] == [
        (model, size) for size in (20, 100, None) for model in MODELS
    ]
    assert {row["size"]: row["difference"] is None for row in found["rows"]} == {20: False, 100: False, None: True}


def test_a_planted_loss_is_found_with_its_sign(found):
    for model in MODELS:
        row = row_of(found, model, 20)
        assert row["difference"]["difference"] < -0.1
        assert row["difference"]["interval_total"][1] < 0
        assert row["significant"]
        whole = row_of(found, model, None)["mean"]["auroc"]
        assert row["difference"]["difference"] == pytest.approx(row["mean"]["auroc"] - whole)


def test_differences_pair_patients_in_every_resample(runs, found):
    def replicates(model, size):
        (run,) = (run for run in runs if run.key == (model, TASK, size))
        tables = [pq.read_table(path, filters=[("drawn", "=", "bootstrap")]) for path in run.replicates]
        return np.mean([table["auroc"].to_numpy() for table in tables], axis=0)

    drawn = replicates("llama", 100) - replicates("llama", None)
    row = row_of(found, "llama", 100)
    assert row["difference"]["interval"] == pytest.approx(np.percentile(drawn, [2.5, 97.5]), abs=0.01)


def test_the_variance_of_seeds_is_pooled_over_models_of_one_size(runs, found):
    def by_seed(model, size):
        (run,) = (run for run in runs if run.key == (model, TASK, size))
        return [json.loads(path.read_text())["metrics"]["test"]["auroc"] for path in run.metrics]

    spread = [np.var(np.subtract(by_seed(model, 20), by_seed(model, None)), ddof=1) for model in MODELS]
    row = row_of(found, "llama", 20)["difference"]
    patients = row_of(found, "llama", 20)
    assert row["degrees_of_freedom"] > 0
    seeds = np.mean(spread) / 2
    assert row["standard_error"] ** 2 == pytest.approx(seeds + patient_variance(runs, 20), rel=1e-6)
    assert patients["mean"]["seeds"] == 2


def patient_variance(runs, size):
    found = []
    for one in (size, None):
        (run,) = (run for run in runs if run.key == ("llama", TASK, one))
        tables = [pq.read_table(path, filters=[("drawn", "=", "bootstrap")]) for path in run.replicates]
        found.append(np.mean([table["auroc"].to_numpy() for table in tables], axis=0))
    return np.var(found[0] - found[1], ddof=1)


def test_the_row_of_the_whole_split_is_that_of_the_comparison(runs, found, tmp_path):
    whole = [run for run in runs if run.size is None]
    metrics = [path for run in whole for path in run.metrics]
    replicates = [path for run in whole for path in run.replicates]
    settings = {"tasks": {TASK: find_task(TASK)}, "groups": {}, "output": tmp_path / "comparison.json"}
    summaries = aggregate(metrics, replicates, **settings).to_json()["summaries"]
    for summary in summaries:
        if summary["task"] == TASK:
            assert row_of(found, summary["model"], None)["mean"] == summary


def test_rows_and_patients_are_means_over_seeds(found):
    row = row_of(found, "llama", 100)
    assert (row["train_rows"], row["train_patients"]) == (100, 96)  # of 100 and 101
    whole = row_of(found, "llama", None)
    assert (whole["train_rows"], whole["train_patients"]) == (260, 130)


def test_a_size_that_is_no_part_is_named_with_the_rows(found):
    assert found["whole"] == [{"task": TASK, "size": 400, "train_rows": 260}]


def test_a_hidden_training_split_shows_no_count(runs, measure):
    hidden = measure(runs, hidden=("train",))
    assert hidden["whole"] == [{"task": TASK, "size": 400, "train_rows": None}]
    assert row_of(hidden, "llama", None)["train_rows"] is None
    assert row_of(hidden, "llama", 100)["train_rows"] == 100


def test_a_count_that_a_seed_hides_is_hidden(runs, measure, tmp_path):
    record = tmp_path / "training.json"
    record.write_text(json.dumps({"train_rows": None, "train_patients": 90, "is_whole_split": False}))
    changed = [replace(run, training=(run.training[0], record)) if run.size == 100 else run for run in runs]
    row = row_of(measure(changed), "llama", 100)
    assert (row["train_rows"], row["train_patients"]) == (None, 93)


def test_few_positives_in_test_leave_two_digits(runs, measure, tmp_path):
    def with_few(path):
        content = json.loads(path.read_text())
        content["positives"]["test"] = content["classes_scored"]["test"] = None
        few = tmp_path / "-".join(path.parts[-3:])
        few.write_text(json.dumps(content))
        return few

    hidden = [replace(run, metrics=tuple(map(with_few, run.metrics))) for run in runs]
    row = row_of(measure(hidden), "llama", 20)
    assert row["difference"]["undefined"] is row["mean"]["undefined"] is None
    for value in (row["mean"]["auroc"], row["difference"]["difference"], *row["difference"]["interval_total"]):
        assert value == float(f"{value:.2g}")


def test_sizes_without_the_whole_split_are_refused(runs, measure):
    parts = [run for run in runs if run.key != ("llama", TASK, None)]
    with pytest.raises(DataError, match="expected llama on mortality with its whole training split beside 20 rows"):
        measure(parts)


def test_a_size_given_twice_is_refused(runs, measure):
    with pytest.raises(DataError, match="was given twice with one size"):
        measure([*runs, runs[0]])


def test_runs_of_other_seeds_are_refused(runs, measure):
    one = [
        replace(run, **{name: getattr(run, name)[:1] for name in ("metrics", "replicates", "training")}) for run in runs
    ]
    with pytest.raises(DataError, match="with every seed of the study; missing: seed 1"):
        measure([one[0], *runs[1:]])


def test_no_runs_make_an_empty_file(measure):
    assert measure([]) == {"level": 0.95, "resamples": 0, "rows": [], "whole": []}


def test_the_file_is_read_back_as_it_was_written(found):
    assert TrainingSizes.of(found).to_json() == found
