"""The table of a study's single runs, and their recipes."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from clinical_peft.tables.form import MISSING, Table, label_of, number
from clinical_peft.tables.study_results import StudyResults
from clinical_peft.tables.study_tasks import task_label

RUNS, RUN_OF_RUN = "runs", "models/{}"  # the table, and how the MLflow run of a row is called
SHORT = 12  # characters of a checksum


def _recipe_hash(recipe: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:SHORT]


def recipes_of(metrics: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, str]]:
    """Every resolved recipe once: title and JSON by the start of its SHA-256."""
    found = {}
    for run in metrics:
        text = json.dumps(run["recipe"], indent=1, sort_keys=True, ensure_ascii=False)
        found[_recipe_hash(run["recipe"])] = {"title": f"{run['model']}, {run['task']}", "json": text}
    return dict(sorted(found.items(), key=lambda item: (item[1]["title"], item[0])))


def run_table(results: StudyResults) -> Table:
    """Every run with its result and checksums.

    Args:
        results: The study's metrics, labels, tasks and metric.
    """
    metrics, labels, metric = results.metrics, results.labels, results.metric
    rows = []
    ordered = sorted(metrics, key=lambda run: (run["model"], run["task"], run["seed"]))
    for run in ordered:
        value, interval = run["metrics"]["test"].get(metric.name), run["intervals"]["test"].get(metric.name)
        rows.append(
            (
                label_of(run["model"], labels),
                task_label(run["task"], results.tasks),
                str(run["seed"]),
                number(run["n"]["test"]),
                f"{number(run['classes_scored']['test'])} of {run['classes']}",
                number(None if value is None else 100 * value, 2),
                f"[{100 * interval[0]:.2f}, {100 * interval[1]:.2f}]" if interval else MISSING,
                number(run["bootstrap"]["undefined"].get(metric.name)),
                _recipe_hash(run["recipe"]),
                run["cohort_sha256"][:SHORT],
                run["predictions_sha256"][:SHORT],
            )
        )
    level = f"{metrics[0]['level']:.0%}" if metrics else ""
    return Table(
        name=RUNS,
        caption=f"Every run: its test {metric.title} in percent, and the checksums of what it was made from.",
        fields=(),
        records=(),
        header=(
            "Model",
            "Task",
            "Seed",
            f"Test {results.unit}s",
            "Classes scored",
            metric.title,
            f"{level} interval",
            "Undefined resamples",
            "Recipe",
            "Cohort",
            "Predictions",
        ),
        rows=tuple(rows),
        text_columns=2,
        row_names=tuple(f"{run['model']}/{run['task']}/seed{run['seed']}" for run in ordered),
    )
