"""Predictions of a simulated task and their evaluation, in files."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
from simulated_study import CLASSES, simulate_predictions

from clinical_peft.metrics.evaluate import evaluate
from clinical_peft.tasks import find_task


def rewrite(path, column, change):
    """Change one column of a predictions file, given as a list."""
    table = pq.read_table(path)
    index = table.schema.get_field_index(column)
    values = pa.array(change(table.column(column).to_pylist()), table.schema.field(column).type)
    pq.write_table(table.set_column(index, column, values), path)


def run_evaluation(folder, task="mortality", *, model="m", seed=0, signal=1.0, rows=200, resamples=100, **changes):
    stem = f"{model}-{task}-{seed}"
    predictions, classes = folder / f"{stem}.parquet", folder / f"{task}.classes.json"
    simulate_predictions(predictions, task, signal=signal, seed=seed, rows=rows)
    classes.write_text(json.dumps(CLASSES[task]))
    settings = {
        "task": find_task(task),
        "job": {"model": model, "switches": {"multilabel_softmax": False}},
        "protocol": "corrected",
        "cohort_sha256": "ab",
        "seed": seed,
        "resamples": resamples,
        "bootstrap_seed": 0,
        "provenance": {"versions": {"numpy": "2"}, "git": "f00"},
        "output": folder / f"{stem}.json",
        "replicates": folder / f"{stem}.replicates.parquet",
        **changes,
    }
    return evaluate(predictions, classes, **settings).to_json(), settings["output"], settings["replicates"]
