"""The cohorts: classes, admissions and patients, beside the paper's Table 1."""

from collections.abc import Sequence
from dataclasses import dataclass

from clinical_peft.disclosure.counts import SMALLEST_CELL
from clinical_peft.tables.cohort_counts import OF_MIMIC_III, admissions_of, published_admissions, signed_count
from clinical_peft.tables.form import MISSING, PAPER, difference, number, rounded
from clinical_peft.tables.published import published_statistics
from clinical_peft.tables.study_column import Column, by_task, digits, task_name
from clinical_peft.tables.study_results import Content, StudyResults
from clinical_peft.tables.study_table import StudyTable


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
    return [
        Cohort(row, published_statistics(row["task"]) or {}, results.protocol) for row in by_task(results.statistics)
    ]


def _percentages(row: Cohort) -> str:
    shares = row.ours.get("class_shares") or ()
    return " / ".join(number(None if share is None else 100 * share, 1) for share in shares) or MISSING


def _difference_of_admissions(row: Cohort) -> float | None:
    return difference(admissions_of(row.ours), published_admissions(row.ours["task"]))


def _difference_of_classes(row: Cohort) -> float | None:
    return difference(row.ours["classes"], row.published.get("classes"))


TABLE = StudyTable(
    name="cohort_details",
    place=2,
    section="data",
    needs=("statistics",),
    columns=(
        Column("task", lambda row: row.ours["task"], "Task", task_name),
        Column("protocol", lambda row: row.protocol),
        Column("admissions", lambda row: admissions_of(row.ours), "Admissions", digits(0)),
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
            "mean_cardinality", lambda row: rounded(row.ours.get("mean_cardinality")), "Codes per admission", digits(2)
        ),
        Column("without_code", lambda row: row.ours.get("without_code"), "Without a code", digits(0)),
        Column("published_admissions", lambda row: published_admissions(row.ours["task"]), PAPER, digits(0)),
        Column("difference_admissions", _difference_of_admissions, "Difference", signed_count, "ours minus published"),
        Column("published_classes", lambda row: row.published.get("classes"), PAPER, digits(0)),
        Column("difference_classes", _difference_of_classes, "Difference", signed_count, "ours minus published"),
    ),
    rows=_rows,
    shown=(
        *("task", "class_shares", "admissions", "published_admissions", "difference_admissions", "patients"),
        *("classes", "published_classes", "difference_classes", "mean_cardinality", "without_code"),
    ),
    caption=lambda results, _: (
        f"The cohorts under the protocol {results.protocol}: classes, admissions and patients, beside the paper's "
        "Table 1, with our figure minus the paper's."
    ),
    notes=lambda *_: (
        OF_MIMIC_III,
        f"A dash in our columns: fewer than {SMALLEST_CELL}, or a count that would give such a one away.",
        "Without a code: admissions all of whose codes lie outside the label space; they count as having none.",
    ),
    text_columns=2,
)
