"""Run logs sent to MLflow: an experiment per study, a parent run per group, a child run per log.

Jobs write JSON lines (`clinical_peft.runtime.events`) and need no server; this module sends them afterwards, as often
as wanted, and `clinical_peft.tracking.finished_study` adds what a whole study found; no other module imports MLflow.
What may leave is decided here: numbers, short strings of one line and the configuration made of them. The store is a
SQLite file beside the study's results or a tracking server.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from clinical_peft.runtime.provenance import RECORDED_PACKAGES, UNKNOWN
from clinical_peft.tracking.connection import alone_at, connection
from clinical_peft.tracking.experiments import IDENTITY, experiment_of, known_runs
from clinical_peft.tracking.identity import StudyIdentity
from clinical_peft.tracking.keys import LONGEST_KEY, unique_names
from clinical_peft.tracking.parsed_logs import ParsedLog, is_result, read_logs

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput, Param, Run

# Tags that say which log a run was begun with, and what of its log it holds.
BEGUN = "clinical_peft.begun"
EVENTS = "clinical_peft.runtime.events"
DIGEST = "clinical_peft.events_sha256"
CONTENT = "clinical_peft.content_sha256"
KIND = "kind"
MODELS, MODEL = "models", "model"  # kind of the runs of a model's seeds, and of the run above them

DIGEST_LENGTH = 36  # of a data set, the most that MLflow keeps
LONGEST_STRING = 250
LONGEST_PARAM = 500
METRICS_PER_BATCH = 1000
PARAMS_PER_BATCH = 100

Item = TypeVar("Item")


def sync_runs(run_logs: Iterable[Path], *, uri: str, study: StudyIdentity, tags: Mapping[str, str]) -> dict[str, str]:
    """Send run logs to MLflow so that it holds each once, with all that the log says.

    Sending a log again changes nothing. A log that has grown adds what is new to its run; a log that says
    something else than before, because its job was run anew, gets a new run and the old one is deleted.

    Args:
        run_logs: Files written by `clinical_peft.runtime.events.JsonlLog`.
        uri: As for `clinical_peft.tracking.connection.connection`.
        study: The study whose runs these are; see `clinical_peft.tracking.experiments.experiment_of`.
        tags: Short strings for every run, such as the git revision; versions and machine are those of its log.

    Returns:
        MLflow run id by `kind/parent/name`, and by `group/parent` those of the groups.

    Raises:
        ConfigError: The URI names neither, or the experiment was deleted in MLflow.
        DataError: A log is malformed, or two logs describe the same run.
        TrackingError: The store refuses, or cannot be reached.
    """
    logs = read_logs(run_logs)
    with alone_at(uri), connection(uri) as client:
        experiment = experiment_of(client, uri, study).id
        known = known_runs(client, experiment)
        groups: dict[str, list[ParsedLog]] = {}
        for log in logs:
            groups.setdefault(log.parent or "", []).append(log)
        parents = {
            name: _parent(client, experiment, known, name, groups[name], tags) for name in sorted(groups) if name
        }
        runs = {log.identity: _sync(client, experiment, known, log, parents, tags) for log in logs}
        return runs | {group_identity(name): run_id for name, run_id in parents.items()}


def group_identity(name: str) -> str:
    """Identity of a group's run, under which its own runs stand."""
    return f"group/{name}"


def _parent(
    client: "MlflowClient",
    experiment: str,
    known: Mapping[str, "Run"],
    name: str,
    logs: Sequence[ParsedLog],
    tags: Mapping[str, str],
) -> str:
    """Return the id of a group's run, which lasts from the start of its first run to the end of its last."""
    identity = group_identity(name)
    run = known.get(identity)
    ended = None if run is None else run.info.end_time
    if run is None:
        start = min((log.start for log in logs if log.start is not None), default=None)
        kind = {KIND: MODEL} if any(log.kind == MODELS for log in logs) else {}
        own = {**clean_tags(tags), **kind, IDENTITY: identity}
        run = client.create_run(experiment, start_time=start, run_name=name, tags=own)
    end = max((log.end for log in logs if log.end is not None), default=None)
    if ended is None or (end is not None and end > ended):
        client.set_terminated(run.info.run_id, end_time=end)
    return str(run.info.run_id)


def _sync(
    client: "MlflowClient",
    experiment: str,
    known: Mapping[str, "Run"],
    log: ParsedLog,
    parents: Mapping[str, str],
    tags: Mapping[str, str],
) -> str:
    """Bring one run up to its log and return its id."""
    run = known.get(log.identity)
    if run is not None and run.data.tags.get(DIGEST) == log.digest:
        _correct_environment(client, run, log, tags)
        return str(run.info.run_id)
    sent = None if run is None else _sent_metrics(run, log)
    if run is not None and sent is None:
        client.delete_run(run.info.run_id)
    if run is None or sent is None:
        group = {"mlflow.parentRunId": parents[log.parent]} if log.parent else {}
        own = {**group, IDENTITY: log.identity, KIND: log.kind, BEGUN: f"{log.events} {log.digest}"}
        run, sent = client.create_run(experiment, start_time=log.start, run_name=log.title, tags=own), set()
    _send(client, run.info.run_id, log, tags, sent)
    return str(run.info.run_id)


def _correct_environment(client: "MlflowClient", run: "Run", log: ParsedLog, tags: Mapping[str, str]) -> None:
    """Give a run that was sent before the versions and the machine that its log says, or `unknown`."""
    from mlflow.entities import RunTag

    recorded = {name: UNKNOWN for name in RECORDED_PACKAGES if name in run.data.tags} | clean_tags(log.environment)
    wrong = {name: value for name, value in recorded.items() if name not in tags and run.data.tags.get(name) != value}
    if wrong:
        client.log_batch(run.info.run_id, tags=[RunTag(name, value) for name, value in wrong.items()])


def _sent_metrics(run: "Run", log: ParsedLog) -> set[tuple[str, int]] | None:
    """Say which metrics a run holds, by its tags alone: MLflow gives histories key by key.

    Returns:
        Names and steps, none of a run whose sending was cut off; None where the run does not say what its log says now.
    """
    tags = run.data.tags
    is_whole = DIGEST in tags
    mark = f"{tags[EVENTS]} {tags[DIGEST]}" if is_whole else tags.get(BEGUN, "")
    events, _, digest = mark.partition(" ")
    before = log.begun_as(int(events or 0), digest)
    if before is not None and not _contradicts(before, log):
        return {*before.metrics} if is_whole else set()
    return {*log.metrics} if tags.get(CONTENT) == log.content else None


def _contradicts(before: ParsedLog, log: ParsedLog) -> bool:
    """Whether a log took back a parameter or a metric, other than use of the machine."""
    params = dict(flat_params(log.params))
    return any(params.get(key) != value for key, value in flat_params(before.params)) or any(
        key not in log.metrics or log.metrics[key][0] != value
        for key, (value, _) in before.metrics.items()
        if is_result(key)
    )


def _send(
    client: "MlflowClient",
    run_id: str,
    log: ParsedLog,
    tags: Mapping[str, str],
    sent: Collection[tuple[str, int]],
) -> None:
    from mlflow.entities import Metric, RunTag

    new = [
        Metric(key, value, time, step) for (key, step), (value, time) in log.metrics.items() if (key, step) not in sent
    ]
    # What was sent is marked last: a sync that is cut off is repeated, and repeating a value changes nothing.
    marks = {**clean_tags({**log.environment, **tags, **log.tags}), EVENTS: str(log.events)}
    marks |= {DIGEST: log.digest, CONTENT: log.content}
    params = _params(log.params)
    if log.inputs:
        client.log_inputs(run_id, _dataset_inputs(log.inputs))
    if _has_long_values(log.params):
        client.log_dict(run_id, _clean(log.params), "recipe.json")
    for batch in batched(params[PARAMS_PER_BATCH:], PARAMS_PER_BATCH):
        client.log_batch(run_id, params=batch)
    room = METRICS_PER_BATCH - PARAMS_PER_BATCH - len(marks)
    for batch in batched(new[room:], METRICS_PER_BATCH):
        client.log_batch(run_id, metrics=batch)
    client.set_terminated(run_id, end_time=log.end)
    client.log_batch(
        run_id,
        metrics=new[:room],
        params=params[:PARAMS_PER_BATCH],
        tags=[RunTag(key, value) for key, value in marks.items()],
    )


def _dataset_inputs(inputs: Mapping[str, Mapping[str, str]]) -> list["DatasetInput"]:
    """Entities of MLflow for the data that a run read."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    return [
        DatasetInput(
            Dataset(name, each["sha256"][:DIGEST_LENGTH], source_type="file", source=json.dumps({"uri": each["path"]})),
            [InputTag("mlflow.data.context", each["context"]), InputTag("sha256", each["sha256"])],
        )
        for name, each in sorted(inputs.items())
    ]


def batched(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Items in lists of at most so many, as one request takes them."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def _params(values: Mapping[str, Any]) -> list["Param"]:
    from mlflow.entities import Param

    return [Param(key, value) for key, value in flat_params(values)]


def flat_params(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield dotted keys and values, without what is too long for MLflow."""
    flat = list(_flattened(values))
    names = unique_names([key for key, _ in flat])
    for key, value in flat:
        if len(key) <= LONGEST_KEY and len(value) <= LONGEST_PARAM:
            yield names[key], value


def _has_long_values(values: Mapping[str, Any]) -> bool:
    return len(list(flat_params(values))) < len(list(_flattened(values)))


def _flattened(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        key = f"{prefix}{name}"
        if isinstance(value, Mapping):
            yield from _flattened(value, f"{key}.")
        else:
            yield key, json.dumps(_clean(value)) if isinstance(value, list | tuple) else str(_clean(value))


def clean_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Return tags without strings that could hold a note."""
    return {key: str(_clean(value)) for key, value in tags.items()}


def _clean(value: Any) -> Any:
    """Return a value without strings that could hold a note: those that are long or have several lines."""
    if isinstance(value, Mapping):
        return {str(key): _clean(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(each) for each in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    text = str(value)
    short = len(text) <= LONGEST_STRING and len(text.splitlines()) <= 1
    return text if short else f"[{len(text)} characters withheld]"
