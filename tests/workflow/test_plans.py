"""The workflow as Snakemake sees it before anything runs: every study plans, errors are one line, little reruns."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from planned_counts import planned_jobs
from workflow_run import REPOSITORY, SNAKEMAKE, dry_run_of, dry_runs, snakemake, workflow_rules

from clinical_peft.config.experiments import load_study
from clinical_peft.config.layers import deep_merge
from clinical_peft.workflow.planned_jobs import planned_outputs
from clinical_peft.workflow.study_files import StudyFiles

pytestmark = pytest.mark.workflow

CONFIG = REPOSITORY / "config"
STUDIES = sorted(path.name for path in CONFIG.glob("*.yaml"))
TARGETS = ["all", "data", "pretrain", "search", "finetune", "tables", "report", "prefetch"]


@pytest.fixture(scope="module")
def planned_studies(tmp_path_factory) -> dict[str, dict]:
    """A dry run of every study whose data there are."""
    without = ("mtsamples.yaml", "mts-dialog.yaml") if "CLINICAL_PEFT_REAL_DATA" not in os.environ else ()
    names, folder = [name for name in STUDIES if name not in without], tmp_path_factory.mktemp("plans")
    found = dry_runs([dry_run_of(name, folder) for name in names], folder)
    return dict(zip(names, found, strict=True))


@pytest.mark.parametrize("study", STUDIES)
def test_every_study_plans(study, planned_studies):
    if study not in planned_studies:
        pytest.skip("CLINICAL_PEFT_REAL_DATA does not name a folder with mtsamples/ and mts-dialog/")
    found = planned_studies[study]
    assert found["code"] == 0, found["output"]
    assert "write_report" in found["jobs"]
    assert planned_jobs(CONFIG / study) == len(found["jobs"]) - 1  # the target itself


def test_a_plan_names_an_output_of_every_job(tmp_path):
    listed = snakemake(tmp_path, "--summary").output.splitlines()
    rules = {row.split("\t")[0]: row.split("\t")[2] for row in listed if row.startswith("results/")}
    study = load_study(
        deep_merge(*(yaml.safe_load((CONFIG / name).read_text()) for name in ("config.yaml", "tiny.yaml")))
    )
    planned = [path for paths in planned_outputs(StudyFiles(study)).values() for path in paths]
    assert set(planned) <= set(rules)
    assert {rules[path] for path in planned} == set(rules.values())


def test_every_target_exists(tmp_path):
    commands = [dry_run_of("tiny.yaml", tmp_path, target) for target in TARGETS]
    assert [found["output"] for found in dry_runs(commands, tmp_path) if found["code"] != 0] == []


def test_a_rule_that_runs_a_network_gets_a_gpu():
    measured = {name for name, rule in workflow_rules().items() if rule["has_benchmark"]}
    assert {"pool_notes", "train_adapter"} <= measured
    profile = yaml.safe_load((REPOSITORY / "profiles" / "slurm" / "config.yaml").read_text())
    assert {rule for rule, resources in profile["set-resources"].items() if resources.get("gpu")} == measured
    (one_machine,) = re.findall(
        "--resources gpu=1 (--set-resources .*)$", (REPOSITORY / "docs/cluster.md").read_text(), re.M
    )
    assert set(re.findall(r"(\w+):gpu=1", one_machine)) == measured


def test_a_password_is_not_quoted_and_dot_snakemake_is_closed(tmp_path):
    (tmp_path / ".snakemake").mkdir(mode=0o755)
    secret = "correct-horse"
    given = f'tracking={{"uri": "http://me:{secret}@mlflow.example.org"}}'
    run = snakemake(tmp_path, "--dry-run", "--config", given)
    assert run.returncode == 1
    assert "MLFLOW_TRACKING_USERNAME" in run.output
    assert secret not in run.output
    kept = [path for path in tmp_path.rglob("*") if path.is_file() and secret in path.read_text(errors="replace")]
    assert kept == []
    assert (tmp_path / ".snakemake").stat().st_mode & 0o777 == 0o700


def test_any_file_can_be_asked_for_by_its_path(tmp_path):
    run = snakemake(tmp_path, "results/tiny/cohorts/los.parquet", "--dry-run")
    assert run.returncode == 0
    assert "build_cohort" in run.output
    assert "finetune_model" not in run.output


def test_jobs_run_with_a_python_whose_path_has_spaces(tmp_path):
    environment = tmp_path / "my ñ folder"
    environment.symlink_to(sys.prefix)
    target = "results/tiny/notes/general.parquet"
    done = subprocess.run(
        [environment / "bin" / "python", *SNAKEMAKE[1:], target, "--configfile", str(CONFIG / "tiny.yaml")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / target).exists()


def write_config(folder: Path, content: dict) -> Path:
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump({"study": "mine", **content}))
    return path


WRONG = [
    ({"protocoll": "paper"}, "unknown key protocoll"),
    ({"seed": "many"}, "seed: "),
    ({"models": {"m": {"base": "tiny-llama", "label": "m", "clinical": "nothing", "clinical_mode": "frozen"}}},
     "models.m.clinical: 'nothing' is not among the adapters"),
    ({"data": {"mimic_iii": "/nonexistent"}, "matrix": {"models": [], "adapters": [], "tasks": ["los"]}},
     "/nonexistent"),
    ({"data": {"splits": "/nonexistent"}}, "mimic_train.csv"),
    ({"data": {"pmv_split": "beep", "pmv_labels": "/nonexistent.pkl"}, "matrix": {"tasks": ["pmv"]}},
     "/nonexistent.pkl"),
]  # fmt: skip


def test_a_wrong_study_is_one_message_that_names_the_key(tmp_path):
    commands = []
    for number, (content, _) in enumerate(WRONG):
        (tmp_path / str(number)).mkdir()
        commands.append(dry_run_of(write_config(tmp_path / str(number), content), tmp_path))
    for found, (_, expected) in zip(dry_runs(commands, tmp_path), WRONG, strict=True):
        assert found["code"] == 1
        assert expected in found["output"]
        assert "Traceback" not in found["output"]


def test_a_wrong_study_starts_no_job(tmp_path):
    run = snakemake(tmp_path, config=write_config(tmp_path, WRONG[0][0]))
    assert run.returncode == 1
    assert WRONG[0][1] in run.output
    assert not (tmp_path / "results").exists()


UNREADABLE = {
    "missing": (None, "expected a study file, found none"),
    "empty": (b"", "the file is empty"),
    "list": (b"- study: mine\n", "expected keys at top level, such as `study: NAME`, found a list"),
    "tab": (b"study: mine\ndata:\n\tmimic_iii: /x\n", "line 3: expected YAML, found a tab; indent with spaces"),
    "latin-1": (b"study: caf\xe9\n", "expected UTF-8 text, found other bytes at byte 10"),
    "twice": (b"study: a\nstudy: b\n", "line 2: expected YAML, found the key 'study' twice"),
}


def test_a_study_file_that_cannot_be_read_is_one_line(tmp_path):
    for name, (content, _) in UNREADABLE.items():
        if content is not None:
            (tmp_path / f"{name}.yaml").write_bytes(content)
    start = ["--snakefile", REPOSITORY / "Snakefile", "--directory", tmp_path]
    slurm = ["--workflow-profile", REPOSITORY / "profiles" / "slurm"]
    commands = [[*start, "--configfile", tmp_path / f"{name}.yaml"] for name in UNREADABLE]
    commands += [[*start, *slurm, f"--configfile={tmp_path}/missing.yaml"]]
    commands += [[*start, "--configfile", CONFIG / "tiny.yaml", "push_to_hub"]]
    expected = [f"{tmp_path}/{name}.yaml: {line}" for name, (_, line) in UNREADABLE.items()]
    expected += [expected[0], "push_to_hub: expected a study file, found none; put targets before --configfile"]
    for found, line in zip(dry_runs(commands, tmp_path), expected, strict=True):
        assert found["code"] == 1
        assert f"error: {line}" in found["output"].splitlines()[-1]
        assert "Traceback" not in found["output"]


def test_unused_entries_of_a_study_are_said_at_the_start(tmp_path):
    content = {"adapters": {"mine-lora": {"base": "tiny-llama", "method": "lora"}}}
    run = snakemake(tmp_path, "--dry-run", config=write_config(tmp_path, content))
    assert "study.yaml: defined, but not in the matrix, so not run: adapters mine-lora\n" in run.output
    assert "not in the matrix" not in snakemake(tmp_path, "--dry-run").output


def test_a_base_folder_that_is_not_there_fails_the_dry_run(tmp_path):
    source = {"kind": "local", "path": str(tmp_path / "nowhere")}
    content = {
        "data": {"synthetic_for_real_bases": True},
        "bases": {"mine": {"family": "causal", "label": "Mine", "source": source}},
        "adapters": {"mine-lora": {"base": "mine", "method": "lora"}},
        "matrix": {"adapters": ["mine-lora"], "models": [], "tasks": []},
    }
    run = snakemake(tmp_path, "--dry-run", config=write_config(tmp_path, content))
    assert run.returncode == 1
    assert f"{tmp_path}/nowhere/config.json" in run.output
    assert "Traceback" not in run.output


def test_a_wrong_column_of_notes_ends_the_run_before_any_job(tmp_path):
    (tmp_path / "notes.csv").write_text("note_id,text\n1,cough\n")
    content = {
        "data": {"note_files": {"own": {"path": str(tmp_path / "notes.csv"), "text_column": "body"}}},
        "adapters": {"own-lora": {"base": "tiny-llama", "method": "lora", "corpus": "own"}},
        "matrix": {"adapters": ["own-lora"], "models": [], "tasks": []},
    }
    run = snakemake(tmp_path, config=write_config(tmp_path, content))
    assert run.returncode == 1
    assert f"data.note_files.own: {tmp_path}/notes.csv: expected column body; found note_id, text" in run.output
    assert "Traceback" not in run.output
    assert not (tmp_path / "results" / "mine" / "logs").exists()


def test_an_unsearched_recipe_is_refused_by_name(tmp_path):
    run = snakemake(tmp_path, "results/tiny/search/llama/mortality.json", "--dry-run")
    assert run.returncode == 1
    assert "study tiny: searches no recipe for llama/mortality" in run.output


def test_a_missing_table_is_named_before_any_job_starts(tmp_path):
    tables = tmp_path / "mimic"
    tables.mkdir()
    (tables / "ADMISSIONS.csv").write_text("row_id,subject_id\n")
    content = {"data": {"mimic_iii": str(tables)}, "matrix": {"models": [], "adapters": [], "tasks": ["mortality"]}}
    run = snakemake(tmp_path, config=write_config(tmp_path, content))
    assert run.returncode == 1
    assert "NOTEEVENTS" in run.output
    assert "Traceback" not in run.output


@pytest.mark.parametrize("charted", [True, False])
def test_charted_events_feed_ventilation_where_they_exist(charted, tmp_path):
    tables = tmp_path / "mimic"
    tables.mkdir()
    for name in ("PROCEDUREEVENTS_MV.csv.gz", *(["chartevents.csv.gz"] if charted else [])):
        (tables / name).touch()
    config = write_config(tmp_path, {"data": {"mimic_iii": str(tables)}})
    run = snakemake(tmp_path, "results/mine/cohorts/ventilation.parquet", "-n", "--quiet", "host", config=config)
    assert run.returncode == 0, run.output
    assert f"{tables}/PROCEDUREEVENTS_MV.csv.gz" in run.output
    assert (f"{tables}/chartevents.csv.gz" in run.output) == charted


def test_real_weights_on_synthetic_notes_are_only_planned(tmp_path):
    refused = snakemake(tmp_path, config="paper.yaml")
    assert refused.returncode == 1
    assert "synthetic_for_real_bases" in refused.output
    assert not (tmp_path / "results" / "paper" / "hospital").exists()


def test_a_rule_runs_a_short_script_of_its_name():
    scripts = {path.name: path for path in (REPOSITORY / "workflow_scripts").glob("*.py")}
    run = {name: rule["script"] for name, rule in workflow_rules().items() if rule["script"]}
    # Recipes of models and of adapters are chosen by one script, and one sends run logs of a model and of the study.
    assert {name: script for name, script in run.items() if script != f"{name}.py"} == {
        "search_adapter_recipe": "search_recipe.py",
        "track_model": "track_runs.py",
    }
    assert set(run.values()) == set(scripts) - {"script_entry.py"}
    assert all(len(path.read_text().splitlines()) <= 40 for path in scripts.values())


def test_a_rule_says_what_it_does_and_keeps_a_log():
    for name, rule in workflow_rules().items():
        assert rule["docstring"], name
        if rule["script"]:
            assert rule["has_log"], name
            assert rule["environment"], name


def test_rule_files_hold_rules_alone():
    for path in (REPOSITORY / "rules").glob("*.smk"):
        assert not re.search(r"^\s*(?:def|lambda|run:|checkpoint)\b", path.read_text(), re.MULTILINE), path.name
        assert len(path.read_text().splitlines()) < 250, path.name
