"""The same logits scored as corrected and as in the original, on test, whatever the study's protocol."""

from clinical_peft.metrics.metric import Metric
from clinical_peft.metrics.variants import VARIANT_METRICS
from clinical_peft.tables.form import Record, difference, number, percent, signed
from clinical_peft.tables.run_means import RunMeans, key_columns, mean, stated_columns
from clinical_peft.tables.study_column import Column, digits
from clinical_peft.tables.study_results import StudyResults
from clinical_peft.tables.study_table import StudyTable
from clinical_peft.tables.study_tasks import listed_labels


def _scored_as(metric: Metric, version: str, row: RunMeans) -> float | None:
    return percent(mean(run["variants"][version]["test"][metric.name] for run in row.runs))


def _columns(metric: Metric) -> tuple[Column, ...]:
    corrected, original, distance = (f"{metric.name}_{end}_percent" for end in ("corrected", "paper", "difference"))

    def with_distance(value: float | None, record: Record) -> str:
        bracket = "" if record[distance] is None else f" ({signed(record[distance])})"
        return f"{number(value, 1)}{bracket}"

    return (
        Column(corrected, lambda row: _scored_as(metric, "corrected", row), metric.title, digits(1)),
        Column(original, lambda row: _scored_as(metric, "paper", row), f"{metric.title} (original)", with_distance),
        Column(
            distance,
            lambda row: difference(_scored_as(metric, "paper", row), _scored_as(metric, "corrected", row)),
            meaning="as in the original minus as corrected",
        ),
    )


def _scored_alike(results: StudyResults) -> str:
    tasks = [task.name for task in results.printed_tasks.values() if task.type == "multiclass"]
    verb = "is" if len(tasks) == 1 else "are"
    return f"{listed_labels(tasks, results.printed_tasks)} {verb} scored alike in both. " if tasks else ""


TABLE = StudyTable(
    name="scoring_variants",
    place=3,
    section="metrics",
    needs=("metrics", "replicates"),
    columns=(
        *key_columns(level=False),
        *(column for metric in VARIANT_METRICS for column in _columns(metric)),
        *stated_columns(),
    ),
    rows=lambda results: results.run_means,
    shown=(
        "task",
        "label",
        *(f"{metric.name}_{version}_percent" for metric in VARIANT_METRICS for version in ("corrected", "paper")),
    ),
    caption=lambda *_: (
        "The same logits scored as corrected and as in the original, on test, in percent; means over seeds."
    ),
    notes=lambda results, _: (
        "In the original a multilabel task's scores are a softmax over its labels, F1 decides at 0.5, and its "
        "macro F1 leaves out labels without both outcomes; corrected: a sigmoid of each label, and the threshold "
        f"from validation. In brackets: original minus corrected. {_scored_alike(results)}The "
        "classes are those of table metrics.",
    ),
    text_columns=2,
    folded="Scored as corrected and as in the original",
    is_of_paper=True,
)
