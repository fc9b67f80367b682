"""The table `uncertainty`: every model's AUROC and every pair's difference, with all intervals.

Machine-readable columns (CSV), `UNCERTAINTY_FIELDS`: a row per model and task, kind `model`, whose `second` is empty;
then a row per pair of models and task, kind `difference`, second minus first, in percentage points. low and high are
the percentile interval over patients, bca_ BCa over patients, total_ over patients, and seeds where there are several,
standard_error_percent and degrees_of_freedom (empty when infinite) likewise; p_value is over patients, p_holm adjusts
it over the pairs of a task, p_total is over patients and seeds, p_holm_table adjusts it over the whole comparison.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from clinical_peft.metrics.comparison_records import Comparisons
from clinical_peft.metrics.comparisons import BEST, SIGNIFICANCE, TIED, best_and_tied
from clinical_peft.tables.form import (
    MISSING,
    TASK_LABELS,
    Labels,
    Record,
    Table,
    ends,
    in_order,
    intervals,
    judged_over,
    label_of,
    percent,
    rounded,
    stated,
)

UNCERTAINTY_FIELDS = (
    *("kind", "group", "task", "first", "second", "first_label", "second_label", "auroc_percent"),
    *("difference_percent", "seeds", "seed_sd_percent", "level"),
    *("low_percent", "high_percent", "bca_low_percent", "bca_high_percent", "total_low_percent", "total_high_percent"),
    *("standard_error_percent", "degrees_of_freedom", "undefined_resamples"),
    *("p_value", "p_holm", "p_total", "p_holm_table", "significant"),
    *("delong_difference_percent", "delong_standard_error_percent", "delong_low_percent", "delong_high_percent"),
    *("delong_p_value", "protocol", "cohort_sha256"),
)
PATIENTS, PATIENTS_AND_SEEDS = "patients", "patients and seeds"
P_VALUES = ("p_value", "p_holm", "p_total", "p_holm_table")


def uncertainty_table(aggregate: Mapping[str, Any], labels: Labels) -> Table:
    """Build the table.

    Args:
        aggregate: What `clinical_peft.metrics.aggregate.aggregate` returned.
        labels: As for `clinical_peft.tables.paper_tables.build_tables`.
    """
    found = {(row["model"], row["task"]): row for row in aggregate["summaries"]}
    tasks = [task for task in TASK_LABELS if any(key[1] == task for key in found)]
    members = _members(aggregate, labels)
    level = aggregate["level"]
    records = [
        _model_record(found[model, task], group, aggregate, labels)
        for group, models in members.items()
        for model in models
        for task in tasks
        if (model, task) in found
    ]
    records += [_pair_record(row, aggregate, labels) for row in aggregate["differences"]]
    marks = best_and_tied(Comparisons.of(aggregate))
    rows: list[tuple[str, ...]] = []
    bold = set()
    for group, models in members.items():
        for model in models:
            line = {task: found[model, task] for task in tasks if (model, task) in found}
            over = [PATIENTS, PATIENTS_AND_SEEDS] if any(row["seeds"] > 1 for row in line.values()) else [PATIENTS]
            for kind in over:
                leads = (place for place, task in enumerate(tasks) if marks.get((model, task)) == BEST)
                bold |= {(len(rows), 3 + place) for place in leads}
                cells = [_cell(line.get(task), kind, marks.get((model, task))) for task in tasks]
                rows.append((group or MISSING, label_of(model, labels), kind, *cells))
    several = judged_over(aggregate) == PATIENTS_AND_SEEDS
    both = ", and over patients and seeds with ± the standard deviation over seeds" if several else ""
    return Table(
        name="uncertainty",
        caption=f"Test AUROC in percent with its {level:.0%} interval over patients alone{both}; and which models "
        "lead.",
        fields=UNCERTAINTY_FIELDS,
        records=tuple(records),
        header=("Compared in", "Model", "Interval over", *(TASK_LABELS[task] for task in tasks)),
        rows=tuple(rows),
        notes=(
            "Bold: significantly above every other model of its comparison. =: the highest, and those that cannot be "
            f"told apart from it. Significant: p at most {SIGNIFICANCE:g} after Holm's correction over all pairs and "
            "tasks of a comparison, of the variance over paired resamples of patients and, where there are several, "
            "that over seeds, for which the models of a task are pooled. The macro average is tested beside its parts. "
            "Intervals over patients are percentiles of resamples; those over patients and seeds are Student's, "
            "about the mean over seeds. "
            "The CSV file holds every model and every pair with all intervals, BCa among them, and DeLong's test on "
            "binary tasks.",
        ),
        text_columns=3,
        bold=frozenset(bold),
    )


def _members(aggregate: Mapping[str, Any], labels: Labels) -> dict[str | None, list[str]]:
    """Models by the comparison that they stand in, those that are compared with none last, under None."""
    members: dict[str | None, set[str]] = defaultdict(set)
    for row in aggregate["differences"]:
        members[row["group"]] |= {row["first"], row["second"]}
    alone = {row["model"] for row in aggregate["summaries"]} - set().union(*members.values())
    if alone:
        members[None] = alone
    return {group: in_order(sorted(models), labels) for group, models in members.items()}


def _cell(found: Mapping[str, Any] | None, kind: str, mark: str | None) -> str:
    if found is None or found["auroc"] is None:
        return MISSING
    interval = found["interval"] if kind == PATIENTS else found["interval_total"]
    text = f"{100 * found['auroc']:.1f}{_printed(interval)}"
    if kind == PATIENTS_AND_SEEDS and found["seed_sd"] is not None:
        text += f" ±{100 * found['seed_sd']:.1f}"
    return f"{text}{' =' if mark == TIED else ''}"


def _printed(interval: Sequence[float] | None) -> str:
    return "" if interval is None else f" [{100 * interval[0]:.1f}, {100 * interval[1]:.1f}]"


def _model_record(row: Mapping[str, Any], group: str | None, aggregate: Mapping[str, Any], labels: Labels) -> Record:
    known = {
        "kind": "model",
        "group": group,
        "task": row["task"],
        "first": row["model"],
        "first_label": label_of(row["model"], labels),
        "auroc_percent": percent(row["auroc"]),
        "seeds": row["seeds"],
        "seed_sd_percent": percent(row["seed_sd"]),
        "level": aggregate["level"],
        **stated(aggregate, row["task"]),
        **intervals(row),
    }
    return {field: known.get(field) for field in UNCERTAINTY_FIELDS}


def _pair_record(row: Mapping[str, Any], aggregate: Mapping[str, Any], labels: Labels) -> Record:
    delong = row["delong"] or {}
    known = {
        "kind": "difference",
        **{field: row[field] for field in ("group", "task", "first", "second", "significant")},
        "first_label": label_of(row["first"], labels),
        "second_label": label_of(row["second"], labels),
        "difference_percent": percent(row["difference"]),
        "level": aggregate["level"],
        **stated(aggregate, row["task"]),
        **intervals(row),
        **{field: rounded(row[field], 6) for field in P_VALUES},
        "delong_difference_percent": percent(delong.get("difference")),
        "delong_standard_error_percent": percent(delong.get("standard_error")),
        **ends(delong.get("interval"), "delong_"),
        "delong_p_value": rounded(delong.get("p_value"), 6),
    }
    return {field: known.get(field) for field in UNCERTAINTY_FIELDS}
