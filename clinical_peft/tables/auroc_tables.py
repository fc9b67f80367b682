"""Tables 3 and 4 of the paper: the test AUROC of each model on each task, with its interval."""

from collections.abc import Mapping, Sequence
from typing import Any

from clinical_peft.metrics.aggregate import MACRO
from clinical_peft.metrics.comparison_records import Comparisons
from clinical_peft.metrics.comparisons import BEST, best_and_tied
from clinical_peft.tables.form import (
    MISSING,
    PAPER_DIFFERENCE,
    TASK_LABELS,
    Labels,
    Record,
    Table,
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
    average_is_row_mean,
    published_auroc,
    published_table,
    row_mean,
)
from clinical_peft.tasks import CONTROL, PAPER_TASKS

AUROC_FIELDS = (
    "model",
    "label",
    "task",
    "auroc_percent",
    "low_percent",
    "high_percent",
    "level",
    "seeds",
    "seed_sd_percent",
    "test_admissions",
    "test_patients",
    "classes_scored",
    "classes",
    "published_percent",
    "difference_percent",
    "published_row_mean_percent",
    "published_average_is_row_mean",
    "protocol",
    "cohort_sha256",
)


def auroc_table(name: str, which: str, aggregate: Mapping[str, Any], labels: Labels) -> Table:
    """Build the table of the models that stand in `which`, main or lora_baselines; see `paper_tables.build_tables`."""
    found = {(row["model"], row["task"]): row for row in aggregate["summaries"]}
    models = [model for model in in_order([key[0] for key in found], labels) if _table_of(model, labels) == which]
    tasks = [*PAPER_TASKS, MACRO, CONTROL]
    level = aggregate["level"]
    marks = best_and_tied(Comparisons.of(aggregate))
    records: list[Record] = []
    rows: list[tuple[str, ...]] = []
    bold = set()
    for model in models:
        line = [_auroc_record(model, task, found.get((model, task)), aggregate, labels) for task in tasks]
        records += line
        seeds = sorted({record["seeds"] for record in line if record["seeds"]})
        cells = [cell for record in line[:-1] for cell in (_auroc_cell(record), _published_cell(record))]
        bold |= {(len(rows), 2 + 2 * place) for place, task in enumerate(tasks) if marks.get((model, task)) == BEST}
        rows.append((line[0]["label"], ", ".join(map(str, seeds)), *cells, _auroc_cell(line[-1])))
    titles = [title for task in tasks[:-1] for title in (_task_title(task, records), PAPER_DIFFERENCE)]
    return Table(
        name=name,
        caption=f"Test AUROC in percent, mean over seeds with its {level:.0%} interval over patients alone, beside "
        f"the paper's Table {3 if which == 'main' else 4}.",
        fields=AUROC_FIELDS,
        records=tuple(records),
        header=("Model", "Seeds", *titles, _task_title(CONTROL, records)),
        rows=tuple(rows),
        notes=_auroc_notes(records, aggregate),
        bold=frozenset(bold),
        row_names=tuple(models),
    )


def _table_of(model: str, labels: Labels) -> str:
    entry = labels.get(model, {})
    return str(entry.get("table") or published_table(entry.get("published") or model) or "main")


def _auroc_record(
    model: str, task: str, found: Mapping[str, Any] | None, aggregate: Mapping[str, Any], labels: Labels
) -> Record:
    found = found or {}
    printed = published_auroc(labels.get(model, {}).get("published") or model) or {}
    low, high = found.get("interval") or (None, None)
    averaged = task == MACRO and bool(printed)
    ours = percent(found.get("auroc"))
    # A mean over other tasks than the published one's is not its counterpart.
    comparable = task != MACRO or set(aggregate["macro_tasks"]) == set(PAPER_TASKS)
    return {
        "model": model,
        "label": label_of(model, labels),
        "task": task,
        "auroc_percent": ours,
        "low_percent": percent(low),
        "high_percent": percent(high),
        "level": aggregate["level"],
        "seeds": found.get("seeds"),
        "seed_sd_percent": percent(found.get("seed_sd")),
        "test_admissions": found.get("n"),
        "test_patients": found.get("patients"),
        "classes_scored": found.get("classes_scored"),
        "classes": found.get("classes"),
        "published_percent": printed.get(task),
        "difference_percent": difference(ours, printed.get(task)) if comparable else None,
        "published_row_mean_percent": rounded(row_mean(printed), 3) if averaged else None,
        "published_average_is_row_mean": average_is_row_mean(printed) if averaged else None,
        **stated(aggregate, task),
    }


def _auroc_cell(record: Record) -> str:
    if record["auroc_percent"] is None:
        return MISSING
    interval = "" if record["low_percent"] is None else f" [{record['low_percent']:.1f}, {record['high_percent']:.1f}]"
    mark = fewer_mark(record["classes_scored"], record["classes"])
    return f"{record['auroc_percent']:.1f}{mark}{interval}"


def _published_cell(record: Record) -> str:
    mark = "*" if record["published_average_is_row_mean"] is False else ""
    ours = None if record["difference_percent"] is None else record["auroc_percent"]
    return beside(ours, record["published_percent"], 2, mark)


def _task_title(task: str, records: Sequence[Record]) -> str:
    sizes = {record["test_admissions"] for record in records if record["task"] == task} - {None}
    return TASK_LABELS[task] + (f" (n = {sizes.pop():,})" if len(sizes) == 1 else "")


def _auroc_notes(records: Sequence[Record], aggregate: Mapping[str, Any]) -> tuple[str, ...]:
    notes = [
        "To published figures of another base or other patients the distance measures nothing. "
        f"Intervals: percentile bootstrap over patients, {aggregate['resamples']:,} resamples, for these trained "
        "models; they leave out what another seed would change. Table uncertainty has intervals over "
        f"{judged_over(aggregate)}, by which cells in bold are judged."
    ]
    fewer = fewer_note((row["task"], row["classes_scored"], row["classes"]) for row in records)
    if fewer:
        notes.append(fewer)
    printed = {record["model"] for record in records}
    counted = (row for row in aggregate["summaries"] if row["model"] in printed and row["task"] != MACRO)
    skipped = sum(row.get("undefined") or 0 for row in counted)
    if skipped:
        notes.append(f"Resamples left out because an AUROC was undefined in them, over all cells: {skipped:,}.")
    if 0 < len(aggregate["macro_tasks"]) < len(PAPER_TASKS):
        named = ", ".join(TASK_LABELS[task] for task in aggregate["macro_tasks"])
        notes.append(
            f"The macro average of this study runs over {named} only; no difference is taken to the paper's, over five."
        )
    wrong = [record for record in records if record["published_average_is_row_mean"] is False]
    if wrong:
        listed = "; ".join(
            f"{row['label']} {row['published_percent']:.2f}, mean of its row {row['published_row_mean_percent']:.2f}"
            for row in wrong
        )
        notes.append(f"* The printed macro average is not the mean of its row: {listed}.")
    return tuple(notes)
