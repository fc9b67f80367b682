"""A finished study in MLflow: its metrics on the models' runs, its tables, figures and report, its adapters; and back.

The run of a model holds, for each task, every number of that model's summary (`los/auroc`, `los/interval.0`), so that
MLflow's comparison of runs compares models. `read_study` gathers them again, without any file of the study.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinical_peft.errors import DataError
from clinical_peft.files import sha256_file
from clinical_peft.tracking.keys import unique_names
from clinical_peft.tracking.run_logs import (
    IDENTITY,
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

STUDY_IDENTITY = "study"
FACTS = "clinical_peft.aggregate"
TASKS = "clinical_peft.tasks"
LABEL = "clinical_peft.label"
PLACE = "place"  # in the order of printing
ADAPTER_TAG = "clinical_peft.adapter_sha256"
# Numbers that MLflow gives back as floats.
COUNTS = {"seeds", "undefined", "n", "patients", "classes", "classes_scored", "positives"}
NOT_SUMMARIES = ("summaries", "differences")


def publish_study(
    *,
    uri: str,
    study: str,
    description: Mapping[str, Any],
    aggregate: Mapping[str, Any],
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
        labels: As for `clinical_peft.tables.study_results.StudyResults`.
        artifacts: Files to keep with the study's run, by folder there.
        adapters: Adapter folders to register as models, by name; empty unless the user asks for it.
        tags: As for `clinical_peft.tracking.run_logs.sync_runs`.

    Returns:
        `run` (id of the study's run), `artifacts` (their number) and `registered` (version by model name).

    Raises:
        ConfigError: The URI names no store.
        DataError: The store refuses, or a model or adapter has no run in it.
    """
    client = connect(uri)
    from mlflow.exceptions import MlflowException

    try:
        experiment = experiment_of(client, uri, study)
        known = {identity: run.info.run_id for identity, run in known_runs(client, experiment).items()}
        run = known.get(STUDY_IDENTITY) or _create(client, experiment, study)
        facts = {key: value for key, value in aggregate.items() if key not in NOT_SUMMARIES}
        _tag(client, run, {**clean_tags(tags), **dict(flat_params(description)), FACTS: json.dumps(facts)})
        for model, rows in _by_model(aggregate).items():
            label = {**labels.get(model, {}), PLACE: list(labels).index(model) if model in labels else len(labels)}
            _model_metrics(client, _known(known, group_identity(model), study), rows, label)
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
    return {"run": run, "artifacts": sum(map(len, artifacts.values())), "registered": registered}


def _create(client: "MlflowClient", experiment: str, study: str) -> str:
    return str(client.create_run(experiment, run_name=study, tags={IDENTITY: STUDY_IDENTITY}).info.run_id)


def _known(known: Mapping[str, str], identity: str, study: str) -> str:
    if identity not in known:
        raise DataError(f"MLflow experiment {study!r} has no run {identity}; send the run logs first (track_runs)")
    return known[identity]


def _tag(client: "MlflowClient", run: str, tags: Mapping[str, str]) -> None:
    from mlflow.entities import RunTag

    client.log_batch(run, tags=[RunTag(key, value) for key, value in tags.items()])


def _by_model(aggregate: Mapping[str, Any]) -> dict[str, list[Mapping[str, Any]]]:
    rows: dict[str, list[Mapping[str, Any]]] = {}
    for row in aggregate["summaries"]:
        rows.setdefault(row["model"], []).append(row)
    return rows


def _model_metrics(
    client: "MlflowClient", run: str, rows: Sequence[Mapping[str, Any]], label: Mapping[str, Any]
) -> None:
    from mlflow.entities import Metric
    from mlflow.utils.time import get_current_time_millis

    known = client.get_run(run).data.metrics
    now = get_current_time_millis()
    names = unique_names([row["task"] for row in rows])
    metrics = {f"{names[row['task']]}/{key}": value for row in rows for key, value in _numbers(row)}
    new = [Metric(key, value, now, 0) for key, value in metrics.items() if known.get(key) != value]
    client.log_batch(run, metrics=new)
    tasks = [row["task"] for row in rows]
    _tag(client, run, {TASKS: json.dumps(tasks), LABEL: json.dumps(dict(label)), "label": str(label.get("label", ""))})


def _numbers(value: Any, prefix: str = "") -> Iterator[tuple[str, float]]:
    """Every number in nested mappings and lists, by its dotted place; what is missing is left out."""
    if isinstance(value, Mapping | list | tuple):
        parts = value.items() if isinstance(value, Mapping) else enumerate(value)
        for key, part in parts:
            yield from _numbers(part, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(value, int | float):
        yield prefix, float(value)


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
    names = unique_names(json.loads(run.data.tags[TASKS]))
    for task, name in names.items():
        row: dict[str, Any] = {"model": _model(run), "task": task}
        for key, value in run.data.metrics.items():
            if key.startswith(f"{name}/"):
                *above, last = key.removeprefix(f"{name}/").split(".")
                place = row
                for part in above:
                    place = place.setdefault(part, {})
                place[last] = round(value) if (above or [last])[0] in COUNTS else value
        yield {field: _with_lists(value) for field, value in row.items()}


def _with_lists(value: Any) -> Any:
    """Turn mappings whose keys are places into lists."""
    if not isinstance(value, dict):
        return value
    if all(key.isdigit() for key in value):
        return [_with_lists(value[key]) for key in sorted(value, key=int)]
    return {key: _with_lists(part) for key, part in value.items()}
