"""A finished study in MLflow: its metrics on the models' runs, its tables, figures and report, its adapters; and back.

The run of a model holds what `clinical_peft.tracking.model_runs` says, so that MLflow's comparison of runs compares
models. `read_study` gathers the summaries again, without any file of the study.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinical_peft.errors import DataError
from clinical_peft.files import sha256_file
from clinical_peft.tracking.experiment_page import page_tags
from clinical_peft.tracking.keys import unique_names
from clinical_peft.tracking.model_runs import AVERAGE, headline, numbers, summary
from clinical_peft.tracking.run_logs import (
    IDENTITY,
    KIND,
    MODEL,
    batched,
    clean_tags,
    connect,
    experiment_of,
    flat_params,
    group_identity,
    known_runs,
    refusal,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

STUDY_IDENTITY = "study"
FACTS = "clinical_peft.aggregate"
TASKS = "clinical_peft.tasks"
LABEL = "clinical_peft.label"
PLACE = "place"  # in the order of printing
ADAPTER_TAG = "clinical_peft.adapter_sha256"
TAGS_PER_BATCH = 100
NOT_SUMMARIES = ("summaries", "differences")


def publish_study(
    *,
    uri: str,
    study: str,
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
        study: Name of the experiment.
        description: The study's settings, parameters of its run.
        aggregate: What `clinical_peft.metrics.aggregate.aggregate` returned.
        metric: The metric by which models are compared.
        labels: As for `clinical_peft.tables.study_results.StudyResults`.
        artifacts: Files to keep with the study's run, by folder there.
        adapters: Adapter folders to register as models, by name; empty unless the user asks for it.
        tags: As for `clinical_peft.tracking.run_logs.sync_runs`.

    Returns:
        `experiment` and `run` (ids of the study's), `artifacts` (their number) and `registered` (version by model
        name).

    Raises:
        ConfigError: The URI names no store.
        DataError: The store refuses, or a model or adapter has no run in it.
    """
    client = connect(uri)
    from mlflow.exceptions import MlflowException

    try:
        experiment = experiment_of(client, uri, study)
        found = known_runs(client, experiment)
        known = {identity: run.info.run_id for identity, run in found.items()}
        run = known.get(STUDY_IDENTITY) or _create(client, experiment, study, found.values())
        facts = {key: value for key, value in aggregate.items() if key not in NOT_SUMMARIES}
        _tag(client, run, {**clean_tags(tags), **dict(flat_params(description)), FACTS: json.dumps(facts)})
        for model, rows in _by_model(aggregate).items():
            label = {**labels.get(model, {}), PLACE: list(labels).index(model) if model in labels else len(labels)}
            _model_run(client, _known(known, group_identity(model), study), rows, metric=metric, label=label)
        tasks = sorted({row["task"] for row in aggregate["summaries"]}, key=lambda task: (task != AVERAGE, task))
        names = {model: str(labels.get(model, {}).get("label") or model) for model in _by_model(aggregate)}
        for key, value in page_tags(study, description, metric=metric, tasks=tasks, labels=names).items():
            client.set_experiment_tag(experiment, key, value)
        for folder, paths in artifacts.items():
            for path in paths:
                client.log_artifact(run, str(path), folder or None)
        registered = {
            name: _register(client, _known(known, f"adapters/adapters/{name}", study), f"{study}.{name}", path)
            for name, path in adapters.items()
        }
        client.set_terminated(run)
    except MlflowException as error:
        raise refusal(uri, error) from error
    return {
        "experiment": experiment,
        "run": run,
        "artifacts": sum(map(len, artifacts.values())),
        "registered": registered,
    }


def _create(client: "MlflowClient", experiment: str, study: str, runs: Iterable["Run"]) -> str:
    """Create a study's run, which began with its first job."""
    start = min((run.info.start_time for run in runs), default=None)
    run = client.create_run(experiment, start_time=start, run_name=study, tags={IDENTITY: STUDY_IDENTITY})
    return str(run.info.run_id)


def _known(known: Mapping[str, str], identity: str, study: str) -> str:
    if identity not in known:
        raise DataError(f"MLflow experiment {study!r} has no run {identity}; send the run logs first (track_runs)")
    return known[identity]


def _tag(client: "MlflowClient", run: str, tags: Mapping[str, str]) -> None:
    from mlflow.entities import RunTag

    for batch in batched([RunTag(key, value) for key, value in tags.items()], TAGS_PER_BATCH):
        client.log_batch(run, tags=batch)


def _by_model(aggregate: Mapping[str, Any]) -> dict[str, list[Mapping[str, Any]]]:
    rows: dict[str, list[Mapping[str, Any]]] = {}
    for row in aggregate["summaries"]:
        rows.setdefault(row["model"], []).append(row)
    return rows


def _model_run(
    client: "MlflowClient", run: str, rows: Sequence[Mapping[str, Any]], *, metric: str, label: Mapping[str, Any]
) -> None:
    """Bring the run of a model up to its summaries."""
    from mlflow.entities import Metric
    from mlflow.utils.time import get_current_time_millis

    known, now = client.get_run(run).data, get_current_time_millis()
    new = {key: value for key, value in headline(metric, rows).items() if known.metrics.get(key) != value}
    client.log_batch(run, metrics=[Metric(key, value, now, 0) for key, value in new.items()])
    tags = numbers(rows)
    for key in known.tags:
        if key not in tags and any(key.startswith(f"{task}/") for task in json.loads(known.tags.get(TASKS, "[]"))):
            client.delete_tag(run, key)
    tasks = [row["task"] for row in rows]
    own = {KIND: MODEL, TASKS: json.dumps(tasks), LABEL: json.dumps(dict(label)), "label": str(label.get("label", ""))}
    _tag(client, run, tags | own)


def _register(client: "MlflowClient", run: str, name: str, folder: Path) -> str:
    """Keep an adapter with its run and register it, unless that is done; return its version."""
    from mlflow.exceptions import MlflowException

    digest = sha256_file(folder / "adapter_model.safetensors")
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    for version in client.search_model_versions(f"name='{name}'"):
        if version.tags.get(ADAPTER_TAG) == digest:
            return str(version.version)
    client.log_artifacts(run, str(folder), "adapter")
    source = f"{client.get_run(run).info.artifact_uri}/adapter"
    return str(client.create_model_version(name, source, run, tags={ADAPTER_TAG: digest}).version)


def read_study(uri: str, study: str) -> tuple[dict[str, Any], dict[str, Mapping[str, Any]]]:
    """Gather a published study's summaries and labels from MLflow, as `StudyResults` takes them.

    Args:
        uri: As for `publish_study`.
        study: Name of the experiment.

    Returns:
        The aggregate without its paired differences, and the labels.

    Raises:
        DataError: The experiment holds no published study, or the store refuses.
    """
    client = connect(uri)
    from mlflow.exceptions import MlflowException

    try:
        found = client.get_experiment_by_name(study)
        runs = known_runs(client, str(found.experiment_id)) if found else {}
    except MlflowException as error:
        raise refusal(uri, error) from error
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
