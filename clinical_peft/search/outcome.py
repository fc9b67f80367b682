"""From the workers' trials to the best recipe, the table of all trials, and the job that uses them."""

import csv
import io
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinical_peft.config.search_spaces import Job, Search, apply_point
from clinical_peft.config.search_spaces import as_record as record_of
from clinical_peft.disclosure.counts import coarse
from clinical_peft.errors import TrainingError
from clinical_peft.files import atomic_path, read_json, write_json, write_text
from clinical_peft.recipes import COMPARE_BY
from clinical_peft.recipes.job_records import job_from_record, read_record
from clinical_peft.runtime.events import append_metrics, read_events

if TYPE_CHECKING:
    from clinical_peft.search.trials import TrialRecord

RUN_LOG = "run.jsonl"
STATES = ("complete", "pruned", "failed")
COLUMNS = ("number", "state")
LAST_COLUMNS = ("tokens", "seconds", "reason")
COMPARED = tuple(f"validation_{metric}" for metric in COMPARE_BY)
"""Metrics that a search on a task optimises, as run logs name them."""


def trial_folder(work: Path, number: int) -> Path:
    """Return the folder of a trial's checkpoint and run log."""
    return Path(work) / f"trial{number}"


def write_worker(records: Sequence["TrialRecord"], *, work: Path, trials: Path, run_logs: Path) -> None:
    """Write what one worker found.

    Args:
        records: Its trials.
        work: Folder of the trials' folders.
        trials: JSON file to write.
        run_logs: Folder to write: the run log of every trial, that of a completed one with its metric as
            `search_value`.
    """
    with atomic_path(Path(run_logs)) as folder:
        folder.mkdir()
        for record in records:
            copy = folder / f"trial{record.number}.jsonl"
            shutil.copyfile(trial_folder(work, record.number) / RUN_LOG, copy)
            if record.state == "complete":
                append_metrics(copy, {"search_value": _as_logged(copy, record.value), "seconds": record.seconds})
    write_json(trials, [asdict(record) for record in records])


def _as_logged(run_log: Path, value: float | None) -> float | None:
    """A trial's value, rounded where its run log rounds metrics of the validation split, which has few of a class."""
    logged = {
        found for event in read_events(run_log) for name, found in event.get("metrics", {}).items() if name in COMPARED
    }
    is_exact = value in logged or any(found != coarse(found) for found in logged)
    return value if is_exact or not logged else coarse(value)


def choose_best(search: Search, workers: Sequence[Path], *, searched: str, best: Path, table: Path) -> dict[str, Any]:
    """Write the best trial's recipe and the table of all trials.

    Args:
        search: The search.
        workers: What `write_worker` wrote, of every worker.
        searched: Name of what is searched, in messages.
        best: JSON file to write: the search, how many trials ended how, and `best` with `trial`, `value` and
            `values`. Of equal trials the first is the best.
        table: CSV file to write: one row per trial with its point, metric by epoch or evaluation, tokens and time.

    Returns:
        What `best` holds.

    Raises:
        TrainingError: No trial completed.
    """
    trials = sorted((trial for path in workers for trial in read_json(path)), key=lambda trial: trial["number"])
    write_text(table, _csv(search, trials))
    complete = [trial for trial in trials if trial["state"] == "complete"]
    if not complete:
        reason = next((trial["reason"] for trial in trials if trial["reason"]), "none started")
        raise TrainingError(f"search of {searched}: none of {len(trials)} trials completed; the first: {reason}")
    sign = -1 if search.maximises else 1
    chosen = min(complete, key=lambda trial: sign * trial["value"])
    result = {
        **record_of(search),
        "trials": {"all": len(trials), **{state: _count(trials, state) for state in STATES}},
        "points": search.points,
        "direction": "maximise" if search.maximises else "minimise",
        "best": {"trial": chosen["number"], "value": chosen["value"], "values": chosen["values"]},
    }
    write_json(best, result)
    return result


def _count(trials: Sequence[Mapping[str, Any]], state: str) -> int:
    return sum(trial["state"] == state for trial in trials)


def _csv(search: Search, trials: Sequence[Mapping[str, Any]]) -> str:
    steps = range(1, max((len(trial["curve"]) for trial in trials), default=0) + 1)
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    curve = [f"{search.metric}_{step}" for step in steps]
    writer.writerow([*COLUMNS, *search.parameters, search.metric, *curve, *LAST_COLUMNS])
    for trial in trials:
        metrics = [*trial["curve"], *[None] * (len(steps) - len(trial["curve"]))]
        values = [trial["values"][name] for name in search.parameters]
        writer.writerow(
            [*(trial[key] for key in COLUMNS), *values, trial["value"], *metrics, *(trial[key] for key in LAST_COLUMNS)]
        )
    return stream.getvalue()


def complete_job(
    kind: type[Job],
    record: Mapping[str, Any],
    best: str | Path | None = None,
    *,
    checkpoint_seconds: float | None = None,
) -> tuple[Job, dict[str, Any]]:
    """Put the best recipe of a search into a job.

    Args:
        kind: Kind of job.
        record: The job as `clinical_peft.recipes.job_records.read_record` gives it.
        best: What `choose_best` wrote, or nothing where the study does not search.
        checkpoint_seconds: Time between two checkpoints, on which no result depends; None leaves that of the record.

    Returns:
        The job, and its record, which says under `search` where the values come from.
    """
    job = job_from_record(kind, record)
    if checkpoint_seconds is not None:
        job = replace(job, recipe=replace(job.recipe, checkpoint_seconds=checkpoint_seconds))
    if not best:
        return job, dict(record)
    found = read_json(Path(best))
    job = apply_point(job, found["best"]["values"])
    kept = {key: found[key] for key in ("space", "sampler", "pruner", "seed", "metric", "trials", "best")}
    return job, {**read_record(job), "search": kept}
