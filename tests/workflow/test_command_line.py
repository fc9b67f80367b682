"""The command line on a finished study: reruns by key, exit codes of Snakemake, and measured times."""

import base64
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from workflow_run import REPOSITORY

from clinical_peft.config.layers import deep_merge

pytestmark = pytest.mark.workflow

TINY = yaml.safe_load((REPOSITORY / "config" / "tiny.yaml").read_text())


@pytest.fixture(scope="module")
def edited(tiny_run, tmp_path_factory) -> Path:
    """The tiny study with another learning rate and another title."""
    changes = {"finetuning": {"learning_rate": 1e-3}, "tasks": {"mortality": {"title": "Death"}}}
    path = tmp_path_factory.mktemp("edited") / "tiny.yaml"
    path.write_text(yaml.safe_dump(deep_merge(TINY, changes)))
    return path


def command(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "clinical_peft.cli", *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, check=False, cwd=folder, timeout=1800)


def test_reruns_are_put_down_to_the_edited_keys(tiny_run, edited):
    done = command(tiny_run.folder, "why", edited)
    assert done.returncode == 0, done.stderr[-2000:]
    causes = done.stdout.split("\n\n")
    (rate,) = [cause for cause in causes if cause.startswith("finetuning.learning_rate: 0.002 -> 0.001")]
    assert "finetune_model llama+clinical-trainable+downstream mortality" in rate
    assert "finetune_model bert+lora" not in rate  # it has a rate of its own
    (title,) = [cause for cause in causes if cause.startswith("tasks.mortality.title: ")]
    assert title.splitlines()[0].endswith(" -> Death")
    assert "tabulate" in title
    assert "train_adapter" not in done.stdout


def test_an_unchanged_study_has_nothing_to_run(tiny_run):
    done = command(tiny_run.folder, "why", REPOSITORY / "config" / "tiny.yaml")
    assert done.stdout.endswith("Study tiny: nothing would run again.\n"), done.stderr[-2000:]


def test_an_interrupted_job_is_named(tiny_run):
    """Snakemake marks what a job is writing, and takes the mark away when it is done."""
    page = "results/tiny/report.html"
    mark = tiny_run.folder / ".snakemake" / "incomplete" / base64.b64encode(page.encode()).decode()
    mark.write_text("")
    try:
        done = command(tiny_run.folder, "why", REPOSITORY / "config" / "tiny.yaml")
    finally:
        mark.unlink()
    assert "interrupted before it was done\n    write_report" in done.stdout, done.stderr[-2000:]


def test_times_are_measured_and_tables_shown(tiny_run):
    planned = command(tiny_run.folder, "plan", REPOSITORY / "config" / "tiny.yaml")
    assert "Times are those of finished jobs on this machine" in planned.stdout, planned.stderr
    shown = command(tiny_run.folder, "show", "results/tiny")
    assert "TF-IDF + logistic regression" in shown.stdout, shown.stderr


def test_run_ends_as_snakemake_does(tiny_run):
    done = command(tiny_run.folder, "run", REPOSITORY / "config" / "tiny.yaml", "--", "-n", "no_such_target")
    assert done.stdout.startswith("$ snakemake --snakefile")
    assert done.returncode == 1
    assert "no_such_target" in done.stdout + done.stderr
