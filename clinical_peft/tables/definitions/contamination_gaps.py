"""What pretraining on the notes of test patients is worth."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clinical_peft.metrics.comparisons import SIGNIFICANCE
from clinical_peft.tables.difference_columns import difference_text, ends_columns
from clinical_peft.tables.form import Record, label_of, p_text, percent, rounded
from clinical_peft.tables.study_column import Column, by_task, digits, task_column
from clinical_peft.tables.study_results import Content, StudyResults
from clinical_peft.tables.study_table import StudyTable
from clinical_peft.tables.study_tasks import task_label, task_order

COMPARISON_LABELS = {
    "carevue_inside": "gain inside the CareVue subset",
    "carevue_outside": "gain outside the CareVue subset",
    "carevue": "gain outside minus gain inside",
    "disjoint": "unfiltered minus disjoint",
}
COUNTS = ("admissions", "patients", "positives")


@dataclass(frozen=True, kw_only=True)
class Gap:
    """A comparison of two models on a task.

    Attributes:
        comparison: One of `COMPARISON_LABELS`.
        shared: What comparisons of the task share: task, seeds, classes, undefined, protocol, cohort_sha256.
        models: The two models.
        labels: Their labels.
        counts: admissions, patients and positives; None where they are hidden.
        values: The metric of both models; None where it is undefined or not shown.
        difference: Second minus first with its intervals; empty where it is undefined.
        level: Coverage of the intervals.
        membership: Where membership of the subset comes from; empty where it plays no part.
    """

    comparison: str
    shared: Content
    models: tuple[str, str]
    labels: tuple[str, str]
    counts: Mapping[str, int | None]
    values: tuple[float | None, float | None]
    difference: Content
    level: float
    membership: Content


def _rows(results: StudyResults) -> Iterator[Gap]:
    contamination: Content = results.contamination or {}
    for row in by_task(contamination["carevue"], results.tasks):
        yield from _of_subset(row, results)
    for row in by_task(contamination["disjoint"], results.tasks):
        values = row[results.metric.name]
        yield _gap(row, "disjoint", ("disjoint", "matched"), row, (values["disjoint"], values["matched"]), results)


def _of_subset(row: Content, results: StudyResults) -> Iterator[Gap]:
    groups, models = row["groups"], ("unadapted", "adapted")
    for name, group in groups.items():
        values = (group["unadapted"], group["adapted"])
        yield _gap(row, f"carevue_{name}", models, {**group, "difference": group["gain"]}, values, results)
    total = {name: _total([group[name] for group in groups.values()]) for name in COUNTS}
    if any(group["admissions"] is None for group in groups.values()):
        total = dict.fromkeys(COUNTS)
    yield _gap(row, "carevue", models, {**total, "difference": row["difference"]}, (None, None), results)


def _total(counts: Sequence[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def _gap(
    row: Content,
    comparison: str,
    models: tuple[str, str],
    found: Content,
    values: tuple[Content | None, Content | None],
    results: StudyResults,
) -> Gap:
    contamination: Content = results.contamination or {}
    first, second = (row[model] for model in models)
    return Gap(
        comparison=comparison,
        shared=row,
        models=(first, second),
        labels=(label_of(first, results.labels), label_of(second, results.labels)),
        counts={name: found[name] for name in COUNTS},
        values=tuple(None if value is None else value["value"] for value in values),  # type: ignore[arg-type]
        difference=found["difference"] or {},
        level=contamination["level"],
        membership={} if comparison == "disjoint" else contamination["membership"],
    )


def _shared(field: str) -> Column:
    return Column(field, lambda row: row.shared[field])


def _count(field: str, title: str | None = None) -> Column:
    return Column(field, lambda row: row.counts[field], title, digits(0))


def _difference(field: str, written: Callable[[Any], Any], meaning: str = "") -> Column:
    return Column(field, lambda row: written(row.difference.get(field)), meaning=meaning)


def _unchanged(value: Any) -> Any:
    return value


def _six_digits(value: float | None) -> float | None:
    return rounded(value, 6)


def _caption(results: StudyResults, records: Sequence[Record]) -> str:
    contamination: Content = results.contamination or {}
    seeds = " and seeds" if any(record["degrees_of_freedom"] for record in records) else ""
    metric = results.metric.title
    return (
        f"What pretraining on the notes of test patients is worth: {metric} gained by pretraining on MIMIC-IV "
        f"inside and outside the CareVue subset of test patients, who are not in MIMIC-IV, and {metric} after "
        "unfiltered pretraining minus that after pretraining without held-out patients "
        f"({contamination['level']:.0%} intervals over patients{seeds}). {_source(contamination['membership'])}"
    )


def _source(membership: Content) -> str:
    if membership["approximate"]:
        return (
            f"Membership is approximated from {membership['source']}: a patient all of whose stays were charted in "
            "CareVue may have come back later and be in MIMIC-IV after all."
        )
    return f"Membership comes from the subset's own {membership['source']}."


def _notes(results: StudyResults, _: Sequence[Record]) -> Iterator[str]:
    contamination: Content = results.contamination or {}
    metric = results.metric.title
    yield (
        f"A difference is the second {metric} minus the first, the mean over seeds, in percentage points: the adapted "
        "model minus the unadapted one, or the model of the unfiltered corpus minus that of the disjoint corpus. The "
        "patients of the CareVue subset are others, of an earlier era, than the rest: models are paired within each "
        "group, the groups are not. The models of the two corpora are paired on the same test patients. A dash stands "
        "where a metric is undefined or "
        f"rests on fewer than {contamination['smallest_cell']} cases; the CSV file says why. Bold: p at most "
        f"{SIGNIFICANCE:g} after Holm's correction over the table."
    )
    parts = []
    for key, where in (("carevue", "inside and outside the subset alike"), ("disjoint", "between the two corpora")):
        counts = {row["task"]: row["classes"] for row in contamination[key] if row["classes"] > 2}
        ordered = [task for task in task_order(results.tasks) if task in counts]
        listed = ", ".join(f"{task_label(task, results.tasks)} {counts[task]}" for task in ordered)
        parts += [f"{listed} {where}"] if listed else []
    if parts:
        yield f"Classes that an {metric} runs over, those that every compared group defines: {'; '.join(parts)}."


TABLE = StudyTable(
    name="contamination_gaps",
    place=2,
    section="gaps",
    needs=("contamination",),
    columns=(
        task_column(lambda row: row.shared["task"]),
        Column("comparison", lambda row: row.comparison, "Comparison", lambda value, _: COMPARISON_LABELS[value]),
        Column("first", lambda row: row.models[0]),
        Column("second", lambda row: row.models[1]),
        Column("first_label", lambda row: row.labels[0]),
        Column("second_label", lambda row: row.labels[1]),
        _shared("seeds"),
        _shared("classes"),
        _count("admissions", "Admissions"),
        _count("patients"),
        _count("positives", "Positives"),
        Column("first_percent", lambda row: percent(row.values[0]), "First (%)", digits(1)),
        Column("second_percent", lambda row: percent(row.values[1]), "Second (%)", digits(1)),
        Column(
            "difference_percent",
            lambda row: percent(row.difference.get("value")),
            "Difference",
            difference_text,
            "second minus first, in percentage points",
        ),
        *ends_columns(lambda row: row.difference.get("interval"), meaning="over patients, percentile"),
        *ends_columns(
            lambda row: row.difference.get("interval_total"),
            "total_",
            meaning="over patients, and seeds where there are several",
        ),
        Column("level", lambda row: row.level),
        Column("standard_error_percent", lambda row: percent(row.difference.get("standard_error"))),
        _difference("degrees_of_freedom", rounded, "empty when infinite"),
        _difference("p_total", _six_digits),
        Column(
            "p_holm",
            lambda row: _six_digits(row.difference.get("p_holm")),
            "p (Holm)",
            lambda value, _: p_text(value),
            "adjusted over the whole table",
        ),
        _difference("significant", _unchanged),
        _difference("undefined_resamples", _unchanged),
        Column("membership", lambda row: row.membership.get("source")),
        Column("membership_approximate", lambda row: row.membership.get("approximate")),
        _shared("undefined"),
        _shared("protocol"),
        _shared("cohort_sha256"),
    ),
    rows=_rows,
    shown=(
        *("task", "comparison", "admissions", "positives", "first_percent", "second_percent", "difference_percent"),
        "p_holm",
    ),
    caption=_caption,
    notes=_notes,
    text_columns=2,
    bold=lambda record: "difference_percent" if record["significant"] else None,
)
