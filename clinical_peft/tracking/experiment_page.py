"""How a study's experiment opens in MLflow: its description, and a view of its models by the compared metric.

MLflow's pages keep a view that a user shares as JSON in a tag of the experiment, and open it by an address with its
key. They open as model training where the address says so.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from clinical_peft.tracking.model_runs import metric_names
from clinical_peft.tracking.stores import WEB, scheme_of, shown

NOTE = "mlflow.note.content"
VIEW = "models"
VIEW_TAG = f"mlflow.sharedViewState.{VIEW}"
LOCAL_PAGES = "http://127.0.0.1:5000"
MOST_COLUMNS, MOST_MODELS = 12, 30  # a tag of an experiment has at most 5,000 characters

# Which view an experiment opens with, in versions and servers of MLflow that go by this tag.
KIND = {"mlflow.experimentKind": "custom_model_development"}


def page_address(uri: str, experiment: str) -> str:
    """Address of a study's models in MLflow's pages: its server's, or those that `mlflow ui` serves.

    Args:
        uri: The store.
        experiment: Id of the experiment.
    """
    pages = shown(uri).rstrip("/") if scheme_of(uri) in WEB else LOCAL_PAGES
    return f"{pages}/#/experiments/{experiment}/runs?workflowType=machine_learning&viewStateShareKey={VIEW}"


def page_tags(
    study: str, description: Mapping[str, Any], *, metric: str, tasks: Sequence[str], labels: Mapping[str, str]
) -> dict[str, str]:
    """Tags of the experiment that decide how it opens.

    Args:
        study: Name of the study.
        description: Its settings.
        metric: The compared metric.
        tasks: Tasks with a summary, the mean over tasks first.
        labels: Display labels of models, by name.
    """
    names = list(metric_names(metric, tasks).values())[:MOST_COLUMNS]
    columns = [f"metrics.`{name}`" for name in names]
    view = {
        "searchFilter": "tags.kind = 'model'",
        "orderByKey": f"metrics.`{metric}`",
        "orderByAsc": False,
        "selectedColumns": [*columns, "attributes.`Duration`", "tags.`label`"],
        "columnOrder": columns,
        "runsHiddenMode": "SHOW_ALL",
        "compareRunSections": [{"uuid": metric, "name": metric, "display": True, "isReordered": True}],
        "compareRunCharts": [_bars(name, section=metric) for name in names],
    }
    return {**KIND, VIEW_TAG: json.dumps(view), NOTE: _note(study, description, names, labels)}


def _bars(name: str, *, section: str) -> dict[str, Any]:
    """A chart of one metric, a bar for each model."""
    return {"type": "BAR", "uuid": name, "metricSectionId": section, "metricKey": name, "displayName": name}


def _note(study: str, description: Mapping[str, Any], names: Sequence[str], labels: Mapping[str, str]) -> str:
    """The description of a study, in Markdown."""
    notes = "synthetic notes: its numbers say nothing about patients" if description.get("synthetic") else "own notes"
    metrics = ", ".join(f"`{name}`" for name in names)
    lines = [
        f"**{study}**: {len(labels)} models on {notes}; `{description.get('protocol')}` protocol, "
        f"contamination `{description.get('contamination')}`.",
        "",
        f"Runs of models hold {metrics}: means over seeds on the test split. Their tags hold every other "
        "number of the tables, such as `los/interval.0`. Below each model stands a run for each task and seed. "
        f"The run `{study}` holds tables, figures, cards and the report.",
        "",
        *(f"- `{name}`: {label}" for name, label in list(labels.items())[:MOST_MODELS]),
    ]
    return "\n".join(lines)
