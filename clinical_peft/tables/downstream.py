"""The compared metric of each model on each task, on test, with its interval: beside Tables 3 and 4 of the paper."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from clinical_peft.metrics.aggregate import MACRO
from clinical_peft.metrics.comparison_records import Comparisons
from clinical_peft.metrics.comparisons import BEST, best_and_tied
from clinical_peft.metrics.metric import Metric
from clinical_peft.tables.form import (
    MISSING,
    PAPER_DIFFERENCE,
    Labels,
    Record,
    beside,
    difference,
    fewer_mark,
    fewer_note,
    in_order,
    judged_over,
    label_of,
    percent,
    rounded,
    stated,
)
from clinical_peft.tables.published import (
    PUBLISHED_METRIC,
    average_is_row_mean,
    published_auroc,
    published_table,
    row_mean,
)
from clinical_peft.tables.study_column import Column
from clinical_peft.tables.study_results import Content, StudyResults
from clinical_peft.tables.study_table import Layout, StudyTable
from clinical_peft.tables.study_tasks import listed_labels, task_label, task_order
from clinical_peft.tasks import PAPER_TASKS

PRINTED = (*PAPER_TASKS, MACRO)


@dataclass(frozen=True)
class ModelOnTask:
    """A model on a task: its summary, empty where it was not trained, and the published row, empty without one."""

    model: str
    task: str
    summary: Content
    published: Content
    results: StudyResults

    @property
    def ours(self) -> float | None:
        """Mean over seeds, in percent."""
        return percent(self.summary.get(self.results.metric.name))

    def end(self, which: int) -> float | None:
        """An end of the interval over patients, in percent."""
        return percent((self.summary.get("interval") or (None, None))[which])

    @property
    def difference(self) -> float | None:
        """Ours less the published one, where they are means over the same tasks."""
        comparable = self.task != MACRO or set(self.results.comparison["macro_tasks"]) == set(PAPER_TASKS)
        return difference(self.ours, self.published.get(self.task)) if comparable else None

    def of_average(self, value: Callable[[Any], Any]) -> Any:
        """A value of the published row, where this is its macro average."""
        return value(self.published) if self.task == MACRO and MACRO in self.published else None


def columns(metric: Metric) -> tuple[Column, ...]:
    """Columns of both tables."""
    return (
        Column("model", lambda row: row.model),
        Column("label", lambda row: label_of(row.model, row.results.labels)),
        Column("task", lambda row: row.task),
        Column(f"{metric.name}_percent", lambda row: row.ours, meaning="mean over seeds"),
        Column("low_percent", lambda row: row.end(0), meaning="interval of the mean over patients"),
        Column("high_percent", lambda row: row.end(1), meaning="interval of the mean over patients"),
        Column("level", lambda row: row.results.comparison["level"]),
        Column("seeds", lambda row: row.summary.get("seeds")),
        Column("seed_sd_percent", lambda row: percent(row.summary.get("seed_sd"))),
        Column("test_admissions", lambda row: row.summary.get("n")),
        Column("test_patients", lambda row: row.summary.get("patients")),
        Column("classes_scored", lambda row: row.summary.get("classes_scored")),
        Column("classes", lambda row: row.summary.get("classes")),
        Column("published_percent", lambda row: row.published.get(row.task), is_published=True),
        Column(
            "difference_percent",
            lambda row: row.difference,
            meaning="ours less the published one; empty for a macro average over other than the paper's tasks",
            is_published=True,
        ),
        Column(
            "published_row_mean_percent",
            lambda row: row.of_average(lambda row: rounded(row_mean(row), 3)),
            is_published=True,
        ),
        Column("published_average_is_row_mean", lambda row: row.of_average(average_is_row_mean), is_published=True),
        Column("protocol", lambda row: stated(row.results.comparison, row.task)["protocol"]),
        Column("cohort_sha256", lambda row: stated(row.results.comparison, row.task)["cohort_sha256"]),
    )


def downstream_table(name: str, group: str, *, place: int, number: int) -> StudyTable:
    """Declare the table of a group of models.

    Args:
        name: The table's name.
        group: `main` or `lora_baselines`; see `StudyResults.labels`.
        place: Order in the report.
        number: Number of the paper's table.
    """

    def rows(results: StudyResults) -> Iterator[ModelOnTask]:
        found = {(row["model"], row["task"]): row for row in results.comparison["summaries"]}
        for model in in_order([model for model, _ in found], results.labels):
            if _group_of(model, results.labels) == group:
                for task in task_order(results.printed_tasks):
                    yield ModelOnTask(model, task, found.get((model, task), {}), _published(model, results), results)

    return StudyTable(
        name=name,
        place=place,
        section="result",
        needs=("comparison",),
        columns=columns,
        rows=rows,
        caption=lambda results, _: (
            f"Test {results.metric.title} in percent, mean over seeds with its "
            f"{results.comparison['level']:.0%} interval over patients alone"
            + (f", beside the paper's Table {number}." if _shows_published(results) else ".")
        ),
        notes=_notes,
        layout=_layout,
        run="group/{}",
    )


def _group_of(model: str, labels: Labels) -> str:
    entry = labels.get(model, {})
    return str(entry.get("table") or published_table(entry.get("published") or model) or "main")


def _is_beside_paper(results: StudyResults) -> bool:
    """Whether the paper's values may stand beside the study's, which are of the same metric."""
    return results.is_beside_paper and results.metric.name == PUBLISHED_METRIC


def _shows_published(results: StudyResults) -> bool:
    """Whether readers see a published row beside one of the study's."""
    return _is_beside_paper(results) and results.shows_published


def _published(model: str, results: StudyResults) -> Content:
    """The published row of a model, by task; empty without one."""
    if not _is_beside_paper(results):
        return {}
    row = published_auroc(results.labels.get(model, {}).get("published") or model) or {}
    # An average over other tasks than the paper's stands beside none.
    own = {task for task in results.comparison["macro_tasks"] if task not in PAPER_TASKS}
    return {task: value for task, value in row.items() if task != MACRO} if own else row


def _layout(results: StudyResults, records: Sequence[Record]) -> Layout:
    """A row per model, with a column per task and behind it the published one, if the paper has the task."""
    titles = ["Model", "Seeds"]
    places = {}
    ours = f"{results.metric.name}_percent"
    found = {record["task"] for record in records if record[ours] is not None}
    is_beside = _shows_published(results)
    tasks = [task for task in task_order(results.printed_tasks) if is_beside or task in found]
    printed = PRINTED if is_beside and set(PAPER_TASKS) <= set(tasks) else ()
    for task in tasks:
        places[task] = len(titles)
        title = _with_size(task_label(task, results.printed_tasks), task, records)
        titles += [title, *([PAPER_DIFFERENCE] if task in printed else [])]
    marks = best_and_tied(Comparisons.of(results.comparison, metric=results.metric.name))
    rows: list[tuple[str, ...]] = []
    bold = set()
    models = list(dict.fromkeys(record["model"] for record in records))
    for model in models:
        line = [record for record in records if record["model"] == model]
        seeds = sorted({record["seeds"] for record in line if record["seeds"]})
        cells = []
        for record in (record for record in line if record["task"] in places):
            published = _published_cell(record, ours) if results.is_of_paper(model) else MISSING
            cells += [_cell(record, ours), *([published] if record["task"] in printed else [])]
        bold |= {(len(rows), places[task]) for task in tasks if marks.get((model, task)) == BEST}
        rows.append((line[0]["label"], ", ".join(map(str, seeds)), *cells))
    return Layout(tuple(titles), tuple(rows), frozenset(bold), tuple(models))


def _cell(record: Record, ours: str) -> str:
    if record[ours] is None:
        return MISSING
    interval = "" if record["low_percent"] is None else f" [{record['low_percent']:.1f}, {record['high_percent']:.1f}]"
    mark = fewer_mark(record["classes_scored"], record["classes"])
    return f"{record[ours]:.1f}{mark}{interval}"


def _published_cell(record: Record, ours: str) -> str:
    mark = "*" if record["published_average_is_row_mean"] is False else ""
    return beside(None if record["difference_percent"] is None else record[ours], record["published_percent"], 2, mark)


def _with_size(label: str, task: str, records: Sequence[Record]) -> str:
    sizes = {record["test_admissions"] for record in records if record["task"] == task} - {None}
    return label + (f" (n = {sizes.pop():,})" if len(sizes) == 1 else "")


def _notes(results: StudyResults, records: Sequence[Record]) -> Iterator[str]:
    comparison = results.comparison
    yield (
        f"Intervals: percentile bootstrap over patients, "
        f"{comparison['resamples']:,} resamples, for these trained models; they leave out what another seed would "
        f"change. Table uncertainty has intervals over {judged_over(comparison)}, by which cells in bold are judged."
    )
    counts = [(row["task"], row["classes_scored"], row["classes"]) for row in records]
    if fewer := fewer_note(counts, results.printed_tasks):
        yield fewer
    models = {record["model"] for record in records}
    counted = (row for row in comparison["summaries"] if row["model"] in models and row["task"] != MACRO)
    if skipped := sum(row.get("undefined") or 0 for row in counted):
        metric = results.metric.title
        yield f"Resamples left out because an {metric} was undefined in them, over all cells: {skipped:,}."
    macro = comparison["macro_tasks"]
    if macro and _shows_published(results) and set(macro) != set(PAPER_TASKS):
        only = " only" if set(macro) <= set(PAPER_TASKS) else ""
        yield (
            f"The macro average of this study runs over {listed_labels(macro, results.tasks)}{only}; no difference is "
            "taken to the paper's, over five."
        )
    wrong = [record for record in records if record.get("published_average_is_row_mean") is False]
    if wrong := [record for record in wrong if results.is_of_paper(record["model"])]:
        listed = "; ".join(
            f"{row['label']} {row['published_percent']:.2f}, mean of its row {row['published_row_mean_percent']:.2f}"
            for row in wrong
        )
        yield f"* The printed macro average is not the mean of its row: {listed}."
