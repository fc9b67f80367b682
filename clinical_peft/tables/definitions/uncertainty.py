"""Every model's compared metric and every pair's difference, with all intervals, and which models lead."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from clinical_peft.metrics.aggregate import MACRO
from clinical_peft.metrics.comparison_records import Comparisons
from clinical_peft.metrics.comparisons import BEST, SIGNIFICANCE, TIED, best_and_tied
from clinical_peft.metrics.metric import Metric
from clinical_peft.tables.difference_columns import ends_columns, interval_columns
from clinical_peft.tables.form import (
    MISSING,
    Labels,
    Record,
    in_order,
    judged_over,
    label_of,
    percent,
    rounded,
    stated,
)
from clinical_peft.tables.study_column import Column
from clinical_peft.tables.study_results import Content, StudyResults
from clinical_peft.tables.study_table import Layout, StudyTable
from clinical_peft.tables.study_tasks import task_label, task_order

AVERAGE = "The macro average is tested beside its parts. "
PATIENTS, PATIENTS_AND_SEEDS = "patients", "patients and seeds"
P_VALUES = {
    "p_value": "over patients",
    "p_holm": "p_value adjusted over the pairs of the task",
    "p_total": "over patients, and seeds where there are several",
    "p_holm_table": "p_total adjusted over the whole comparison",
}


@dataclass(frozen=True, kw_only=True)
class Row:
    """A model on a task, or a pair of models on it, second minus first.

    Attributes:
        kind: `model` or `difference`.
        group: Comparison that the models stand in, or None.
        first: The model, or the first of the pair.
        second: The second of the pair, or None.
        found: Its summary, or what `clinical_peft.metrics.comparisons.compare_pair` returned.
        results: The study's results.
        delong: DeLong's test of a pair on a binary task; empty without one.
    """

    kind: str
    group: str | None
    first: str
    second: str | None = None
    found: Content
    results: StudyResults
    delong: Content = field(default_factory=dict)

    def label(self, model: str | None) -> str | None:
        """The label of one of the models."""
        return None if model is None else label_of(model, self.results.labels)


def _rows(results: StudyResults) -> Iterator[Row]:
    comparison = results.comparison
    found = {(row["model"], row["task"]): row for row in comparison["summaries"]}
    tasks = _tasks(results)
    for group, models in _members(comparison, results.labels).items():
        for model in models:
            for task in tasks:
                if (model, task) in found:
                    yield Row(kind="model", group=group, first=model, found=found[model, task], results=results)
    for row in comparison["differences"]:
        yield Row(
            kind="difference",
            group=row["group"],
            first=row["first"],
            second=row["second"],
            found=row,
            results=results,
            delong=row["delong"] or {},
        )


def _tasks(results: StudyResults) -> list[str]:
    present = {row["task"] for row in results.comparison["summaries"]}
    return [task for task in task_order(results.tasks) if task in present]


def _members(comparison: Content, labels: Labels) -> dict[str | None, list[str]]:
    """Models by the comparison that they stand in, those that are compared with none last, under None."""
    members: dict[str | None, set[str]] = defaultdict(set)
    for row in comparison["differences"]:
        members[row["group"]] |= {row["first"], row["second"]}
    alone = {row["model"] for row in comparison["summaries"]} - set().union(*members.values())
    if alone:
        members[None] = alone
    return {group: in_order(sorted(models), labels) for group, models in members.items()}


def columns(metric: Metric) -> tuple[Column, ...]:
    """Columns of the table."""
    return (
        Column("kind", lambda row: row.kind),
        Column("group", lambda row: row.group),
        Column("task", lambda row: row.found["task"]),
        Column("first", lambda row: row.first),
        Column("second", lambda row: row.second),
        Column("first_label", lambda row: row.label(row.first)),
        Column("second_label", lambda row: row.label(row.second)),
        Column(f"{metric.name}_percent", lambda row: percent(row.found.get(metric.name)), meaning="of a model"),
        Column(
            "difference_percent",
            lambda row: percent(row.found.get("difference")),
            meaning="of a pair: second minus first, in percentage points",
        ),
        Column("seeds", lambda row: row.found.get("seeds")),
        Column("seed_sd_percent", lambda row: percent(row.found.get("seed_sd"))),
        Column("level", lambda row: row.results.comparison["level"]),
        *interval_columns(lambda row: row.found),
        *(_p_value(name) for name in P_VALUES),
        Column("significant", lambda row: row.found.get("significant")),
        Column("delong_difference_percent", lambda row: percent(row.delong.get("difference"))),
        Column("delong_standard_error_percent", lambda row: percent(row.delong.get("standard_error"))),
        *ends_columns(lambda row: row.delong.get("interval"), "delong_"),
        Column("delong_p_value", lambda row: rounded(row.delong.get("p_value"), 6)),
        Column("protocol", lambda row: stated(row.results.comparison, row.found["task"])["protocol"]),
        Column("cohort_sha256", lambda row: stated(row.results.comparison, row.found["task"])["cohort_sha256"]),
    )


def _p_value(name: str) -> Column:
    return Column(name, lambda row: rounded(row.found.get(name), 6), meaning=P_VALUES[name])


def _layout(results: StudyResults, _: Sequence[Record]) -> Layout:
    """A row per model and kind of interval, with a column per task."""
    comparison, metric = results.comparison, results.metric.name
    found = {(row["model"], row["task"]): row for row in comparison["summaries"]}
    tasks = _tasks(results)
    marks = best_and_tied(Comparisons.of(comparison, metric=results.metric.name))
    rows: list[tuple[str, ...]] = []
    bold = set()
    for group, models in _members(comparison, results.labels).items():
        for model in models:
            line = {task: found[model, task] for task in tasks if (model, task) in found}
            over = [PATIENTS, PATIENTS_AND_SEEDS] if any(row["seeds"] > 1 for row in line.values()) else [PATIENTS]
            for kind in over:
                leads = (place for place, task in enumerate(tasks) if marks.get((model, task)) == BEST)
                bold |= {(len(rows), 3 + place) for place in leads}
                cells = [_cell(line.get(task), metric, kind, marks.get((model, task))) for task in tasks]
                rows.append((group or MISSING, label_of(model, results.labels), kind, *cells))
    header = ("Compared in", "Model", "Interval over", *(task_label(task, results.tasks) for task in tasks))
    return Layout(header, tuple(rows), frozenset(bold))


def _cell(found: Content | None, metric: str, kind: str, mark: str | None) -> str:
    if found is None or found[metric] is None:
        return MISSING
    interval = found["interval"] if kind == PATIENTS else found["interval_total"]
    text = f"{100 * found[metric]:.1f}{_printed(interval)}"
    if kind == PATIENTS_AND_SEEDS and found["seed_sd"] is not None:
        text += f" ±{100 * found['seed_sd']:.1f}"
    return f"{text}{' =' if mark == TIED else ''}"


def _printed(interval: Sequence[float] | None) -> str:
    return "" if interval is None else f" [{100 * interval[0]:.1f}, {100 * interval[1]:.1f}]"


def _caption(results: StudyResults, _: Sequence[Record]) -> str:
    several = judged_over(results.comparison) == PATIENTS_AND_SEEDS
    both = ", and over patients and seeds with ± the standard deviation over seeds" if several else ""
    return (
        f"Test {results.metric.title} in percent with its {results.comparison['level']:.0%} interval over patients "
        f"alone{both}; and which models lead."
    )


def _tested(results: StudyResults) -> str:
    """What else the CSV file holds of the pairs."""
    return (
        ", and DeLong's test on binary tasks" if any(row["delong"] for row in results.comparison["differences"]) else ""
    )


def _notes(results: StudyResults, _: Sequence[Record]) -> tuple[str, ...]:
    has_average = MACRO in task_order(results.tasks)
    return (
        "Bold: significantly above every other model of its comparison. =: the highest, and those that do not "
        f"differ significantly from it. Significant: p at most {SIGNIFICANCE:g} after Holm's correction over all pairs "
        "and tasks of a comparison, of the variance over paired resamples of patients and, where there are several, "
        f"that over seeds, for which the models of a task are pooled. {AVERAGE if has_average else ''}"
        "Intervals over patients are percentiles of resamples; those over patients and seeds are Student's, "
        "about the mean over seeds. "
        f"The CSV file holds every model and every pair with all intervals, BCa among them{_tested(results)}.",
    )


TABLE = StudyTable(
    name="uncertainty",
    place=1,
    section="uncertainty",
    needs=("comparison",),
    columns=columns,
    rows=_rows,
    caption=_caption,
    notes=_notes,
    layout=_layout,
    text_columns=3,
)
