"""A run log of training as it may be published, completed with what was found on the test split.

Training knows its own task alone. What the log says of a split whose size another task's would give away is taken out
here, before the log is sent to MLflow.
"""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from clinical_peft.disclosure.counts import DIGITS, coarse
from clinical_peft.files import write_text
from clinical_peft.metrics.records import RunMetrics
from clinical_peft.runtime.events import append_metrics, read_events
from clinical_peft.runtime.lineage import append_inputs
from clinical_peft.runtime.provenance import environments_of, git_revision, together

EPOCH = "epoch"
OF_VALIDATION = "validation_"
OF_TOKENS = "tokens"
"""Part of the names of metrics that count the tokens of the training split."""


def provenance_of(run_log: Path, *, code: Path) -> dict[str, Any]:
    """Versions and machine of the job that wrote a run log, and the revision of the code.

    Args:
        run_log: Run log of the training.
        code: Folder within the repository.
    """
    return together([environments_of(read_events(run_log))]) | {"git_revision": git_revision(code)}


def write_scored_log(
    run_log: Path, output: Path, run: RunMetrics, *, cohort: Path, hidden_splits: Collection[str] = ()
) -> None:
    """Copy the run log of a fine-tuning and append its test metrics and the cohort that it read.

    Args:
        run_log: JSON lines written by the training job.
        output: The copy.
        run: Metrics of the run.
        cohort: File of the task's cohort.
        hidden_splits: As for `clinical_peft.metrics.evaluate.evaluate`. Metrics of a hidden validation split have
            `DIGITS` digits. Where the training split is hidden, the copy has a line an epoch, numbered by epoch,
            instead of one for each optimizer step, and no tokens.
    """
    events = published_events(read_events(run_log), hidden_splits)
    write_text(output, "".join(json.dumps(event, sort_keys=True) + "\n" for event in events))
    append_metrics(output, {f"test_{name}": value for name, value in run.metrics["test"].items()})
    append_inputs(output, {cohort.stem: {"path": str(cohort), "sha256": run.cohort_sha256, "context": "training"}})


def published_events(
    events: Sequence[Mapping[str, Any]], hidden_splits: Collection[str]
) -> Iterator[Mapping[str, Any]]:
    """Yield the events of a run log without what gives the size of a hidden split away.

    Args:
        events: As `clinical_peft.runtime.events.read_events` returns them.
        hidden_splits: Names of splits.
    """
    for event in events:
        metrics: dict[str, float] | None = event.get("metrics")
        if metrics is None:
            yield event
            continue
        step = event.get("step")
        if "validation" in hidden_splits:
            metrics = {
                name: coarse(value, DIGITS) if name.startswith(OF_VALIDATION) else value
                for name, value in metrics.items()
            }
        if "train" in hidden_splits:
            metrics = {name: value for name, value in metrics.items() if OF_TOKENS not in name}
            if step is not None:
                # The number of steps of an epoch is that of its batches.
                step = metrics.get(EPOCH)
                if step is None:
                    continue
                step = round(step)
        yield {**event, "metrics": metrics, "step": step}
