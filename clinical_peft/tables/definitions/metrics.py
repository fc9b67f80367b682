"""Every main metric of every model on every task, on the test split."""

from clinical_peft.metrics.metric import Metric
from clinical_peft.metrics.registry import METRICS, main_metrics
from clinical_peft.tables.form import rounded
from clinical_peft.tables.run_means import (
    interval_fields,
    key_columns,
    mean,
    metric_columns,
    notes_of_means,
    stated_columns,
    with_level,
)
from clinical_peft.tables.study_column import Column, digits
from clinical_peft.tables.study_table import StudyTable


def columns(compared: Metric) -> tuple[Column, ...]:
    """Columns of the table."""
    shown = main_metrics(compared)
    return (
        *key_columns(),
        *(column for metric in shown for column in metric_columns(metric)),
        Column(
            "threshold",
            lambda row: rounded(mean(run["threshold"]["value"] for run in row.runs)),
            "Threshold",
            digits(3),
        ),
        Column("threshold_chosen_on", lambda row: row.first["threshold"]["chosen_on"]),
        Column("undefined", lambda row: row.undefined(shown)),
        *stated_columns(),
    )


def _by(compared: Metric) -> str:
    """What thresholds are chosen by where it is not F1."""
    return "" if compared.decide_by == "f1" else f" by {compared.decide_by}"


TABLE = StudyTable(
    name="metrics",
    place=1,
    section="metrics",
    needs=("metrics", "replicates"),
    columns=columns,
    rows=lambda results: results.run_means,
    shown=(
        "task",
        "label",
        *(interval_fields(metric)[0] for metric in METRICS.values() if metric.is_main),
        "threshold",
    ),
    caption=lambda _, records: (
        f"Discrimination, classification and error of the probabilities on test, means over seeds{with_level(records)}."
    ),
    notes=lambda results, records: (
        f"Threshold: from which score on a class counts as predicted, chosen on validation{_by(results.metric)} (or "
        "fixed, as the CSV file says); a dash where the class with the highest score is predicted. F1 micro of one "
        f"label per {results.unit} is accuracy; a multiclass Brier score runs from 0 to 2.",
        *notes_of_means(results.run_means, records, main_metrics(results.metric), results.tasks),
    ),
    text_columns=2,
)
