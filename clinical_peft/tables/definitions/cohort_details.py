"""The cohorts: classes, admissions and patients, beside the paper's Table 1."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from clinical_peft.disclosure.counts import SMALLEST_CELL
from clinical_peft.tables.cohort_counts import admissions_of, of_mimic_iii, published_admissions, signed_count
from clinical_peft.tables.form import MISSING, PAPER, Record, counted, difference, number, rounded
from clinical_peft.tables.published import published_statistics
from clinical_peft.tables.study_column import Column, by_task, digits, task_column
from clinical_peft.tables.study_results import Content, StudyResults
from clinical_peft.tables.study_table import StudyTable

MOST_CLASSES = 20
"""Shares that a cell lists; the CSV file has them all."""


@dataclass(frozen=True)
class Cohort:
    """The statistics of a task's cohort, and the published ones, under a protocol."""

    ours: Content
    published: Content
    protocol: str

    @property
    def shares(self) -> str | None:
        """Share of each class, separated by spaces, a dash for a hidden one; None for a task of many labels."""
        shares: Sequence[float | None] | None = self.ours.get("class_shares")
        if shares is None:
            return None
        return " ".join(MISSING if share is None else f"{share:.4f}" for share in shares)


def _rows(results: StudyResults) -> list[Cohort]:
    rows = by_task(results.statistics, results.tasks)
    return [Cohort(row, published_statistics(row["task"]) or {}, results.protocol) for row in rows]


def _percentages(row: Cohort) -> str:
    """Share of each class in percent; of many classes the largest, and what the others hold together."""
    shares = row.ours.get("class_shares") or ()
    if len(shares) <= MOST_CLASSES:
        return " / ".join(number(None if share is None else 100 * share, 1) for share in shares) or MISSING
    largest = sorted((share for share in shares if share is not None), reverse=True)[:MOST_CLASSES]
    rest = len(shares) - len(largest)
    together = f"{counted(rest, 'other class', 'other classes')} {100 * max(0.0, 1 - sum(largest)):.1f}"
    return " / ".join([*(f"{100 * share:.1f}" for share in largest), together])


def _difference_of_admissions(row: Cohort) -> float | None:
    return difference(admissions_of(row.ours), published_admissions(row.ours["task"]))


def _difference_of_classes(row: Cohort) -> float | None:
    return difference(row.ours["classes"], row.published.get("classes"))


def _published(field: str, value: Callable[[Cohort], int | None]) -> Column:
    return Column(f"published_{field}", value, PAPER, digits(0), is_published=True)


def _difference(field: str, value: Callable[[Cohort], float | None]) -> Column:
    return Column(f"difference_{field}", value, "Difference", signed_count, "ours minus published", is_published=True)


def _caption(results: StudyResults, _: Sequence[Record]) -> str:
    protocol = f" under the protocol {results.protocol}" if results.is_of_hospital else ""
    published = results.beside_counts(", beside the paper's Table 1, with our figure minus the paper's")
    return f"The cohorts{protocol}: classes, {results.unit}s and patients{published}."


TABLE = StudyTable(
    name="cohort_details",
    place=2,
    section="data",
    shows_published=lambda results: results.has_paper_cohorts,
    needs=("statistics",),
    columns=(
        task_column(lambda row: row.ours["task"]),
        Column("protocol", lambda row: row.protocol),
        Column("admissions", lambda row: admissions_of(row.ours), "{Units}", digits(0)),
        Column("patients", lambda row: row.ours.get("patients"), "Patients", digits(0)),
        Column("classes", lambda row: row.ours.get("classes"), "Classes", digits(0)),
        Column("multilabel", lambda row: row.ours.get("multilabel")),
        Column("prevalence", lambda row: rounded(row.ours.get("prevalence"))),
        Column(
            "class_shares",
            lambda row: row.shares,
            "Share of each class (%)",
            meaning="separated by spaces",
            row_text=_percentages,
        ),
        Column(
            "mean_cardinality",
            lambda row: rounded(row.ours.get("mean_cardinality")),
            "{Code}s per {unit}",
            digits(2),
        ),
        Column("without_code", lambda row: row.ours.get("without_code"), "Without a {code}", digits(0)),
        _published("admissions", lambda row: published_admissions(row.ours["task"])),
        _difference("admissions", _difference_of_admissions),
        _published("classes", lambda row: row.published.get("classes")),
        _difference("classes", _difference_of_classes),
    ),
    rows=_rows,
    shown=(
        *("task", "class_shares", "admissions", "published_admissions", "difference_admissions", "patients"),
        *("classes", "published_classes", "difference_classes", "mean_cardinality", "without_code"),
    ),
    caption=_caption,
    notes=lambda results, _: (
        *of_mimic_iii(results),
        f"A dash{results.beside_counts(' in our columns')}: fewer than {SMALLEST_CELL}, or a count that would give "
        "one away.",
        "Without a {code}: {units} all of whose {code}s lie outside the label space; they count as having none.".format(
            **results.words
        ),
    ),
    text_columns=2,
    folded="Classes and patients of each cohort",
)
