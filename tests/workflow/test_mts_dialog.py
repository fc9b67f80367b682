"""The study `mts-dialog` in small: its own file, TF-IDF, and one epoch of a tiny base in place of real weights."""

import csv
import json
import os

import pyarrow.parquet as pq
import pytest
import yaml
from own_studies import SCRATCH, SHAPE
from workflow_run import snakemake

REAL_DATA = os.environ.get("CLINICAL_PEFT_REAL_DATA")
pytestmark = [
    pytest.mark.workflow,
    pytest.mark.skipif(not REAL_DATA, reason="CLINICAL_PEFT_REAL_DATA does not name a folder with mts-dialog/"),
]

SOURCE = {"kind": "scratch", "shape": SHAPE, "recipe": SCRATCH, "general_characters": 200000}
SMALL = {
    "bases": {"tiny": {"family": "causal", "label": "Tiny", "source": SOURCE}},
    "models": {"tiny": {"base": "tiny", "task_method": "task-lora", "label": "Tiny + LoRA", "recipe": {"epochs": 1}}},
    "finetuning": {"context": 64},
    "evaluation": {"resamples": 100},
    "matrix": {"adapters": [], "models": ["tfidf", "tiny"]},
}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mts")
    given = [
        f"{key}={yaml.safe_dump(value, default_flow_style=True, width=9999).strip()}" for key, value in SMALL.items()
    ]
    run = snakemake(folder, "tables", "--config", *given, config="mts-dialog.yaml")
    assert run.returncode == 0, run.output[-3000:]
    return run.results / "mts-dialog"


def test_models_are_compared_by_accuracy_on_the_test_file(small):
    with (small / "tables" / "downstream_main.csv").open(newline="") as handle:
        rows = {row["model"]: row for row in csv.DictReader(handle) if row["task"] == "section"}
    assert {*rows} == {"tfidf", "tiny"}
    assert {row["test_admissions"] for row in rows.values()} == {"200"}
    assert 65 < float(rows["tfidf"]["accuracy_percent"]) < 75


def test_accuracy_is_the_share_of_right_sections(small):
    table = pq.read_table(small / "predictions" / "tfidf" / "section" / "seed0.parquet").to_pylist()
    test = [row for row in table if row["split"] == "test"]
    right = [row["scores"].index(max(row["scores"])) == row["label"] for row in test]
    metrics = json.loads((small / "metrics" / "tfidf" / "section" / "seed0.json").read_text())
    assert len(right) == 200
    assert metrics["metrics"]["test"]["accuracy"] == pytest.approx(sum(right) / 200)


def test_the_one_epoch_trained_the_adapter(small):
    metrics = json.loads((small / "metrics" / "tiny" / "section" / "seed0.json").read_text())
    assert metrics["recipe"]["recipe"]["epochs"] == 1
    assert (small / "models" / "tiny" / "section" / "seed0" / "task" / "adapter_model.safetensors").is_file()
