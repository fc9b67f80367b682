"""A finished study in MLflow: its metrics on the models' runs, its tables, figures and report, its adapters; and back.

The run of a model holds what `clinical_peft.tracking.model_runs` says, so that MLflow's comparison of runs compares
models. `read_study` gathers the summaries again, without any file of the study.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinical_peft.errors import DataError
from clinical_peft.files import sha256_file
from clinical_peft.tracking.connection import alone_at, connection
from clinical_peft.tracking.experiment_page import page_tags
from clinical_peft.tracking.experiments import IDENTITY, Experiment, experiment_of, known_runs
from clinical_peft.tracking.identity import StudyIdentity
from clinical_peft.tracking.keys import unique_names
from clinical_peft.tracking.model_runs import AVERAGE, headline, numbers, summary
from clinical_peft.tracking.refusals import is_taken
from clinical_peft.tracking.run_logs import KIND, MODEL, batched, clean_tags, flat_params, group_identity

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Run

STUDY_IDENTITY = "study"
FACTS = "clinical_peft.aggregate"
TASKS = "clinical_peft.tasks"
LABEL = "clinical_peft.label"
PLACE = "place"  # in the order of printing
ADAPTER_TAG = "clinical_peft.adapter_sha256"
FILES = "clinical_peft.files_sha256"
TAGS_PER_BATCH = 100
NOT_SUMMARIES = ("summaries", "differences")


def publish_study(
    *,
    uri: str,
    study: StudyIdentity,
    description: Mapping[str, Any],
    aggregate: Mapping[str, Any],
    metric: str,
    labels: Mapping[str, Mapping[str, Any]],
    artifacts: Mapping[str, Sequence[Path]],
    adapters: Mapping[str, Path],
    tags: Mapping[str, str],
) -> dict[str, Any]:
    """Add to a study's experiment what the study as a whole found. Doing it again changes what has changed.

    Args:
        uri: As for `clinical_peft.tracking.run_logs.sync_runs`, which comes first.
        study: As for `sync_runs`.
        description: The study's settings, parameters of its run.
        aggregate: What `clinical_peft.metrics.aggregate.aggregate` returned.
        metric: The metric by which models are compared.
        labels: As for `clinical_peft.tables.study_results.StudyResults`.
        artifacts: Files to keep with the study's run, by folder there.
        adapters: Adapter folders to register as models, by name; empty unless the user asks for it.
        tags: As for `clinical_peft.tracking.run_logs.sync_runs`.

    Returns:
        `experiment` and `run` (ids of the study's), `name` of the experiment, `artifacts` (their number) and
        `registered` (version by model name).

    Raises:
        ConfigError: The URI names no store, or the experiment was deleted in MLflow.
        DataError: A model or adapter has no run in the store.
        TrackingError: The store refuses, or cannot be reached.
    """
    with alone_at(uri), connection(uri) as client:
        experiment = experiment_of(client, uri, study)
        known = known_runs(client, experiment.id)
        run = known.get(STUDY_IDENTITY) or _create(client, experiment, study.name, known.values())
        facts = {key: value for key, value in aggregate.items() if key not in NOT_SUMMARIES}
        _send(client, run, {**clean_tags(tags), **dict(flat_params(description)), FACTS: json.dumps(facts)})
        for model, rows in _by_model(aggregate).items():
            label = {**labels.get(model, {}), PLACE: list(labels).index(model) if model in labels else len(labels)}
            _model_run(client, _known(known, group_identity(model), experiment), rows, metric=metric, label=label)
        tasks = sorted({row["task"] for row in aggregate["summaries"]}, key=lambda task: (task != AVERAGE, task))
        names = {model: str(labels.get(model, {}).get("label") or model) for model in _by_model(aggregate)}
        for key, value in page_tags(study.name, description, metric=metric, tasks=tasks, labels=names).items():
            if experiment.tags.get(key) != value:
                client.set_experiment_tag(experiment.id, key, value)
        _keep_files(client, run, artifacts)
        registered = {
            name: _register(client, _known(known, f"adapters/adapters/{name}", experiment), experiment, name, path)
            for name, path in adapters.items()
        }
        client.set_terminated(run.info.run_id)
    return {
        "experiment": experiment.id,
        "name": experiment.name,
        "run": str(run.info.run_id),
        "artifacts": sum(map(len, artifacts.values())),
        "registered": registered,
    }


def study_artifacts(
    *, report: Path, tables: Iterable[str | Path], figures: Path, cards: Iterable[str | Path]
) -> dict[str, list[Path]]:
    """Files to keep with a study's run, by folder there.

    Args:
        report: The report.
        tables: Tables in all formats.
        figures: Folder of figures, whose SVG files are kept.
        cards: Cards of adapters.
    """
    return {
        "": [report],
        "tables": [Path(path) for path in tables],
        "figures": sorted(figures.glob("*.svg")),
        "cards": [Path(path) for path in cards],
    }


def _create(client: "MlflowClient", experiment: Experiment, study: str, runs: Iterable["Run"]) -> "Run":
    """Create a study's run, which began with its first job."""
    start = min((run.info.start_time for run in runs), default=None)
    tags = {IDENTITY: STUDY_IDENTITY}
    return client.create_run(experiment.id, start_time=start, run_name=study, tags=tags)


def _known(known: Mapping[str, "Run"], identity: str, experiment: Experiment) -> "Run":
    if identity not in known:
        raise DataError(
            f"MLflow experiment {experiment.name!r} has no run {identity}; send the run logs first (track_runs)"
        )
    return known[identity]


def _send(client: "MlflowClient", run: "Run", tags: Mapping[str, str], metrics: Sequence["Metric"] = ()) -> None:
    """Send metrics, and those tags that a run does not hold as they are, in few requests."""
    from mlflow.entities import RunTag

    new = [RunTag(key, value) for key, value in tags.items() if run.data.tags.get(key) != value]
    batches = list(batched(new, TAGS_PER_BATCH)) or ([[]] if metrics else [])
    for number, batch in enumerate(batches):
        client.log_batch(run.info.run_id, metrics=metrics if number == 0 else (), tags=batch)


def _keep_files(client: "MlflowClient", run: "Run", artifacts: Mapping[str, Sequence[Path]]) -> None:
    """Keep files with a run, unless it has the same files in a folder already: each is a request."""
    digests = {}
    for folder, paths in artifacts.items():
        tag, listed = ".".join(filter(None, [FILES, folder])), [f"{path.name} {sha256_file(path)}\n" for path in paths]
        digests[tag] = hashlib.sha256("".join(listed).encode()).hexdigest()
        if run.data.tags.get(tag) != digests[tag]:
            for path in paths:
                client.log_artifact(run.info.run_id, str(path), folder or None)
    _send(client, run, digests)


def _by_model(aggregate: Mapping[str, Any]) -> dict[str, list[Mapping[str, Any]]]:
    rows: dict[str, list[Mapping[str, Any]]] = {}
    for row in aggregate["summaries"]:
        rows.setdefault(row["model"], []).append(row)
    return rows


def _model_run(
    client: "MlflowClient", run: "Run", rows: Sequence[Mapping[str, Any]], *, metric: str, label: Mapping[str, Any]
) -> None:
    """Bring the run of a model up to its summaries."""
    from mlflow.entities import Metric
    from mlflow.utils.time import get_current_time_millis

    known, now = run.data, get_current_time_millis()
    new = {key: value for key, value in headline(metric, rows).items() if known.metrics.get(key) != value}
    tags = numbers(rows)
    for key in known.tags:
        if key not in tags and any(key.startswith(f"{task}/") for task in json.loads(known.tags.get(TASKS, "[]"))):
            client.delete_tag(run.info.run_id, key)
    tasks = [row["task"] for row in rows]
    own = {KIND: MODEL, TASKS: json.dumps(tasks), LABEL: json.dumps(dict(label)), "label": str(label.get("label", ""))}
    _send(client, run, tags | own, [Metric(key, value, now, 0) for key, value in new.items()])


def _register(client: "MlflowClient", run: "Run", experiment: Experiment, adapter: str, folder: Path) -> str:
    """Keep an adapter with its run and register it, unless that is done; return its version.

    Names of models hold for a whole server, so that they begin with the experiment's.
    """
    from mlflow.exceptions import MlflowException

    name, digest = f"{experiment.name}.{adapter}", sha256_file(folder / "adapter_model.safetensors")
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if not is_taken(error):
            raise
    for version in client.search_model_versions(f"name='{name}'"):
        if version.tags.get(ADAPTER_TAG) == digest:
            return str(version.version)
    client.log_artifacts(run.info.run_id, str(folder), "adapter")
    source = f"{run.info.artifact_uri}/adapter"
    return str(client.create_model_version(name, source, run.info.run_id, tags={ADAPTER_TAG: digest}).version)


def read_study(uri: str, study: str) -> tuple[dict[str, Any], dict[str, Mapping[str, Any]]]:
    """Gather a published study's summaries and labels from MLflow, as `StudyResults` takes them.

    Args:
        uri: As for `publish_study`.
        study: Name of the experiment.

    Returns:
        The aggregate without its paired differences, and the labels.

    Raises:
        DataError: The experiment holds no published study.
        TrackingError: The store refuses, or cannot be reached.
    """
    with connection(uri) as client:
        found = client.get_experiment_by_name(study)
        runs = known_runs(client, str(found.experiment_id)) if found else {}
    if STUDY_IDENTITY not in runs:
        raise DataError(f"MLflow holds no finished study {study!r}; run the workflow to its end")
    facts = json.loads(runs[STUDY_IDENTITY].data.tags[FACTS])
    models = [run for run in runs.values() if TASKS in run.data.tags]
    summaries = [row for run in models for row in _summaries(run)]
    fields = {field for row in summaries for field in row}
    rows = [{field: row.get(field) for field in fields} for row in summaries]
    rows.sort(key=lambda row: (row["model"], row["task"]))
    labels = {_model(run): json.loads(run.data.tags[LABEL]) for run in models}
    order = sorted(labels, key=lambda model: labels[model][PLACE])
    return {**facts, "summaries": rows, "differences": []}, {model: labels[model] for model in order}


def _model(run: Any) -> str:
    return str(run.data.tags[IDENTITY].removeprefix(group_identity("")))


def _summaries(run: Any) -> Iterator[dict[str, Any]]:
    for task, name in unique_names(json.loads(run.data.tags[TASKS])).items():
        yield {"model": _model(run), **summary(task, name, run.data.tags, run.data.metrics)}
