"""The tutorial, word by word in a fresh folder: its file of notes, its study, its commands, its messages.

The short run gives the study the sizes of `tiny` and fewer models; the slow one runs it exactly as it is written.
Without real data, reports of the same form are made up.
"""

import csv
import json
import os
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from fenced_blocks import Block, blocks
from workflow_run import REPOSITORY, dry_runs, typed

from clinical_peft.config.layers import deep_merge

pytestmark = pytest.mark.workflow

PAGE = REPOSITORY / "docs" / "tutorial.md"
TEXT = PAGE.read_text()
STUDIES = [block for block in blocks([PAGE]) if block.language == "yaml"]
COMMANDS = [block for block in blocks([PAGE]) if (block.language, block.tag) == ("sh", "run")]
CLONED = ("Makefile", "Snakefile", "clinical_peft", "config", "envs", "profiles", "report", "rules", "workflow_scripts")
WORDS = ("incision", "closed", "sutures", "sterile", "supine", "anesthesia", "prepped", "stable", "recovery", "tissue")
ORGANS = {"Surgery": ("hernia", "breast", "colon"), "Urology": ("bladder", "urethra", "prostate")}
COUNTS = {"Urology": 118, "Surgery": 147, "Bariatrics": 7, "Neurology": 7}


def made_up_reports(folder: Path) -> Path:
    """Write as many reports as MTSamples has of each specialty, in the same form."""
    draw = random.Random(0)
    path = folder / "mtsamples" / "notes.jsonl"
    path.parent.mkdir(parents=True)
    specialties = [specialty for specialty, count in COUNTS.items() for _ in range(count)]
    with path.open("w") as file:
        for number, specialty in enumerate(specialties):
            organs = ORGANS.get(specialty, ("stomach",))
            text = " ".join(draw.choices([*WORDS, *organs], k=80))
            row = {"note_id": number, "specialty": specialty, "name": f"Report {number}", "text": text}
            file.write(json.dumps(row) + "\n")
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> str:
    return os.environ.get("CLINICAL_PEFT_REAL_DATA") or str(made_up_reports(tmp_path_factory.mktemp("data")))


def fresh_clone(folder: Path) -> Path:
    for name in CLONED:
        source, target = REPOSITORY / name, folder / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    return folder


def environment(data: str) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    return {**os.environ, "PATH": path, "CLINICAL_PEFT_REAL_DATA": data, "HF_HUB_OFFLINE": "1"}


def follow_block(block: Block, folder: Path, data: str) -> str:
    """Type a block's commands, all of which succeed, and return what they print."""
    done = typed(block.text, folder, environment(data))
    assert done.returncode == 0, f"{block.place}: {(done.stdout + done.stderr)[-3000:]}"
    return done.stdout


def follow(folder: Path, data: str, changes: dict) -> Path:
    """Type every command of the page, in order, with its first study as `mine.yaml`."""
    fresh_clone(folder)
    study = deep_merge(yaml.safe_load(STUDIES[0].text), changes)
    (folder / "mine.yaml").write_text(yaml.safe_dump(study, sort_keys=False) if changes else STUDIES[0].text)
    shown = [follow_block(block, folder, data) for block in COMMANDS]
    assert "id,specialty,text" in shown[0]
    assert re.search(r"^adapters +1 ", shown[1], re.MULTILINE)
    assert "TF-IDF" in shown[-1]
    return folder / "results" / "surgery"


def small_study() -> dict:
    tiny = yaml.safe_load((REPOSITORY / "config" / "tiny.yaml").read_text())
    sizes = {key: tiny[key] for key in ("bases", "methods", "pretraining", "finetuning", "evaluation")}
    return {**sizes, "matrix": {"models": ["tfidf", "llama+reports"], "train_sizes": [50, "all"]}}


@pytest.fixture(scope="module")
def short(tmp_path_factory, data) -> Path:
    return follow(tmp_path_factory.mktemp("tutorial"), data, small_study())


def check_results(results: Path, models: list[str]) -> None:
    rows = list(csv.DictReader((results / "tables" / "downstream_main.csv").open()))
    assert {row["model"] for row in rows} == {*models}
    with (results / "tables" / "training_size.csv").open() as handle:
        assert {row["model"] for row in csv.DictReader(handle)} == {*models}
    page = (results / "report.html").read_text()
    assert "Urology or Surgery" in page
    assert "MIMIC" not in page
    table = pq.read_table(results / "imported" / "reports.parquet", columns=["hadm_id", "split"])
    assert table.num_rows == COUNTS["Surgery"] + COUNTS["Urology"]


def test_the_page_leads_to_tables_and_report(short):
    check_results(short, small_study()["matrix"]["models"])


def test_files_that_the_page_names_exist(short):
    for path in (
        "adapters/reports-lora/adapter_model.safetensors",
        "models/llama+reports/urology/seed0",
        "predictions/tfidf/urology/seed0.parquet",
        "mlflow.db",
        "cohorts/leakage.json",
        "logs",
    ):
        assert (short / path).exists(), path


def test_other_studies_of_the_page_plan(tmp_path, data, monkeypatch, short):
    monkeypatch.setenv("CLINICAL_PEFT_REAL_DATA", data)
    shutil.copy(short.parents[1] / "reports.csv", tmp_path)
    (tmp_path / "notes.csv.gz").touch()
    commands = []
    for number, block in enumerate(STUDIES[1:]):
        text = block.text.replace("/data/notes.csv.gz", str(tmp_path / "notes.csv.gz"))
        (tmp_path / f"{number}.yaml").write_text(text)
        commands.append(["--directory", tmp_path, "--configfile", tmp_path / f"{number}.yaml", "--", "data"])
    assert len(commands) > 2
    for block, found in zip(STUDIES[1:], dry_runs(commands, REPOSITORY), strict=True):
        assert found["code"] == 0, f"{block.place}: {found['output']}"
        assert any(job.startswith("import_table") for job in found["jobs"])


WRONG = {
    "number: id": ("id: id", "number: id"),
    "base: tiny": ("base: tiny-llama, method", "base: tiny, method"),
    "models: [tfidf, llama]": ("models: [tfidf, llama, llama+lora, llama+reports]", "models: [tfidf, llama]"),
    "text: note": ("text: text", "text: note"),
    "classes: [Surgery, Bariatrics]": ("classes: [Surgery, Urology]", "classes: [Surgery, Bariatrics]"),
}


@pytest.mark.parametrize("written", WRONG)
def test_a_mistake_gets_the_message_of_the_page(written, short):
    old, new = WRONG[written]
    assert old in STUDIES[0].text
    (row,) = [line for line in TEXT.splitlines() if line.startswith(f"| `{written}`")]
    message = row.split("|")[2].split("`")[1]
    clone = short.parents[1]
    (clone / "mine.yaml").write_text(STUDIES[0].text.replace(old, new))
    dry = "-n" if "column" not in message else "--cores 1"
    command = f"snakemake {dry} results/surgery/cohorts/urology.parquet --configfile mine.yaml --forceall"
    done = subprocess.run(
        command.split(), cwd=clone, env=environment(""), capture_output=True, text=True, check=False, timeout=600
    )
    assert message in done.stdout + done.stderr
    assert (done.returncode == 0) == ("not in the matrix" in message)


@pytest.mark.slow
def test_the_page_runs_exactly_as_written(tmp_path, data):
    models = yaml.safe_load(STUDIES[0].text)["matrix"]["models"]
    check_results(follow(tmp_path, data, {}), models)
