"""The tables `calibration` and `subgroups`, and `uncertainty` with them.

Machine-readable columns (CSV), one row per ...:
    calibration, per model, task and version of the scores (raw, temperature, isotonic): `CALIBRATION_FIELDS`, means
        over seeds, with intervals over patients (low and high: the ends of the seeds' intervals, averaged); undefined
        says which intervals leave out resamples; alerts at 90 % sensitivity on validation, of raw scores of a binary
        task.
    subgroups, per model, task, attribute and group: `SUBGROUP_FIELDS`; gaps are the group's figure minus the
        reference group's, AUROCs in percent; suppressed says why a row has no figures.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import fmean, median
from typing import Any

from clinical_peft.tables.form import (
    FEWER,
    MISSING,
    STATED,
    TASK_LABELS,
    Labels,
    Record,
    Table,
    ends,
    in_order,
    label_of,
    number,
    percent,
    rounded,
    signed,
)
from clinical_peft.tables.uncertainty_table import uncertainty_table

# Figures of a group, and their gaps, that are no percentages.
WITH_ENDS = ("brier", "brier_gap", "calibration_intercept", "calibration_intercept_gap")
CALIBRATION_FIGURES = ("brier", "log_loss", "ece", "calibration_slope", "calibration_intercept")
# Columns of alerts, and how `clinical_peft.metrics.decisions.alert_burden` calls them.
ALERT_FIGURES = {
    "alerts_per_100": "alerts_per_100",
    "alert_sensitivity": "sensitivity",
    "alert_precision": "precision",
    "alerts_per_case": "alerts_per_case",
}
CALIBRATION_FIELDS = (
    *("model", "label", "task", "scores", "seeds", "temperature", "auroc_percent"),
    *(f"{figure}{end}" for figure in CALIBRATION_FIGURES for end in ("", "_low", "_high")),
    "alert_sensitivity_aimed",
    *(f"{figure}{end}" for figure in ALERT_FIGURES for end in ("", "_low", "_high")),
    "undefined",
    *STATED,
)
SUBGROUP_FIELDS = (
    *("model", "label", "task", "attribute", "group", "reference", "admissions", "patients", "positives", "seeds"),
    *("classes", "classes_with_few", "auroc_percent", "auroc_low_percent", "auroc_high_percent"),
    *("gap_percent", "gap_low_percent", "gap_high_percent", "p_value", "p_holm", "significant"),
    *(f"{figure}{end}" for figure in WITH_ENDS for end in ("", "_low", "_high")),
    *("suppressed", *STATED),
)
SCORE_LABELS = {"raw": "as they are", "temperature": "temperature", "isotonic": "isotonic"}
ATTRIBUTE_LABELS = {"age_band": "age", "admission_type": "admission type"}
ALERT_SENSITIVITY = 0.9


def build_evidence_tables(
    *,
    aggregate: Mapping[str, Any],
    calibration: Mapping[str, Any],
    subgroups: Mapping[str, Any],
    labels: Labels,
) -> dict[str, Table]:
    """Build the tables of uncertainty, calibration and subgroups.

    Args:
        aggregate: What `clinical_peft.metrics.aggregate.aggregate` returned.
        calibration: What `clinical_peft.metrics.calibrate.calibrate` returned.
        subgroups: What `clinical_peft.metrics.subgroup_gaps.compare_subgroups` returned.
        labels: As for `clinical_peft.tables.paper_tables.build_tables`.

    Returns:
        uncertainty, calibration and subgroups.
    """
    return {
        "uncertainty": uncertainty_table(aggregate, labels),
        "calibration": _calibration_table(calibration, labels),
        "subgroups": _subgroup_table(subgroups, labels),
    }


def _mean(values: Sequence[float | None]) -> float | None:
    """Mean over seeds, None where a seed has none."""
    known = [value for value in values if value is not None]
    return fmean(known) if known and len(known) == len(values) else None


def _calibration_record(runs: Sequence[Mapping[str, Any]], scores: str, labels: Labels) -> Record:
    alerts: list[Mapping[str, Any]] = []
    if scores == "raw" and runs[0]["alert_burden"] is not None:
        alerts = [row for run in runs for row in run["alert_burden"] if row["sensitivity_aimed"] == ALERT_SENSITIVITY]
    burden = {column: _over_seeds(column, [row.get(name) for row in alerts]) for column, name in ALERT_FIGURES.items()}
    figures = [run["figures"][scores] for run in runs]
    return {
        **{field: runs[0][field] for field in ("model", "task", *STATED)},
        "label": label_of(runs[0]["model"], labels),
        "scores": scores,
        "seeds": len(runs),
        "temperature": rounded(fmean(run["temperature"] for run in runs)) if scores == "temperature" else None,
        "auroc_percent": percent(_mean([found["auroc"]["value"] for found in figures])),
        **{k: v for name in CALIBRATION_FIGURES for k, v in _over_seeds(name, [one[name] for one in figures]).items()},
        "alert_sensitivity_aimed": None if burden["alerts_per_100"]["alerts_per_100"] is None else ALERT_SENSITIVITY,
        **{key: value for columns in burden.values() for key, value in columns.items()},
        "undefined": _left_out(figures),
    }


def _left_out(seeds: Sequence[Mapping[str, Any]]) -> str | None:
    """Which figures have resamples that their intervals leave out, and how many in a seed at most."""
    counts = {
        name: max(one[name]["undefined"] or 0 for one in seeds)
        for name in CALIBRATION_FIGURES
        if all(one[name]["value"] is not None for one in seeds)
    }
    return "; ".join(f"{name}: {count} resamples left out" for name, count in counts.items() if count) or None


def _over_seeds(column: str, seeds: Sequence[Mapping[str, Any] | None]) -> Record:
    """Means over seeds of a figure and of both ends of its interval; None where a seed has none."""
    parts = [((one or {}).get("value"), *((one or {}).get("interval") or (None, None))) for one in seeds]
    names = (column, f"{column}_low", f"{column}_high")
    return {name: rounded(_mean([part[place] for part in parts])) for place, name in enumerate(names)}


def _bracketed(record: Record, name: str, digits: int) -> str:
    """A figure with its interval in brackets."""
    value, low, high = (record[f"{name}{end}"] for end in ("", "_low", "_high"))
    interval = "" if low is None or high is None else f" [{number(low, digits)}, {number(high, digits)}]"
    return f"{number(value, digits)}{interval}"


def _calibration_table(calibration: Mapping[str, Any], labels: Labels) -> Table:
    runs: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for run in calibration["runs"]:
        runs[run["model"], run["task"]].append(run)
    models = in_order([key[0] for key in runs], labels)
    keys = [(model, task) for task in TASK_LABELS for model in models if (model, task) in runs]
    records = [_calibration_record(runs[key], scores, labels) for key in keys for scores in SCORE_LABELS]
    rows = [
        (
            TASK_LABELS[record["task"]],
            record["label"],
            SCORE_LABELS[record["scores"]],
            *(_bracketed(record, name, 3) for name in ("brier", "log_loss", "ece")),
            *(_bracketed(record, name, 2) for name in ("calibration_slope", "calibration_intercept")),
            _bracketed(record, "alerts_per_100", 1),
            _bracketed(record, "alert_precision", 2),
        )
        for record in records
    ]
    return Table(
        name="calibration",
        caption="Calibration on test of scores as they are and recalibrated on validation, means over seeds with "
        f"intervals over patients, and the alerts for {ALERT_SENSITIVITY:.0%} sensitivity on validation.",
        fields=CALIBRATION_FIELDS,
        records=tuple(records),
        header=(
            *("Task", "Model", "Scores", "Brier", "Log-loss", "ECE", "Slope", "Intercept"),
            *("Alerts per 100", "Precision of an alert"),
        ),
        rows=tuple(rows),
        notes=(
            f"ECE: expected calibration error over {calibration['bins']} bins of equally many scores. Slope: 1 is "
            "right, below it scores are too extreme. Intercept: 0 is right, negative when scores are too high. In "
            "brackets the interval over patients, the ends of the seeds' intervals averaged. A dash stands where a "
            "figure is undefined in any seed, or would tell how many of a rare class there are; alerts are "
            "counted on scores as they are, of binary tasks.",
            *_left_out_note(records, calibration),
        ),
        text_columns=3,
    )


def _left_out_note(records: Sequence[Record], calibration: Mapping[str, Any]) -> tuple[str, ...]:
    if not any(record["undefined"] for record in records):
        return ()
    drawn = calibration["resamples"]
    return (
        f"An interval leaves out the resamples, of {drawn:,}, in which its figure is undefined (a slope where they "
        "hold one outcome or the scores separate the outcomes); the CSV file says how many.",
    )


def _subgroup_record(row: Mapping[str, Any], cell: Mapping[str, Any], labels: Labels) -> Record:
    figures, gaps = row["figures"] or {}, row["gaps"] or {}

    def value(part: Mapping[str, Any], name: str) -> float | None:
        found: float | None = part.get(name, {}).get("value")
        return found

    return {
        **{field: row[field] for field in ("model", "task", "attribute", "group", "reference", "seeds")},
        **{field: row[field] for field in ("classes", "classes_with_few", *STATED)},
        "label": label_of(row["model"], labels),
        **{field: cell[field] for field in ("admissions", "patients", "positives")},
        "auroc_percent": percent(value(figures, "auroc")),
        **ends(figures.get("auroc", {}).get("interval"), "auroc_"),
        "gap_percent": percent(value(gaps, "auroc")),
        **ends(gaps.get("auroc", {}).get("interval"), "gap_"),
        **{field: rounded(row[field], 6) for field in ("p_value", "p_holm")},
        "significant": row["significant"],
        **_plain("", figures),
        **_plain("_gap", gaps),
        "suppressed": row["suppressed"],
    }


def _plain(suffix: str, part: Mapping[str, Any]) -> Record:
    """Brier score and calibration intercept, or their gaps, with both ends of their intervals."""
    record: Record = {}
    for name in ("brier", "calibration_intercept"):
        found = part.get(name) or {}
        low, high = found.get("interval") or (None, None)
        values = {"": found.get("value"), "_low": low, "_high": high}
        record |= {f"{name}{suffix}{end}": rounded(value) for end, value in values.items()}
    return record


def _subgroup_table(subgroups: Mapping[str, Any], labels: Labels) -> Table:
    cells = {(cell["task"], cell["attribute"], cell["group"]): cell for cell in subgroups["cells"]}
    by_cell: dict[tuple[str, str, str], list[Record]] = {key: [] for key in cells}
    for row in subgroups["gaps"]:
        key = (row["task"], row["attribute"], row["group"])
        by_cell[key].append(_subgroup_record(row, cells[key], labels))
    tasks = list(TASK_LABELS)
    keys = sorted(by_cell, key=lambda key: tasks.index(key[0]))  # stable: attributes and groups stay in their order
    models = in_order(sorted({row["model"] for row in subgroups["gaps"]}), labels)
    records = [
        record for key in keys for record in sorted(by_cell[key], key=lambda record: models.index(record["model"]))
    ]
    return Table(
        name="subgroups",
        caption="Test AUROC by group of patients: over all models, the median and the range of the gap to the "
        "attribute's largest group.",
        fields=SUBGROUP_FIELDS,
        records=tuple(records),
        header=(
            *("Task", "Attribute", "Group", "Compared with", "Admissions", "Positives", "Median AUROC (%)"),
            *("Median gap", "Least", "Greatest", "Models with a gap"),
        ),
        rows=tuple(_subgroup_row(cells[key], by_cell[key]) for key in keys),
        notes=(
            f"An en dash stands for counts below {subgroups['smallest_cell']}, for others that would give them away, "
            "beside this table's counts or those of another task, and for figures of such groups. Models with a gap: "
            "those whose gap is significant, over patients alone, after Holm's correction over the whole table. "
            "The CSV file holds every model's figures and gaps with their intervals, and why a figure is missing.",
            f"{FEWER} Without classes of fewer than {subgroups['smallest_cell']} positives or negatives in the group "
            "or in the one compared with; the CSV file says how many these are.",
        ),
        text_columns=4,
    )


def _subgroup_row(cell: Mapping[str, Any], records: Sequence[Record]) -> tuple[str, ...]:
    aurocs = [record["auroc_percent"] for record in records if record["auroc_percent"] is not None]
    gaps = [record["gap_percent"] for record in records if record["gap_percent"] is not None]
    distances = [signed(value) for value in (median(gaps), min(gaps), max(gaps))] if gaps else [MISSING] * 3
    rough = FEWER if any(record["classes_with_few"] for record in records) else ""
    found = sum(record["significant"] for record in records)
    return (
        TASK_LABELS[cell["task"]],
        ATTRIBUTE_LABELS.get(cell["attribute"], cell["attribute"]),
        cell["group"],
        "" if cell["reference"] else (records[0]["reference"] or MISSING),
        number(cell["admissions"]),
        number(cell["positives"]),
        f"{number(median(aurocs), 1)}{rough}" if aurocs else MISSING,
        *distances,
        f"{found} of {len(gaps)}" if gaps else MISSING,
    )
