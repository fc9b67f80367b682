"""Counts of cohorts and of the steps to them, as tables and figures show them."""

from collections.abc import Mapping
from typing import Any

from clinical_peft.data.hash_split import SPLITS
from clinical_peft.tables.form import MISSING, Record, signed
from clinical_peft.tables.published import published_statistics
from clinical_peft.tables.published_steps import Step
from clinical_peft.tables.study_results import StudyResults


def of_mimic_iii(results: StudyResults) -> tuple[str, ...]:
    """The note below published counts; none in a study without them."""
    return ("The paper's counts are of MIMIC-III.",) if results.has_paper_cohorts else ()


def left_out_between(before: Step, after: Step) -> tuple[int | None, int | None]:
    """Rows and patients that a step left out.

    None where a total is hidden, and for rows where a row becomes something else, as when notes are joined.
    """
    same_unit = before["unit"] == after["unit"]
    return (
        _dropped(before["rows"], after["rows"]) if same_unit else None,
        _dropped(before["patients"], after["patients"]),
    )


def _dropped(before: int | None, after: int | None) -> int | None:
    return None if before is None or after is None else before - after


def also_left_out(step: Step) -> str:
    """What a step left out besides rows, as text; empty when nothing."""
    return "; ".join(f"{count:,} {reason}" for reason, count in sorted(step.get("left_out", {}).items()))


def admissions_of(row: Mapping[str, Any]) -> int | None:
    """Admissions of a cohort in all splits, None where they are hidden."""
    counts = [row[split] for split in SPLITS]
    return row.get("admissions") or (None if None in counts else sum(counts))


def published_admissions(task: str) -> int | None:
    """Admissions of a task in all splits of the paper's Table 1, or None."""
    printed = published_statistics(task)
    return None if printed is None else sum(printed[split] for split in SPLITS)


def signed_count(value: float | None, _: Record) -> str:
    """A difference of counts with its sign; none is 0."""
    return MISSING if value is None else signed(value, 0) if value else "0"
