"""A study of a user's own table, from a CSV file to the report: three types of tasks, string ids, no hospital."""

import csv
import json
import random
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from own_studies import OWN, with_table
from workflow_run import REPOSITORY, Run, dry_runs, snakemake

from clinical_peft.config.layers import deep_merge

pytestmark = pytest.mark.workflow

WORDS = ("cough", "fever", "pain", "chest", "normal", "lung", "heart", "renal", "stable", "acute", "mild", "severe")
SERVICES, CODES = ("medicine", "neurology", "surgery"), ("A10", "B20", "C30")
ROWS = 300


def write_table(path: Path) -> None:
    """Two notes a patient, whose words tell the labels."""
    draw = random.Random(0)
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["encounter", "mrn", "note", "sex", "readmitted", "service", "codes"])
        for number in range(ROWS):
            readmitted, service = draw.random() < 0.4, draw.choice(SERVICES)
            codes = [code for code in CODES if draw.random() < 0.5] or [CODES[0]]
            told = [service, *map(str.lower, codes), *(["relapse"] if readmitted else [])]
            note = [*draw.choices(WORDS, k=20), *(word for word in told if draw.random() < 0.8)]
            draw.shuffle(note)
            ids = [f"E{number:04}", f"{number // 2:04}"]
            table.writerow([*ids, " ".join(note), draw.choice("FM"), int(readmitted), service, ";".join(codes)])


@pytest.fixture(scope="module")
def own_run(tmp_path_factory) -> Run:
    folder = tmp_path_factory.mktemp("own")
    write_table(folder / "notes.csv")
    small = {"context": 64, "train_tokens": 5000, "batch_tokens": 1024, "micro_batch_tokens": 1024, "evaluations": 1}
    content = deep_merge(
        OWN,
        with_table(path=str(folder / "notes.csv"), subgroups={"sex": ["F", "M"]}),
        {
            "pretraining": small,
            "finetuning": {"context": 64, "epochs": 1},
            "evaluation": {"resamples": 100, "metric": "auprc"},
            "tasks": {name: {"models": ["tfidf"]} for name in ("service", "problems")},
        },
    )
    (folder / "own.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    run = snakemake(folder, config=folder / "own.yaml")
    assert run.returncode == 0, run.output[-3000:]
    return run


def test_ids_stay_as_the_file_has_them(own_run):
    table = pq.read_table(own_run.results / "own/predictions/clinical/readmission/seed0.parquet")
    rows = table.to_pylist()
    assert {row["subject_id"] for row in rows} <= {f"{number:04}" for number in range(ROWS // 2)}
    assert all(row["hadm_id"].startswith("E") for row in rows)


def test_every_task_is_scored_and_compared(own_run):
    results = own_run.results / "own"
    for task in ("readmission", "service", "problems"):
        found = json.loads((results / f"metrics/tfidf/{task}/seed0.json").read_text())
        assert found["metrics"]["test"]["auprc"] > 0.7
    comparison = json.loads((results / "comparison.json").read_text())
    assert [*comparison["macro_tasks"]] == ["readmission", "service", "problems"]


def test_the_adapter_learns_from_training_notes_alone(own_run):
    results = own_run.results / "own"
    notes = pq.read_table(results / "notes/ours.parquet").column("subject_id").to_pylist()
    cohort = pq.read_table(results / "cohorts/readmission.parquet").to_pylist()
    assert {*notes} == {row["subject_id"] for row in cohort if row["split"] == "train"}
    assert json.loads((results / "cohorts/leakage.json").read_text())


def test_readers_see_the_own_tasks_by_their_titles(own_run):
    results = own_run.results / "own"
    page = (results / "report.html").read_text()
    assert "30-day readmission" in page
    assert "MIMIC" not in page
    rows = csv.DictReader((results / "tables" / "downstream_main.csv").open())
    tfidf = {row["task"]: float(row["auprc_percent"]) for row in rows if row["label"] == "TF-IDF"}
    assert [*tfidf] == ["readmission", "service", "problems", "macro_average"]
    assert "READM" in (results / "tables" / "downstream_main.md").read_text()


def test_no_hospital_is_made(own_run):
    assert not (own_run.results / "own" / "hospital").exists()
    assert (own_run.results / "own" / "imported").stat().st_mode & 0o077 == 0


def test_a_study_that_inherits_nothing_plans_its_own_jobs_alone(tmp_path):
    write_table(tmp_path / "notes.csv")
    own = deep_merge(OWN, with_table(path=str(tmp_path / "notes.csv")))
    bare = {"study": "bare", "extends": "none"}
    for content in (own, bare):
        (tmp_path / f"{content['study']}.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    commands = [["own.yaml", "--", "data"], ["bare.yaml", "--", "data"], ["own.yaml", "--config", "extends=demo"]]
    planned = dry_runs(
        [["--directory", tmp_path, "--configfile", tmp_path / name, *more] for name, *more in commands], REPOSITORY
    )
    cohorts = [f"build_table_cohort {task}" for task in ("problems", "readmission", "service")]
    expected = [*cohorts, "check_leakage", "data", "import_table ours", "write_table_corpus ours"]
    assert [each["code"] for each in planned] == [0, 0, 0], planned
    assert planned[0]["jobs"] == expected
    assert planned[1]["jobs"] == ["check_leakage", "data"]
    assert "synthesise_hospital" not in planned[2]["jobs"]


def test_a_table_that_is_gone_is_said_in_one_line(own_run, tmp_path):
    table = own_run.folder / "notes.csv"
    table.rename(tmp_path / "elsewhere.csv")
    try:
        folders = (tmp_path, own_run.folder)
        commands = [["--directory", folder, "--configfile", own_run.folder / "own.yaml"] for folder in folders]
        missing, finished = dry_runs(commands, REPOSITORY)
    finally:
        (tmp_path / "elsewhere.csv").rename(table)
    assert (missing["code"], finished["code"]) == (1, 0)
    error = f"error: data.tables.ours: {table}: expected a file, found none; correct its path in the study"
    assert [line for line in missing["output"].splitlines() if "rror" in line] == [error]
    assert missing["output"].splitlines()[-1] == error
    assert f"data.tables.ours: {table} is gone since its import" in finished["output"]
    assert "Nothing to be done" in finished["output"]
