"""Lengths of the admission notes of each cohort, in words and in the tokens of each base."""

from operator import itemgetter
from typing import Any

from clinical_peft.tables.form import Record
from clinical_peft.tables.study_column import Column, by_task, digits, taken, task_column
from clinical_peft.tables.study_results import StudyResults
from clinical_peft.tables.study_table import StudyTable

WORDS = "words"
LENGTHS = {"mean": "Mean", "median": "Median", "p95": "95th percentile", "longest": "Longest"}


def _rows(results: StudyResults) -> list[dict[str, Any]]:
    return [
        {"task": row["task"], "unit": unit, **length}
        for row in by_task(results.statistics, results.tasks)
        for unit, length in sorted(row.get("lengths", {}).items(), key=lambda item: (item[0] != WORDS, item[0]))
    ]


def _unit(value: str, _: Record) -> str:
    return value if value == WORDS else f"tokens of {value}"


def _length(field: str) -> Column:
    return Column(field, lambda row: round(row[field], 1), LENGTHS[field], digits(0))


TABLE = StudyTable(
    name="text_lengths",
    place=3,
    section="data",
    needs=("statistics",),
    columns=(task_column(itemgetter("task")), taken("unit", "Unit", _unit), *map(_length, LENGTHS)),
    rows=_rows,
    shown=("task", "unit", *LENGTHS),
    caption=lambda results, _: (
        f"Lengths of the {'' if results.unit == 'note' else 'admission '}notes of each cohort, in words and in the "
        "tokens of each base."
    ),
    notes=lambda *_: ("Words are what stands between white space; tokens are those of the bare text.",),
    text_columns=2,
    folded="Lengths of the notes",
)
