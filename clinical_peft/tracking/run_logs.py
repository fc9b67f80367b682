"""Run logs sent to MLflow: an experiment per study, a parent run per group, a child run per log.

Jobs write JSON lines (`clinical_peft.runtime.events`) and need no server; this module sends them afterwards, as often
as wanted, and `clinical_peft.tracking.finished_study` adds what a whole study found; no other module imports MLflow.
What may leave is decided here: numbers, short strings of one line and the configuration made of them. The store is a
SQLite file beside the study's results or a tracking server.
"""

import fcntl
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from clinical_peft.errors import ConfigError, DataError
from clinical_peft.files import private_directory
from clinical_peft.runtime.privacy import opt_out_of_telemetry
from clinical_peft.runtime.provenance import RECORDED_PACKAGES, UNKNOWN
from clinical_peft.tracking import experiment_page
from clinical_peft.tracking.keys import LONGEST_KEY, unique_names
from clinical_peft.tracking.moved_store import artifact_folder, check_schema, follow_move, upgrade_command
from clinical_peft.tracking.parsed_logs import ParsedLog, read_logs
from clinical_peft.tracking.stores import EXPECTED, SQLITE, is_store, shown

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput, Param, Run
    from mlflow.exceptions import MlflowException

# Tags by which a run is found again, and what of its log it holds.
IDENTITY = "clinical_peft.run"
EVENTS = "clinical_peft.runtime.events"
DIGEST = "clinical_peft.events_sha256"
KIND = "kind"
MODELS, MODEL = "models", "model"  # kind of the runs of a model's seeds, and of the run above them

# Metrics that differ whenever a job is run again; MLflow shows those with this prefix in a tab of their own.
SYSTEM_PREFIX = "system/"

DIGEST_LENGTH = 36  # of a data set, the most that MLflow keeps
LONGEST_STRING = 250
LONGEST_PARAM = 500
METRICS_PER_BATCH = 1000
PARAMS_PER_BATCH = 100

Item = TypeVar("Item")


def sync_runs(run_logs: Iterable[Path], *, uri: str, study: str, tags: Mapping[str, str]) -> dict[str, str]:
    """Send run logs to MLflow so that it holds each once, with all that the log says.

    Sending a log again changes nothing. A log that has grown adds what is new to its run; a log that says
    something else than before, because its job was run anew, gets a new run and the old one is deleted.

    Args:
        run_logs: Files written by `clinical_peft.runtime.events.JsonlLog`.
        uri: `sqlite:///FILE`, whose artifacts go to `mlartifacts` beside the file, or a tracking server.
        study: Name of the experiment.
        tags: Short strings for every run, such as the git revision; versions and machine are those of its log.

    Returns:
        MLflow run id by `kind/parent/name`, and by `group/parent` those of the groups.

    Raises:
        ConfigError: The URI names neither, or the experiment was deleted in MLflow.
        DataError: A log is malformed, two logs describe the same run, or the store refuses.
    """
    logs = read_logs(run_logs)
    with alone_at(uri):
        client = connect(uri)
        from mlflow.exceptions import MlflowException

        try:
            experiment = experiment_of(client, uri, study)
            known = known_runs(client, experiment)
            groups: dict[str, list[ParsedLog]] = {}
            for log in logs:
                groups.setdefault(log.parent or "", []).append(log)
            parents = {
                name: _parent(client, experiment, known, name, groups[name], tags) for name in sorted(groups) if name
            }
            runs = {log.identity: _sync(client, experiment, known, log, parents, tags) for log in logs}
            return runs | {group_identity(name): run_id for name, run_id in parents.items()}
        except MlflowException as error:
            raise refusal(uri, error) from error


def refusal(uri: str, error: "MlflowException") -> DataError:
    """The error for a store that cannot be reached or written, or that another MLflow wrote."""
    if "out-of-date database schema" in str(error):
        return DataError(
            f"MLflow at {shown(uri)} has the tables of another version; back it up, then upgrade it with: "
            f"{upgrade_command(shown(uri))}"
        )
    return DataError(
        f"MLflow at {shown(uri)} refused with {error.error_code}; check that it can be reached and written, "
        "then run the same command again"
    )


def group_identity(name: str) -> str:
    """Identity of a group's run, under which its own runs stand."""
    return f"group/{name}"


def connect(uri: str) -> "MlflowClient":
    """Return a client of a store; see `sync_runs` for its URI and errors.

    Artifacts of a store's file that lies in another folder than before are pointed there, which one line says.
    """
    if not is_store(uri):
        raise ConfigError(f"MLflow store {shown(uri)!r}: {EXPECTED}")
    opt_out_of_telemetry()
    # MLflow's own seven retries double their pauses: minutes before a wrong address is reported.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    if uri.startswith(SQLITE):
        _prepare_file(Path(uri.removeprefix(SQLITE)))
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    try:
        return MlflowClient(tracking_uri=uri)
    except MlflowException as error:
        raise refusal(uri, error) from error


@contextmanager
def alone_at(uri: str) -> Iterator[None]:
    """Wait until no other process of this machine creates or writes a store's file; for a server, do not wait."""
    if not (uri.startswith(SQLITE) and is_store(uri)):
        yield
        return
    database = Path(uri.removeprefix(SQLITE))
    lock = private_directory(database.parent) / f".{database.name}.lock"
    descriptor = os.open(lock, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _prepare_file(database: Path) -> None:
    """Create a store's file where it is missing, refuse one of another MLflow, and follow one that was moved."""
    private_directory(database.parent)
    # SQLite gives its journal the mode of the file.
    database.touch(mode=0o600)
    if database.stat().st_size == 0:
        return
    import mlflow
    from alembic.script import ScriptDirectory

    revisions = ScriptDirectory(str(Path(mlflow.__file__).parent / "store" / "db_migrations"))
    known = {revision.revision for revision in revisions.walk_revisions()}
    check_schema(database, latest=str(revisions.get_current_head()), known=known, installed=mlflow.__version__)
    if (move := follow_move(database)) is not None:
        print(move, file=sys.stderr, flush=True)


def experiment_of(client: "MlflowClient", uri: str, study: str) -> str:
    """Return the id of a study's experiment, which is created where it is missing."""
    found = client.get_experiment_by_name(study)
    if found is None:
        return str(
            client.create_experiment(study, artifact_location=_artifact_location(uri), tags=experiment_page.KIND)
        )
    if found.lifecycle_stage != "active":
        raise ConfigError(f"MLflow experiment {study!r} was deleted; restore it or give the study another name")
    return str(found.experiment_id)


def _artifact_location(uri: str) -> str | None:
    if not uri.startswith(SQLITE):
        return None
    return private_directory(artifact_folder(Path(uri.removeprefix(SQLITE)))).as_uri()


def known_runs(client: "MlflowClient", experiment: str) -> dict[str, "Run"]:
    """Return the runs of an experiment that this package made, by identity."""
    runs: dict[str, Run] = {}
    token = None
    while True:
        page = client.search_runs([experiment], max_results=1000, page_token=token)
        runs |= {run.data.tags[IDENTITY]: run for run in page if IDENTITY in run.data.tags}
        token = page.token
        if not token:
            return runs


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
    if run is not None and _contradicts(client, run, log):
        client.delete_run(run.info.run_id)
        run = None
    if run is None:
        group = {"mlflow.parentRunId": parents[log.parent]} if log.parent else {}
        own = {**group, IDENTITY: log.identity, KIND: log.kind}
        run = client.create_run(experiment, start_time=log.start, run_name=log.title, tags=own)
    _send(client, run.info.run_id, log, tags, _sent_metrics(client, run))
    return str(run.info.run_id)


def _correct_environment(client: "MlflowClient", run: "Run", log: ParsedLog, tags: Mapping[str, str]) -> None:
    """Give a run that was sent before the versions and the machine that its log says, or `unknown`."""
    from mlflow.entities import RunTag

    recorded = {name: UNKNOWN for name in RECORDED_PACKAGES if name in run.data.tags} | clean_tags(log.environment)
    wrong = {name: value for name, value in recorded.items() if name not in tags and run.data.tags.get(name) != value}
    if wrong:
        client.log_batch(run.info.run_id, tags=[RunTag(name, value) for name, value in wrong.items()])


def _contradicts(client: "MlflowClient", run: "Run", log: ParsedLog) -> bool:
    """Whether a run holds a parameter or a metric that its log no longer gives, other than use of the machine."""
    params = dict(flat_params(log.params))
    sent = _sent_metrics(client, run)
    return any(params.get(key) != value for key, value in run.data.params.items()) or any(
        key not in log.metrics or log.metrics[key][0] != value
        for key, value in sent.items()
        if not key[0].startswith(SYSTEM_PREFIX)
    )


def _sent_metrics(client: "MlflowClient", run: "Run") -> dict[tuple[str, int], float]:
    return {
        (each.key, each.step): each.value
        for key in run.data.metrics
        for each in client.get_metric_history(run.info.run_id, key)
    }


def _send(
    client: "MlflowClient",
    run_id: str,
    log: ParsedLog,
    tags: Mapping[str, str],
    sent: Mapping[tuple[str, int], float],
) -> None:
    from mlflow.entities import Metric, RunTag

    new = [
        Metric(key, value, time, step) for (key, step), (value, time) in log.metrics.items() if (key, step) not in sent
    ]
    # What was sent is marked last: a sync that is cut off is repeated, and repeating a value changes nothing.
    marks = {**clean_tags({**log.environment, **tags, **log.tags}), EVENTS: str(log.events), DIGEST: log.digest}
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
