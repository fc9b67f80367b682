"""What the cohorts are: who is in them, how long their notes are, and which step left out whom."""

from collections.abc import Mapping, Sequence
from typing import Any

from clinical_peft.data.hash_split import SPLITS
from clinical_peft.disclosure.counts import SMALLEST_CELL
from clinical_peft.tables.form import (
    MISSING,
    PAPER,
    TASK_LABELS,
    Record,
    Table,
    difference,
    number,
    rounded,
    signed,
)
from clinical_peft.tables.published import published_statistics
from clinical_peft.tables.published_steps import Step, published_attrition

DETAIL_FIELDS = (
    "task",
    "protocol",
    "admissions",
    "patients",
    "classes",
    "multilabel",
    "prevalence",
    "class_shares",
    "mean_cardinality",
    "without_code",
    "published_admissions",
    "difference_admissions",
    "published_classes",
    "difference_classes",
)
OF_MIMIC_III = "The paper's counts are of MIMIC-III: to cohorts of other tables the difference says nothing."
LENGTH_FIELDS = ("task", "unit", "mean", "median", "p95", "longest")
ATTRITION_FIELDS = (
    "task",
    "protocol",
    "number",
    "step",
    "unit",
    "rows",
    "patients",
    "rows_left_out",
    "patients_left_out",
    "also_left_out",
    "published_rows",
    "difference_rows",
)


def build_cohort_tables(
    *, protocol: str, statistics: Sequence[Mapping[str, Any]], attrition: Mapping[str, Sequence[Step]]
) -> dict[str, Table]:
    """Build the tables that describe the cohorts.

    Machine-readable columns (CSV), one row per ...:
        cohort_details, per task: `DETAIL_FIELDS`; class_shares are separated by spaces; published figures are those
            of the paper's Table 1, differences ours minus those.
        text_lengths, per task and unit of length (words, or the tokens of a base): `LENGTH_FIELDS`.
        attrition, per task and step: `ATTRITION_FIELDS`; the published rows stand beside the last step.

    Args:
        protocol: The study's protocol.
        statistics: What `clinical_peft.data.statistics.dataset_statistics` returned.
        attrition: By task, the ordered steps of its cohort, each {step, unit, rows, patients} and perhaps left_out, or
            joined: the steps of a table that the step joins, which stand above it.

    Returns:
        cohort_details, text_lengths and attrition.
    """
    order = list(TASK_LABELS)
    rows = sorted(statistics, key=lambda row: order.index(row["task"]))
    steps = published_attrition({task: attrition[task] for task in sorted(attrition, key=order.index)})
    return {
        "cohort_details": _detail_table(protocol, rows),
        "text_lengths": _length_table(rows),
        "attrition": _attrition_table(protocol, steps),
    }


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


def _signed(value: float | None) -> str:
    return MISSING if value is None else signed(value, 0) if value else "0"


def _percentages(shares: Sequence[float | None]) -> str:
    return " / ".join(number(None if share is None else 100 * share, 1) for share in shares)


def _published_admissions(task: str) -> int | None:
    printed = published_statistics(task)
    return None if printed is None else sum(printed[split] for split in SPLITS)


def _detail_record(protocol: str, row: Mapping[str, Any]) -> Record:
    printed = published_statistics(row["task"]) or {}
    admissions, published_admissions = admissions_of(row), _published_admissions(row["task"])
    shares = row.get("class_shares")
    return {
        "task": row["task"],
        "protocol": protocol,
        "admissions": admissions,
        **{field: row.get(field) for field in ("patients", "classes", "multilabel", "without_code")},
        **{field: rounded(row.get(field)) for field in ("prevalence", "mean_cardinality")},
        "class_shares": None
        if shares is None
        else " ".join(MISSING if share is None else f"{share:.4f}" for share in shares),
        "published_admissions": published_admissions,
        "difference_admissions": difference(admissions, published_admissions),
        "published_classes": printed.get("classes"),
        "difference_classes": difference(row["classes"], printed.get("classes")),
    }


def _detail_table(protocol: str, statistics: Sequence[Mapping[str, Any]]) -> Table:
    records = [_detail_record(protocol, row) for row in statistics]
    rows = [
        (
            TASK_LABELS[record["task"]],
            _percentages(row.get("class_shares") or ()) or MISSING,
            number(record["admissions"]),
            number(record["published_admissions"]),
            _signed(record["difference_admissions"]),
            number(record["patients"]),
            number(record["classes"]),
            number(record["published_classes"]),
            _signed(record["difference_classes"]),
            number(record["mean_cardinality"], 2),
            number(record["without_code"]),
        )
        for record, row in zip(records, statistics, strict=True)
    ]
    return Table(
        name="cohort_details",
        caption=f"The cohorts under the protocol {protocol}: classes, admissions and patients, beside the paper's "
        "Table 1, with our figure minus the paper's.",
        fields=DETAIL_FIELDS,
        records=tuple(records),
        header=(
            *("Task", "Share of each class (%)", "Admissions", PAPER, "Difference", "Patients"),
            *("Classes", PAPER, "Difference", "Codes per admission", "Without a code"),
        ),
        rows=tuple(rows),
        notes=(
            OF_MIMIC_III,
            f"A dash in our columns: fewer than {SMALLEST_CELL}, or a count that would give such a one away.",
            "Without a code: admissions all of whose codes lie outside the label space; they count as having none.",
        ),
        text_columns=2,
    )


def _length_table(statistics: Sequence[Mapping[str, Any]]) -> Table:
    records: list[Record] = [
        {"task": row["task"], "unit": unit, **{field: round(length[field], 1) for field in LENGTH_FIELDS[2:]}}
        for row in statistics
        for unit, length in sorted(row.get("lengths", {}).items(), key=lambda item: (item[0] != "words", item[0]))
    ]
    rows = [
        (
            TASK_LABELS[record["task"]],
            "words" if record["unit"] == "words" else f"tokens of {record['unit']}",
            *(number(record[field]) for field in LENGTH_FIELDS[2:]),
        )
        for record in records
    ]
    return Table(
        name="text_lengths",
        caption="Lengths of the admission notes of each cohort, in words and in the tokens of each base.",
        fields=LENGTH_FIELDS,
        records=tuple(records),
        header=("Task", "Unit", "Mean", "Median", "95th percentile", "Longest"),
        rows=tuple(rows),
        notes=("Words are what stands between white space; tokens are those of the bare text.",),
        text_columns=2,
    )


def _attrition_records(protocol: str, task: str, steps: Sequence[Step]) -> list[Record]:
    entries: list[tuple[Step | None, Step]] = []
    for before, step in zip([None, *steps], steps, strict=False):
        joined = step.get("joined", [])
        entries += [*zip([None, *joined], joined, strict=False), (before, step)]
    records: list[Record] = []
    for place, (before, step) in enumerate(entries, start=1):
        rows, patients = (None, None) if before is None else left_out_between(before, step)
        printed = _published_admissions(task) if place == len(entries) else None
        records.append(
            {
                "task": task,
                "protocol": protocol,
                "number": place,
                **{field: step[field] for field in ("step", "unit", "rows", "patients")},
                "rows_left_out": rows,
                "patients_left_out": patients,
                "also_left_out": also_left_out(step) or None,
                "published_rows": printed,
                "difference_rows": difference(step["rows"], printed),
            }
        )
    return records


def _attrition_table(protocol: str, attrition: Mapping[str, Sequence[Step]]) -> Table:
    records = [record for task, steps in attrition.items() for record in _attrition_records(protocol, task, steps)]
    rows = [
        (
            TASK_LABELS[record["task"]],
            record["step"],
            record["unit"],
            record["also_left_out"] or "",
            *(number(record[field]) for field in ("rows", "rows_left_out", "patients", "patients_left_out")),
            number(record["published_rows"]),
            _signed(record["difference_rows"]),
        )
        for record in records
    ]
    return Table(
        name="attrition",
        caption=f"From raw rows to cohorts under the protocol {protocol}: what each step keeps and leaves out, the "
        "last one beside the admissions of the paper's Table 1.",
        fields=ATTRITION_FIELDS,
        records=tuple(records),
        header=(
            *("Task", "Step keeps what is", "A row is", "Also left out"),
            *("Rows", "Rows left out", "Patients", "Patients left out", PAPER, "Difference"),
        ),
        rows=tuple(rows),
        notes=(
            OF_MIMIC_III,
            f"A step that leaves out fewer than {SMALLEST_CELL} is shown together with its neighbours: a dash stands "
            "for the counts between.",
        ),
        text_columns=4,
    )
