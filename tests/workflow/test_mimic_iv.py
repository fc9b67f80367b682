"""Cohorts from MIMIC-IV through the workflow: the synthetic hospital, real folders, and what is missing from them."""

import csv
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from workflow_run import dry_run_of, dry_runs, snakemake

pytestmark = pytest.mark.workflow

TASKS = ["pmv", "mortality", "los", "diagnoses", "procedures", "control"]


def write_config(folder: Path, **content: object) -> Path:
    path = folder / "study.yaml"
    matrix = {"models": [], "adapters": [], "tasks": TASKS}
    path.write_text(
        yaml.safe_dump({"study": "iv", "synthetic": {"size": "tiny", "seed": 4}, "matrix": matrix, **content})
    )
    return path


@pytest.fixture(scope="module")
def cohorts(tmp_path_factory) -> Path:
    """The cohorts of the tiny synthetic hospital, from MIMIC-IV."""
    folder = tmp_path_factory.mktemp("iv")
    run = snakemake(folder, "data", config=write_config(folder, cohorts={"source": "mimic-iv"}))
    assert run.returncode == 0, run.output[-3000:]
    return run.results / "iv" / "cohorts"


def test_cohorts_of_the_synthetic_hospital(cohorts):
    with_note = set(pq.read_table(cohorts.parent / "notes" / "admission.parquet")["hadm_id"].to_pylist())
    for task in TASKS:
        table = pq.read_table(cohorts / f"{task}.parquet")
        assert table.column_names == ["hadm_id", "subject_id", "split", "text", "label"]
        hadm_ids = table["hadm_id"].to_pylist()
        assert min(hadm_ids) > 960_000_000
        assert set(hadm_ids) <= with_note
        steps = json.loads((cohorts / f"{task}.attrition.json").read_text())
        assert steps[-1]["rows"] == table.num_rows
        assert steps[0]["step"] == ("rows of icustays" if task == "pmv" else "rows of discharge")
    assert {name.split(":")[0] for name in json.loads((cohorts / "diagnoses.classes.json").read_text())} == {"9", "10"}
    assert pq.read_schema(cohorts / "ventilation.parquet").metadata[b"source"] == b"chartevents"


@pytest.fixture
def real_folders(cohorts, tmp_path) -> tuple[Path, Path]:
    """Copies of the synthetic tables as a user may have them: flat, and without what no task but pmv needs."""
    hospital = cohorts.parent / "hospital"
    tables = tmp_path / "mimic-iv-3.1"
    tables.mkdir()
    for name in ("admissions", "patients", "diagnoses_icd", "procedures_icd"):
        (tables / f"{name}.csv.gz").write_bytes((hospital / "mimic-iv" / "hosp" / f"{name}.csv.gz").read_bytes())
    return tables, hospital / "mimic-iv-note"


def test_real_folders_give_the_same_cohorts(cohorts, real_folders, tmp_path):
    data = {"mimic_iv": str(real_folders[0]), "mimic_iv_note": str(real_folders[1])}
    config = write_config(tmp_path, cohorts={"source": "mimic-iv"}, data=data)
    wanted = [f"results/iv/cohorts/{task}.parquet" for task in ("mortality", "diagnoses")]
    run = snakemake(tmp_path, *wanted, config=config)
    assert run.returncode == 0, run.output[-3000:]
    assert "synthesise_hospital" not in run.output
    for name in ("mortality", "diagnoses"):
        ours, theirs = (pq.read_table(path / f"{name}.parquet") for path in (run.results / "iv" / "cohorts", cohorts))
        assert ours.equals(theirs)


# Keys of cohorts and data, a task, and what the message says.
MISSING = [
    ({}, {"mimic_iv": None}, "mortality", "(data.mimic_iv is not set)/admissions.csv.gz"),
    ({}, {"mimic_iv_note": None}, "mortality", "(data.mimic_iv_note is not set)/discharge.csv.gz"),
    ({}, {}, "pmv", "chartevents.csv.gz"),
    ({"icd": "map-to-9", "icd_map": "/nonexistent/gem.csv"}, {}, "diagnoses", "/nonexistent/gem.csv"),
    ({"icd": "map-to-9"}, {}, "diagnoses", "map-to-9 needs icd_map"),
    ({"source": "mimic-iii"}, {}, "mortality", "(data.mimic_iii is not set)/NOTEEVENTS.csv.gz"),
]


def test_what_is_missing_is_named_before_any_job_starts(real_folders, tmp_path):
    given = {"mimic_iv": str(real_folders[0]), "mimic_iv_note": str(real_folders[1])}
    commands = []
    for number, (cohort_keys, data_keys, task, _) in enumerate(MISSING):
        (tmp_path / str(number)).mkdir()
        content = {"cohorts": {"source": "mimic-iv"} | cohort_keys, "data": given | data_keys}
        config = write_config(tmp_path / str(number), **content)
        commands.append(dry_run_of(config, tmp_path, f"results/iv/cohorts/{task}.parquet"))
    for found, (*_, expected) in zip(dry_runs(commands, tmp_path), MISSING, strict=True):
        assert found["code"] == 1
        assert expected in found["output"]
        assert "Traceback" not in found["output"]


def test_a_missing_column_ends_the_run_in_one_line(real_folders, tmp_path):
    tables = real_folders[0]
    (tables / "diagnoses_icd.csv.gz").unlink()
    with (tables / "diagnoses_icd.csv").open("w", newline="") as handle:
        csv.writer(handle).writerows([["subject_id", "hadm_id", "icd9_code"], [1, 2, "4280"]])
    data = {"mimic_iv": str(tables), "mimic_iv_note": str(real_folders[1])}
    config = write_config(tmp_path, cohorts={"source": "mimic-iv"}, data=data)
    run = snakemake(tmp_path, "results/iv/cohorts/diagnoses.parquet", config=config)
    assert run.returncode == 1
    assert "expected column icd_version, icd_code" in run.output
    assert "Traceback" not in run.output
    assert not (run.results / "iv" / "cohorts" / "diagnoses.parquet").exists()


def test_a_whole_study_plans_with_cohorts_from_mimic_iv(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump({"study": "iv", "cohorts": {"source": "mimic-iv"}}))
    run = snakemake(tmp_path, "--dry-run", config=path)
    assert run.returncode == 0, run.output
    assert "write_report" in run.output
