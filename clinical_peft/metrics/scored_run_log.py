"""A run log of training, completed with what was found on the test split."""

import shutil
from pathlib import Path

from clinical_peft.files import atomic_path
from clinical_peft.metrics.records import RunMetrics
from clinical_peft.runtime.events import append_metrics
from clinical_peft.runtime.lineage import append_inputs


def write_scored_log(run_log: Path, output: Path, run: RunMetrics, *, cohort: Path) -> None:
    """Copy the run log of a fine-tuning and append its test metrics and the cohort that it read.

    Args:
        run_log: JSON lines written by the training job.
        output: The copy.
        run: Metrics of the run.
        cohort: File of the task's cohort.
    """
    with atomic_path(output) as copy:
        shutil.copyfile(run_log, copy)
        append_metrics(copy, {f"test_{name}": value for name, value in run.metrics["test"].items()})
        append_inputs(copy, {cohort.stem: {"path": str(cohort), "sha256": run.cohort_sha256, "context": "training"}})
