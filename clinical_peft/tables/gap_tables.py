"""The table `protocol_gaps`: what each of the original's choices is worth.

Machine-readable columns (CSV), one row per switch and task: `PROTOCOL_FIELDS`; differences are the arm minus the
corrected protocol, in percentage points of AUROC; low and high over patients (percentile), bca_ over patients (BCa),
total_, standard_error_percent and degrees_of_freedom (empty when infinite) over patients, and seeds where there are
several; p_holm is adjusted over the whole table.
"""

from collections.abc import Mapping
from typing import Any

from clinical_peft.config.switches import SWITCHES
from clinical_peft.disclosure.counts import SMALLEST_CELL
from clinical_peft.metrics.comparisons import SIGNIFICANCE
from clinical_peft.tables.form import (
    MISSING,
    TASK_LABELS,
    Labels,
    Record,
    Table,
    intervals,
    label_of,
    number,
    p_text,
    percent,
    rounded,
    with_interval,
)

PROTOCOL_FIELDS = (
    *("switch", "concerns", "task", "corrected_percent", "arm_percent", "difference_percent", "level"),
    *("low_percent", "high_percent", "bca_low_percent", "bca_high_percent", "total_low_percent", "total_high_percent"),
    *("standard_error_percent", "degrees_of_freedom", "undefined_resamples", "p_value", "p_total", "p_holm"),
    *("significant", "corrected_admissions", "arm_admissions", "corrected_classes", "arm_classes"),
    *("admissions_joined", "admissions_left", "texts_changed", "labels_changed"),
    *("corrected_protocol", "arm_protocol", "corrected_cohort_sha256", "arm_cohort_sha256"),
)

ALL_TOGETHER = "all together"  # the concern of the protocol `paper`


def protocol_gap_table(gaps: Mapping[str, Any], labels: Labels) -> Table:
    """Build the table.

    Args:
        gaps: What `clinical_peft.metrics.protocol_gaps.measure_protocol_gaps` returned.
        labels: As for `clinical_peft.tables.paper_tables.build_tables`.
    """
    records = tuple(_record(row, gaps["level"]) for row in gaps["rows"])
    untouched = [
        f"{switch} ({', '.join(TASK_LABELS[task] for task in tasks)})" for switch, tasks in gaps["untouched"].items()
    ]
    notes = [
        "Each protocol is judged by its own test admissions and labels. Changed: notes and labels of the whole cohort "
        "that differ, and admissions that only one of the two has. Bold: p at most "
        f"{SIGNIFICANCE:g} after Holm's correction over the table. docs/protocol.md says what each switch does.",
    ]
    if untouched:
        notes.append(f"Switches without a row, because they cannot change these runs: {'; '.join(untouched)}.")
    seeds = " and seeds" if any(row["degrees_of_freedom"] for row in gaps["rows"]) else ""
    return Table(
        name="protocol_gaps",
        caption=f"What each choice of the original is worth: test AUROC (%) of {label_of(gaps['model'], labels)} "
        f"with that choice alone, less the corrected protocol's, with the {gaps['level']:.0%} interval over "
        f"patients{seeds}.",
        fields=PROTOCOL_FIELDS,
        records=records,
        header=("As in the original", "Concerns", "Task", "Corrected", "With it", "Difference", "p (Holm)", "Changed"),
        rows=tuple(_cells(record) for record in records),
        notes=tuple(notes),
        text_columns=3,
        bold=frozenset((place, 5) for place, record in enumerate(records) if record["significant"]),
    )


def _record(row: Mapping[str, Any], level: float) -> Record:
    return {
        "switch": row["switch"],
        "concerns": SWITCHES[row["switch"]].concern if row["switch"] in SWITCHES else ALL_TOGETHER,
        "task": row["task"],
        "corrected_percent": percent(row["corrected"]["auroc"]),
        "arm_percent": percent(row["arm"]["auroc"]),
        "difference_percent": percent(row["difference"]),
        "level": level,
        **intervals(row),
        **{name: rounded(row[name], 6) for name in ("p_value", "p_total", "p_holm")},
        "significant": row["significant"],
        "corrected_admissions": row["corrected"]["n"],
        "arm_admissions": row["arm"]["n"],
        "corrected_classes": row["corrected"]["classes"],
        "arm_classes": row["arm"]["classes"],
        "admissions_joined": row["changed"]["joined"],
        "admissions_left": row["changed"]["left"],
        "texts_changed": row["changed"]["texts"],
        "labels_changed": row["changed"]["labels"],
        **{
            f"{side}_{name}": row[side][name] for side in ("corrected", "arm") for name in ("protocol", "cohort_sha256")
        },
    }


def _cells(record: Record) -> tuple[str, ...]:
    low, high = record["total_low_percent"], record["total_high_percent"]
    changed = [
        f"{record[name]:,} {one if record[name] == 1 else several}"
        for name, one, several in (
            ("texts_changed", "note", "notes"),
            ("labels_changed", "label", "labels"),
            ("admissions_joined", "more", "more"),
            ("admissions_left", "fewer", "fewer"),
        )
        if record[name]
    ]
    if record["corrected_classes"] != record["arm_classes"]:
        changed.append(f"{record['corrected_classes']} → {record['arm_classes']} classes")
    few = [record[name] is None for name in ("texts_changed", "labels_changed", "admissions_joined", "admissions_left")]
    if not changed and any(few):
        changed.append(f"fewer than {SMALLEST_CELL}")
    return (
        record["switch"],
        record["concerns"],
        TASK_LABELS[record["task"]],
        number(record["corrected_percent"], 1),
        number(record["arm_percent"], 1),
        MISSING if record["difference_percent"] is None else with_interval(record["difference_percent"], low, high),
        p_text(record["p_holm"]),
        ", ".join(changed) or "nothing",
    )
