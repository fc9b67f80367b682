"""How many jobs `make plan` counts in a study, beside those of Snakemake."""

import re
from pathlib import Path

import yaml
from workflow_run import REPOSITORY, snakemake

from clinical_peft.config.experiments import load_study
from clinical_peft.config.layers import deep_merge
from clinical_peft.workflow.plan import plan


def planned_jobs(path: Path) -> int:
    """Jobs that the plan of a study file counts."""
    default = yaml.safe_load((REPOSITORY / "config" / "config.yaml").read_text())
    written = yaml.safe_load(path.read_text())
    study = load_study(written if written.get("extends") == "none" else deep_merge(default, written))
    return sum(stage.jobs for stage in plan(study))


def require_same_count(path: Path, folder: Path) -> None:
    """Compare the plan's jobs with those of a dry run, which counts the target itself too."""
    run = snakemake(folder, "--dry-run", config=path)
    assert run.returncode == 0, run.output
    (total,) = re.findall(r"^total +(\d+)$", run.output, re.MULTILINE)[:1]
    assert planned_jobs(path) == int(total) - 1
