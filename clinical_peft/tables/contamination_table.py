"""The table `contamination_gaps`.

Machine-readable columns (CSV): one row per task and comparison, `CONTAMINATION_FIELDS`. comparison is `carevue_inside`
and `carevue_outside` (the gain of the adapted model in each group), `carevue` (gain outside minus gain inside) or
`disjoint` (the unfiltered arm minus the disjoint one). first and second are the models whose AUROCs are compared,
second minus first; differences are in percentage points of AUROC. low and high are over patients (percentile), total_,
standard_error_percent, degrees_of_freedom (empty when infinite) and p_total over patients, and seeds where there are
several; p_holm is adjusted over the whole table.
"""

from collections.abc import Mapping
from typing import Any

from clinical_peft.metrics.comparisons import SIGNIFICANCE
from clinical_peft.tables.form import (
    MISSING,
    TASK_LABELS,
    Labels,
    Record,
    Table,
    ends,
    label_of,
    number,
    p_text,
    percent,
    rounded,
    with_interval,
)

CONTAMINATION_FIELDS = (
    *("task", "comparison", "first", "second", "first_label", "second_label", "seeds", "classes"),
    *("admissions", "patients", "positives", "first_percent", "second_percent"),
    *("difference_percent", "low_percent", "high_percent", "total_low_percent", "total_high_percent", "level"),
    *("standard_error_percent", "degrees_of_freedom", "p_total", "p_holm", "significant", "undefined_resamples"),
    *("membership", "membership_approximate", "undefined", "protocol", "cohort_sha256"),
)
COMPARISON_LABELS = {
    "carevue_inside": "gain inside the CareVue subset",
    "carevue_outside": "gain outside the CareVue subset",
    "carevue": "gain outside minus gain inside",
    "disjoint": "unfiltered minus disjoint",
}


def build_contamination_table(contamination: Mapping[str, Any], labels: Labels) -> Table:
    """Build the table of what contaminated pretraining is worth.

    Args:
        contamination: What `clinical_peft.metrics.contamination_gaps.measure_contamination` returned.
        labels: As for `clinical_peft.tables.paper_tables.build_tables`.
    """
    order = list(TASK_LABELS)
    records = [
        record
        for row in sorted(contamination["carevue"], key=lambda row: order.index(row["task"]))
        for record in _carevue_records(row, contamination, labels)
    ]
    records += [
        _disjoint_record(row, contamination, labels)
        for row in sorted(contamination["disjoint"], key=lambda row: order.index(row["task"]))
    ]
    level = f"{contamination['level']:.0%}"
    seeds = " and seeds" if any(record["degrees_of_freedom"] for record in records) else ""
    return Table(
        name="contamination_gaps",
        caption="What pretraining on the notes of test patients is worth: AUROC gained by pretraining on MIMIC-IV "
        "inside and outside the CareVue subset of test patients, who are not in MIMIC-IV, and AUROC after unfiltered "
        f"pretraining minus that after pretraining without held-out patients ({level} intervals over patients{seeds}). "
        f"{_source(contamination['membership'])}",
        fields=CONTAMINATION_FIELDS,
        records=tuple(records),
        header=("Task", "Comparison", "Admissions", "Positives", "First (%)", "Second (%)", "Difference", "p (Holm)"),
        rows=tuple(_row(record) for record in records),
        notes=(
            "A difference is the second AUROC minus the first, the mean over seeds, in percentage points: the adapted "
            "model minus the unadapted one, or the unfiltered arm minus the disjoint one. The patients of the CareVue "
            "subset are others, of an earlier era, than the rest: models are paired within each group, the groups are "
            "not. The two arms are paired on the same test patients. A dash stands where a figure is undefined or "
            f"rests on fewer than {contamination['smallest_cell']} cases; the CSV file says why. Bold: p at most "
            f"{SIGNIFICANCE:g} after Holm's correction over the table.",
            *_class_note(contamination),
        ),
        text_columns=2,
        bold=frozenset((place, 6) for place, record in enumerate(records) if record["significant"]),
    )


def _class_note(contamination: Mapping[str, Any]) -> tuple[str, ...]:
    """Over how many classes the AUROCs of each comparison run; nothing where all tasks are binary."""
    parts = []
    for key, where in (("carevue", "inside and outside the subset alike"), ("disjoint", "between the arms")):
        counts = {row["task"]: row["classes"] for row in contamination[key] if row["classes"] > 2}
        listed = ", ".join(f"{TASK_LABELS[task]} {counts[task]}" for task in TASK_LABELS if task in counts)
        parts += [f"{listed} {where}"] if listed else []
    if not parts:
        return ()
    return (f"Classes that an AUROC runs over, those that every compared group defines: {'; '.join(parts)}.",)


def _source(membership: Mapping[str, Any]) -> str:
    if membership["approximate"]:
        return (
            f"Membership is approximated from {membership['source']}: a patient all of whose stays were charted in "
            "CareVue may have come back later and be in MIMIC-IV after all."
        )
    return f"Membership comes from the subset's own {membership['source']}."


def _carevue_records(row: Mapping[str, Any], contamination: Mapping[str, Any], labels: Labels) -> list[Record]:
    groups = row["groups"]
    shared = _shared(row, "unadapted", "adapted", contamination["level"], labels)
    shared |= {
        "membership": contamination["membership"]["source"],
        "membership_approximate": contamination["membership"]["approximate"],
    }
    records = [
        shared
        | {"comparison": f"carevue_{name}"}
        | _counts(group)
        | _aurocs(group["unadapted"], group["adapted"])
        | _difference(group["gain"])
        for name, group in groups.items()
    ]
    known = all(group["admissions"] is not None for group in groups.values())
    total = {
        name: sum(group[name] for group in groups.values())
        if known and all(group[name] is not None for group in groups.values())
        else None
        for name in ("admissions", "patients", "positives")
    }
    return [
        *records,
        shared | {"comparison": "carevue"} | total | _aurocs(None, None) | _difference(row["difference"]),
    ]


def _disjoint_record(row: Mapping[str, Any], contamination: Mapping[str, Any], labels: Labels) -> Record:
    shared = _shared(row, "disjoint", "matched", contamination["level"], labels)
    return {
        **shared,
        "comparison": "disjoint",
        **_counts(row),
        **_aurocs(row["auroc"]["disjoint"], row["auroc"]["matched"]),
        **_difference(row["difference"]),
        "membership": None,
        "membership_approximate": None,
    }


def _shared(row: Mapping[str, Any], first: str, second: str, level: float, labels: Labels) -> Record:
    return {
        "task": row["task"],
        "first": row[first],
        "second": row[second],
        "first_label": label_of(row[first], labels),
        "second_label": label_of(row[second], labels),
        **{name: row[name] for name in ("seeds", "classes", "undefined", "protocol", "cohort_sha256")},
        "level": level,
    }


def _counts(group: Mapping[str, Any]) -> Record:
    return {name: group[name] for name in ("admissions", "patients", "positives")}


def _aurocs(first: Mapping[str, Any] | None, second: Mapping[str, Any] | None) -> Record:
    return {
        f"{name}_percent": None if figure is None else percent(figure["value"])
        for name, figure in (("first", first), ("second", second))
    }


def _difference(found: Mapping[str, Any] | None) -> Record:
    found = found or {}
    return {
        "difference_percent": percent(found.get("value")),
        **ends(found.get("interval")),
        **ends(found.get("interval_total"), "total_"),
        "standard_error_percent": percent(found.get("standard_error")),
        "degrees_of_freedom": rounded(found.get("degrees_of_freedom")),
        **{name: rounded(found.get(name), 6) for name in ("p_total", "p_holm")},
        "significant": found.get("significant"),
        "undefined_resamples": found.get("undefined_resamples"),
    }


def _row(record: Record) -> tuple[str, ...]:
    difference = MISSING
    if record["difference_percent"] is not None:
        low, high = record["total_low_percent"], record["total_high_percent"]
        difference = with_interval(record["difference_percent"], low, high)
    return (
        TASK_LABELS[record["task"]],
        COMPARISON_LABELS[record["comparison"]],
        number(record["admissions"]),
        number(record["positives"]),
        number(record["first_percent"], 1),
        number(record["second_percent"], 1),
        difference,
        p_text(record["p_holm"]),
    )
