"""From raw rows to cohorts: what each step keeps and leaves out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from clinical_peft.disclosure.counts import SMALLEST_CELL, is_small
from clinical_peft.tables.cohort_counts import (
    also_left_out,
    left_out_between,
    of_mimic_iii,
    published_admissions,
    signed_count,
)
from clinical_peft.tables.form import PAPER, Record, difference
from clinical_peft.tables.published_steps import Step, published_attrition, untold_cohorts
from clinical_peft.tables.study_column import Column, digits, task_column
from clinical_peft.tables.study_results import StudyResults
from clinical_peft.tables.study_table import StudyTable
from clinical_peft.tables.study_tasks import task_order


@dataclass(frozen=True)
class Row:
    """A step of a task's cohort, the step before it, and the published admissions beside the last one."""

    task: str
    protocol: str
    number: int
    before: Step | None
    step: Step
    published: int | None

    @property
    def left_out(self) -> tuple[int | None, int | None]:
        """Rows and patients that the step left out."""
        return (None, None) if self.before is None else left_out_between(self.before, self.step)


def _rows(results: StudyResults) -> Iterator[Row]:
    order = task_order(results.tasks)
    attrition = {task: results.attrition[task] for task in sorted(results.attrition, key=order.index)}
    for task, steps in published_attrition(attrition, untold_cohorts(results.statistics)).items():
        entries = _entries(steps)
        for number, (before, step) in enumerate(entries, start=1):
            published = published_admissions(task) if number == len(entries) else None
            yield Row(task, results.protocol, number, before, step, published)


def _entries(steps: Sequence[Step]) -> list[tuple[Step | None, Step]]:
    """Each step and the one before it; the steps of a table that a step joins stand above it."""
    entries: list[tuple[Step | None, Step]] = []
    for before, step in zip([None, *steps], steps, strict=False):
        joined = step.get("joined", [])
        entries += [*zip([None, *joined], joined, strict=False), (before, step)]
    return entries


def _caption(results: StudyResults, _: Sequence[Record]) -> str:
    protocol = f" under the protocol {results.protocol}" if results.is_of_hospital else ""
    published = results.beside_counts(", the last one beside the admissions of the paper's Table 1")
    return f"From raw rows to cohorts{protocol}: what each step keeps and leaves out{published}."


def _repeated(results: StudyResults) -> Iterator[str]:
    """Say of each task how many held-out notes are repeated in another split."""
    for task in task_order(results.tasks):
        for step in results.attrition.get(task, ()):
            if count := step.get("repeated_in_another_split"):
                shown = f"fewer than {SMALLEST_CELL}" if is_small(count) else f"{count:,}"
                yield (
                    f"{results.tasks[task].short}: {shown} notes of validation and test have near-duplicates in "
                    "another split, by the split that the table gives. Metrics may be too good."
                )


TABLE = StudyTable(
    name="attrition",
    place=1,
    section="data",
    shows_published=lambda results: results.has_paper_cohorts,
    needs=("attrition", "statistics"),
    columns=(
        task_column(lambda row: row.task),
        Column("protocol", lambda row: row.protocol),
        Column("number", lambda row: row.number),
        Column("step", lambda row: row.step["step"], "Step keeps what is"),
        Column("unit", lambda row: row.step["unit"], "A row is"),
        Column("rows", lambda row: row.step["rows"], "Rows", digits(0)),
        Column("patients", lambda row: row.step["patients"], "Patients", digits(0)),
        Column("rows_left_out", lambda row: row.left_out[0], "Rows left out", digits(0)),
        Column("patients_left_out", lambda row: row.left_out[1], "Patients left out", digits(0)),
        Column(
            "also_left_out",
            lambda row: also_left_out(row.step) or None,
            "Also left out",
            lambda value, _: value or "",
        ),
        Column(
            "published_rows", lambda row: row.published, PAPER, digits(0), "beside the last step", is_published=True
        ),
        Column(
            "difference_rows",
            lambda row: difference(row.step["rows"], row.published),
            "Difference",
            signed_count,
            "ours minus published",
            is_published=True,
        ),
    ),
    rows=_rows,
    shown=(
        *("task", "step", "unit", "also_left_out", "rows", "rows_left_out", "patients", "patients_left_out"),
        *("published_rows", "difference_rows"),
    ),
    caption=_caption,
    notes=lambda results, _: (
        *of_mimic_iii(results),
        *_repeated(results),
        f"A step that leaves out fewer than {SMALLEST_CELL} is shown together with its neighbours: a dash stands "
        "for the counts between.",
    ),
    text_columns=4,
    folded="Every step as a table",
)
