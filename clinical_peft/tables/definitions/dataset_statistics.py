"""Classes and admissions of each task, beside those of the paper's Table 1."""

from dataclasses import dataclass
from typing import Any

from clinical_peft.tables.form import MISSING, PAPER_DIFFERENCE, Record, beside, difference, number, rounded
from clinical_peft.tables.published import published_statistics
from clinical_peft.tables.study_column import Column, by_task, task_column
from clinical_peft.tables.study_results import Content, StudyResults
from clinical_peft.tables.study_table import StudyTable

PRINTED = ("classes", "multilabel", "train", "validation", "test")
COUNTED = {"classes": "Classes", "train": "Train", "validation": "Validation", "test": "Test"}


@dataclass(frozen=True)
class Cohort:
    """The statistics of a task's cohort, and the published ones."""

    ours: Content
    published: Content


def _rows(results: StudyResults) -> list[Cohort]:
    rows = by_task(results.statistics, results.tasks)
    return [Cohort(row, published_statistics(row["task"]) or {}) for row in rows]


def _yes_no(value: bool | None, _: Record) -> str:
    return MISSING if value is None else "yes" if value else "no"


def _ours(field: str) -> Column:
    if field in COUNTED:
        return Column(field, lambda row: row.ours[field], COUNTED[field], lambda value, _: number(value))
    return Column(field, lambda row: row.ours[field], "Multilabel", _yes_no)


def _published(field: str) -> Column:
    def beside_ours(value: Any, record: Record) -> str:
        return beside(record[field], value)

    return Column(
        f"published_{field}",
        lambda row: row.published.get(field),
        PAPER_DIFFERENCE,
        beside_ours,
        is_published=True,
    )


def _further(field: str) -> Column:
    return Column(field, lambda row: rounded(row.ours.get(field)))


def _difference(field: str) -> Column:
    return Column(
        f"difference_{field}",
        lambda row: difference(row.ours[field], row.published.get(field)),
        meaning="ours minus the published one",
        is_published=True,
    )


TABLE = StudyTable(
    name="dataset_statistics",
    place=0,
    section="data",
    shows_published=lambda results: results.has_paper_cohorts,
    needs=("statistics",),
    columns=(
        task_column(lambda row: row.ours["task"]),
        *map(_ours, PRINTED),
        *map(_further, ("patients", "prevalence", "mean_cardinality", "mean_words")),
        *map(_published, PRINTED),
        *map(_difference, COUNTED),
    ),
    rows=_rows,
    shown=("task", "multilabel", *(name for field in COUNTED for name in (field, f"published_{field}"))),
    caption=lambda results, _: (
        f"Classes and {results.unit}s of each task"
        + results.beside_counts(", beside those of the paper's Table 1")
        + "."
    ),
)
