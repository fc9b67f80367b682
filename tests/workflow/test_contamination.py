"""The contamination modes as workflows: what each plans, and the leakage check as a gate."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from workflow_run import REPOSITORY, Run, dry_run_of, dry_runs, snakemake

pytestmark = pytest.mark.workflow

ARMS = ["disjoint", "matched"]


def write_study(folder: Path, mode: str) -> Path:
    """The tiny study in a mode, without models."""
    content = yaml.safe_load((REPOSITORY / "config" / "tiny.yaml").read_text())
    content |= {"study": mode, "contamination": mode}
    content["matrix"] |= {"models": [], "adapters": ["tiny-llama-lora"]}
    if mode == "disjoint":
        content["adapters"] = {
            arm: {"base": "tiny-llama", "method": "lora", "corpus": f"mimic-iii-{arm}"} for arm in ARMS
        }
        content["matrix"]["adapters"] = ARMS
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


# What each mode plans beside the check for leakage, and what it does without.
MODES = {
    "paper": (set(), {"pair_corpora", "mark_carevue_patients"}),
    "carevue": ({"mark_carevue_patients"}, {"pair_corpora"}),
    "disjoint": ({"pair_corpora mimic-iii"}, {"mark_carevue_patients"}),
}
TARGETS = ("data", "tables", "pretrain")


@pytest.fixture(scope="module")
def planned(tmp_path_factory) -> dict[tuple[str, str], set[str]]:
    """The jobs of a dry run, by mode and target."""
    folder = tmp_path_factory.mktemp("modes")
    commands = {}
    for mode in MODES:
        (folder / mode).mkdir()
        study = write_study(folder / mode, mode)
        commands |= {(mode, target): dry_run_of(study, folder, target) for target in TARGETS}
    found = dry_runs(list(commands.values()), folder)
    assert [each["output"] for each in found if each["code"]] == []
    return {command: {*each["jobs"]} for command, each in zip(commands, found, strict=True)}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("target", ["data", "tables"])
def test_a_mode_plans_its_own_jobs(mode, target, planned):
    wanted, absent = MODES[mode]
    jobs = planned[mode, target]
    assert {"check_leakage", *wanted} <= jobs
    assert not absent & {job.split()[0] for job in jobs}


def test_tokens_and_adapters_of_both_corpora_are_planned(planned):
    for arm in ARMS:
        assert {f"tokenise_notes tiny-llama mimic-iii-{arm}", f"train_adapter {arm}"} <= planned["disjoint", "pretrain"]


@pytest.fixture(scope="module")
def paired(tmp_path_factory) -> Run:
    """The data of the tiny study in mode disjoint."""
    folder = tmp_path_factory.mktemp("disjoint")
    run = snakemake(folder, "data", config=write_study(folder, "disjoint"))
    assert run.returncode == 0, run.output[-3000:]
    return run


def test_paired_corpora_differ_in_held_out_patients_alone(paired):
    results = paired.results / "disjoint"
    report = json.loads((results / "cohorts" / "leakage.json").read_text())
    filtered, matched = (report["corpora"][f"mimic-iii-{arm}"] for arm in ARMS)
    assert filtered["notes"] == matched["notes"] < pq.read_metadata(results / "notes" / "mimic-iii.parquet").num_rows
    assert filtered["forbidden"]
    assert not matched["forbidden"]
    assert filtered["notes_of_held_out_patients"] == 0
    assert matched["notes_of_held_out_patients"] > 0
    assert set(report["tasks"]) == {"mortality", "diagnoses"}


def test_a_leak_ends_the_build_in_one_line_of_counts(paired):
    results = paired.results / "disjoint"
    path = results / "notes" / "mimic-iii-disjoint.parquet"
    clean = pq.read_table(path)
    cohort = pq.read_table(results / "cohorts" / "mortality.parquet").to_pylist()
    row = next(row for row in cohort if row["split"] == "test")
    leaked = clean.slice(0, 1).to_pylist()[0] | {"text": f"Another's note.\n{row['text']}"}
    pq.write_table(pa.concat_tables([clean, pa.Table.from_pylist([leaked], schema=clean.schema)]), path)
    run = snakemake(paired.folder, "data", "--rerun-triggers", "mtime", config=paired.folder / "study.yaml")
    assert run.returncode == 1
    assert "error: leakage: corpus mimic-iii-disjoint" in run.output
    assert "0 notes of 0 such patients, 0 notes of no patient, 1 exact and 0 near duplicates" in run.output
    assert str(row["subject_id"]) not in run.output
    assert not (results / "cohorts" / "leakage.json").exists()


def test_test_patients_are_marked_in_mode_carevue(tmp_path):
    run = snakemake(tmp_path, "data", config=write_study(tmp_path, "carevue"))
    assert run.returncode == 0, run.output[-3000:]
    cohorts = tmp_path / "results" / "carevue" / "cohorts"
    summary = json.loads((cohorts / "carevue.json").read_text())
    table = pq.read_table(cohorts / "carevue.parquet")
    assert table.column_names == ["subject_id", "in_subset"]
    assert table.num_rows == summary["patients"] > summary["patients_in_subset"] > 0
    assert summary["approximate"]
    # The notes of test patients that MIMIC-IV holds too are those of the later years.
    corpus = json.loads((cohorts / "leakage.json").read_text())["corpora"]["mimic-iv"]
    assert sum(corpus["repeated"]["mortality"]["test"][kind] for kind in ("exact", "near")) > 0
