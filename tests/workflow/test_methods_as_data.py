"""Methods of PEFT that are data here, and an adapter that exists already, through every rule."""

import csv
from pathlib import Path

import pytest
import yaml
from method_cases import method_of, train_clinical
from models_fixtures import write_base
from workflow_run import REPOSITORY, snakemake

from clinical_peft.files import read_json, sha256_file

pytestmark = pytest.mark.workflow


def study_file(folder: Path, base: Path, theirs: Path) -> Path:
    """Write a study of one small base with a VeRA adapter trained here, one from elsewhere, and three task methods."""
    tiny = yaml.safe_load((REPOSITORY / "config/tiny.yaml").read_text())
    recipe = {"context": 32}
    models = {
        "small+vera": {"clinical": "small-vera", "clinical_mode": "frozen", "task_method": "vera"},
        "small+theirs": {"clinical": "theirs", "clinical_mode": "merged", "task_method": "prompt"},
        "small+pissa": {"task_method": "pissa"},
        "small-full": {"kind": "full"},
    }
    own = {
        "study": "methods",
        "data": {"synthetic_for_real_bases": True},
        "bases": {"small": {"family": "causal", "label": "Small", "source": {"kind": "local", "path": str(base)}}},
        "methods": {
            "vera": {"label": "VeRA", "settings": {"type": "vera", "r": 4}},
            "prompt": {"label": "Prompt", "settings": {"type": "prompt_tuning", "num_virtual_tokens": 3}},
            "pissa": {
                "label": "PiSSA",
                "settings": {
                    "type": "lora",
                    "r": 2,
                    "lora_alpha": 4,
                    "init_lora_weights": "pissa",
                    "loraplus_lr_ratio": 4,
                },
            },
        },
        "adapters": {
            "small-vera": {"base": "small", "method": "vera", "corpus": "mimic-iii"},
            "theirs": {"base": "small", "path": str(theirs), "corpus": "mimic-iii"},
        },
        "models": {name: {"label": name, "base": "small", "recipe": recipe} | model for name, model in models.items()},
        "matrix": {"adapters": ["small-vera"], "models": ["tfidf", *models], "tasks": ["mortality"], "seeds": [0]},
        "pretraining": tiny["pretraining"] | {"context": 32},
    }
    path = folder / "methods.yaml"
    path.write_text(yaml.safe_dump({**tiny, **own, "methods": own["methods"]}))
    return path


def test_methods_and_an_adapter_from_elsewhere_reach_the_report(tmp_path):
    base, theirs = write_base(tmp_path / "base", "causal"), tmp_path / "their-loha"
    train_clinical(theirs, base, method_of("loha"))
    run = snakemake(tmp_path, config=study_file(tmp_path, base, theirs))
    assert run.returncode == 0, run.output[-3000:]
    study = run.results / "methods"
    origin = read_json(study / "adapters/theirs/origin.json")
    assert origin["sha256"]["adapter_model.safetensors"] == sha256_file(theirs / "adapter_model.safetensors")
    assert read_json(study / "adapters/theirs/adapter_config.json")["base_model_name_or_path"] == "small"
    assert read_json(study / "perplexity/small-vera.json")["method"]["type"] == "vera"
    measured = read_json(study / "perplexity/theirs.json")
    assert (measured["method"], measured["corpus"], measured["trained"]) == ("loha", "mimic-iii", False)
    with (study / "tables/domain_adaptation.csv").open(newline="") as file:
        rows = {row["adapter"]: row for row in csv.DictReader(file)}
    assert float(rows["theirs"]["test_perplexity_after"]) > 1
    assert rows["theirs"]["train_seconds"] == ""
    made = {
        name: read_json(study / f"models/{name}/mortality/seed0/classifier.json")
        for name in ("small+vera", "small+theirs")
    }
    assert made["small+vera"]["active_adapters"] == ["clinical", "task"]
    assert made["small+theirs"]["clinical"] == "merged"
    assert (study / "models/small-full/mortality/seed0/full").is_dir()
    assert "small+theirs" in (study / "report.html").read_text()
    again = snakemake(tmp_path, "-n", config=tmp_path / "methods.yaml")
    assert "Nothing to be done" in again.output


def test_an_adapter_of_another_form_ends_the_start_in_one_line(tmp_path):
    base = write_base(tmp_path / "base", "causal")
    (tmp_path / "theirs").mkdir()
    for name in ("adapter_config.json", "adapter_model.bin"):
        (tmp_path / "theirs" / name).write_text("{}")
    run = snakemake(tmp_path, config=study_file(tmp_path, base, tmp_path / "theirs"))
    assert run.returncode != 0
    (line,) = [line for line in run.output.splitlines() if "adapters.theirs.path" in line]
    assert "expected adapter_model.safetensors, found adapter_model.bin; save the adapter as safetensors" in line
