"""The paper's four tables with a study's figures, each beside the published one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clinical_peft.evaluation.aggregate import MACRO
from clinical_peft.evaluation.comparisons import BEST, best_and_tied
from clinical_peft.evaluation.published import (
    PAPER_TASKS,
    average_is_row_mean,
    published_adapter,
    published_auroc,
    published_statistics,
    published_table,
    row_mean,
)

Labels = Mapping[str, Mapping[str, Any]]
Record = dict[str, Any]

MISSING = "–"
EMPTY = "This study has no such row."
PAPER = "paper"
PAPER_DIFFERENCE = "paper (difference)"
CONTROL = "control"
TASK_LABELS = {
    "pmv": "PMV",
    "mortality": "MOR",
    "los": "LOS",
    "diagnoses": "DIAG",
    "procedures": "PROC",
    MACRO: "Macro average",
    CONTROL: "Control",
}

STATISTICS_FIELDS = ("classes", "multilabel", "train", "validation", "test")
COUNTED_FIELDS = ("classes", "train", "validation", "test")
EXTRA_STATISTICS_FIELDS = ("patients", "prevalence", "mean_cardinality", "mean_words")
ADAPTER_FIELDS = (
    "adapter",
    "label",
    "base",
    "method",
    "trainable_parameters",
    "trainable_percent",
    "train_perplexity",
    "test_perplexity_before",
    "test_perplexity_after",
    "train_seconds",
    "tokens_per_second",
    "published_trainable_parameters",
    "published_trainable_percent",
    "published_train_perplexity",
    "published_test_perplexity",
    "published_train_seconds",
    "general_perplexity_before",
    "general_perplexity_after",
    "difference_trainable_parameters",
    "difference_trainable_percent",
    "difference_train_perplexity",
    "difference_test_perplexity",
)
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
    "published_percent",
    "difference_percent",
    "published_row_mean_percent",
    "published_average_is_row_mean",
)


@dataclass(frozen=True)
class Table:
    """A table in two forms.

    Attributes:
        name: File stem.
        caption: One sentence that says what the figures are.
        fields: Columns of the machine-readable form.
        records: Its rows; a missing value is None.
        header: Column titles of the form for readers.
        rows: Its cells as text; a missing value is an en dash.
        notes: Remarks to print below.
        text_columns: How many columns from the left hold text rather than figures.
        bold: Row and column of the cells to print in bold.
        row_names: The model or adapter of each of `rows`, by its name in the config; empty where rows are neither.
    """

    name: str
    caption: str
    fields: tuple[str, ...]
    records: tuple[Record, ...]
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    text_columns: int = 1
    bold: frozenset[tuple[int, int]] = frozenset()
    row_names: tuple[str, ...] = ()


def build_tables(
    *,
    statistics: Sequence[Mapping[str, Any]],
    perplexities: Sequence[Mapping[str, Any]],
    aggregate: Mapping[str, Any],
    labels: Labels,
) -> dict[str, Table]:
    """Build the four tables.

    Machine-readable columns (CSV), one row per ...:
        dataset_statistics, per task: task, classes, multilabel, train, validation, test (admissions), patients,
            prevalence, mean_cardinality, mean_words, the first five with the prefix `published_`, and for the four
            numbers among them ours minus the published ones with the prefix `difference_`.
        domain_adaptation, per adapter: adapter, label, base, method, trainable_parameters, trainable_percent,
            train_perplexity, test_perplexity_before, test_perplexity_after, train_seconds, tokens_per_second,
            published_trainable_parameters, published_trainable_percent, published_train_perplexity,
            published_test_perplexity, published_train_seconds, of general text general_perplexity_before and
            general_perplexity_after, and for the first four published ones `difference_...`, ours less the published.
        downstream_main and downstream_lora_baselines, per model and task (the paper's five, macro_average, control):
            model, label, task, auroc_percent (mean over seeds), low_percent, high_percent (interval of that mean over
            patients, at `level`), level, seeds, seed_sd_percent, test_admissions, test_patients, classes_scored,
            published_percent, difference_percent (ours less the published one), and for macro_average
            published_row_mean_percent and published_average_is_row_mean.
    Only columns that end in `_seconds` or `_per_second` differ between two runs of the same study.

    Args:
        statistics: One mapping per task: task, classes, multilabel, train, validation, test, and where known patients,
            prevalence, mean_cardinality, mean_words.
        perplexities: Content of the perplexity files.
        aggregate: What `clinical_peft.evaluation.aggregate.aggregate` returned.
        labels: By adapter or model, in the order of printing: `label`; `published`, the row of the paper's table,
            written `base/method` for an adapter (optional, defaults to a model's name); `table`, `main` or
            `lora_baselines` (optional, defaults to where the published row stands, else `main`).

    Returns:
        dataset_statistics, domain_adaptation, downstream_main and downstream_lora_baselines.
    """
    return {
        "dataset_statistics": _statistics_table(statistics),
        "domain_adaptation": _adapter_table(perplexities, labels),
        "downstream_main": _auroc_table("downstream_main", "main", aggregate, labels),
        "downstream_lora_baselines": _auroc_table("downstream_lora_baselines", "lora_baselines", aggregate, labels),
    }


def label_of(name: str, labels: Labels) -> str:
    """The text that stands for a model or adapter in tables and figures."""
    return str(labels.get(name, {}).get("label") or name)


def in_order(names: Sequence[str], labels: Labels) -> list[str]:
    """Names in the order of `labels`; those without a label last, by name."""
    place = {name: position for position, name in enumerate(labels)}
    return sorted(set(names), key=lambda name: (place.get(name, len(place)), name))


def number(value: float | None, digits: int = 0) -> str:
    """A number with thousands separators, or an en dash."""
    return MISSING if value is None else f"{value:,.{digits}f}"


def _rounded(value: float | None, digits: int = 4) -> float | None:
    return None if value is None else round(value, digits)


def _yes_no(value: bool | None) -> str:
    return MISSING if value is None else "yes" if value else "no"


def _statistics_table(statistics: Sequence[Mapping[str, Any]]) -> Table:
    order = list(TASK_LABELS)
    records = []
    for row in sorted(statistics, key=lambda row: order.index(row["task"])):
        ours = {field: row[field] for field in STATISTICS_FIELDS}
        ours |= {field: _rounded(row.get(field)) for field in EXTRA_STATISTICS_FIELDS}
        printed = published_statistics(row["task"]) or {}
        published_fields = {f"published_{field}": printed.get(field) for field in STATISTICS_FIELDS}
        differences = {
            f"difference_{field}": row[field] - printed[field] if printed else None for field in COUNTED_FIELDS
        }
        records.append({"task": row["task"], **ours, **published_fields, **differences})
    rows = [
        (
            TASK_LABELS[record["task"]],
            _yes_no(record["multilabel"]),
            *(cell for field in COUNTED_FIELDS for cell in _counted_cells(record, field)),
        )
        for record in records
    ]
    titles = [title for field in ("Classes", "Train", "Validation", "Test") for title in (field, PAPER_DIFFERENCE)]
    return Table(
        name="dataset_statistics",
        caption="Classes and admissions of each task, beside those of the paper's Table 1.",
        fields=(
            "task",
            *STATISTICS_FIELDS,
            *EXTRA_STATISTICS_FIELDS,
            *(f"published_{field}" for field in STATISTICS_FIELDS),
            *(f"difference_{field}" for field in COUNTED_FIELDS),
        ),
        records=tuple(records),
        header=("Task", "Multilabel", *titles),
        rows=tuple(rows),
    )


def _counted_cells(record: Record, field: str) -> tuple[str, str]:
    return number(record[field]), beside(record[field], record[f"published_{field}"])


def _adapter_record(perplexity: Mapping[str, Any], labels: Labels) -> Record:
    name, method = perplexity["adapter"], perplexity["method"]
    before, after = perplexity["perplexity"]["before"], perplexity["perplexity"]["after"]
    printed = published_adapter(labels.get(name, {}).get("published")) or {}
    general = (perplexity.get("general") or {}).get("perplexity", {})
    record = {
        "adapter": name,
        "label": label_of(name, labels),
        "base": perplexity["base"],
        "method": method["type"] if isinstance(method, Mapping) else method,
        "trainable_parameters": perplexity["trainable_parameters"],
        "trainable_percent": _rounded(
            100 * perplexity["trainable_parameters"] / perplexity["total_parameters"], digits=6
        ),
        "train_perplexity": _rounded(after.get("train")),
        "test_perplexity_before": _rounded(before.get("test")),
        "test_perplexity_after": _rounded(after.get("test")),
        "train_seconds": _rounded(perplexity.get("seconds"), 1),
        "tokens_per_second": _rounded(perplexity.get("tokens_per_second"), 1),
        "published_trainable_parameters": printed.get("trainable_parameters"),
        "published_trainable_percent": printed.get("percent"),
        "published_train_perplexity": printed.get("train_perplexity"),
        "published_test_perplexity": printed.get("test_perplexity"),
        "published_train_seconds": printed.get("train_seconds"),
        "general_perplexity_before": _rounded(general.get("before")),
        "general_perplexity_after": _rounded(general.get("after")),
    }
    for field, ours in (
        ("trainable_parameters", "trainable_parameters"),
        ("trainable_percent", "trainable_percent"),
        ("train_perplexity", "train_perplexity"),
        ("test_perplexity", "test_perplexity_after"),
    ):
        record[f"difference_{field}"] = _difference(record[ours], record[f"published_{field}"])
    return record


def _adapter_cell(record: Record, field: str, digits: int) -> str:
    ours = {"published_test_perplexity": "test_perplexity_after"}.get(field, field.removeprefix("published_"))
    return beside(record[ours], record[field], digits) if ours != field else number(record[field], digits)


def _adapter_table(perplexities: Sequence[Mapping[str, Any]], labels: Labels) -> Table:
    by_name = {perplexity["adapter"]: perplexity for perplexity in perplexities}
    records = [_adapter_record(by_name[name], labels) for name in in_order(list(by_name), labels)]
    shown = (
        ("trainable_parameters", 0, "Trainable"),
        ("published_trainable_parameters", 0, PAPER_DIFFERENCE),
        ("trainable_percent", 4, "%"),
        ("published_trainable_percent", 4, PAPER_DIFFERENCE),
        ("train_perplexity", 3, "Train perplexity"),
        ("published_train_perplexity", 3, PAPER_DIFFERENCE),
        ("test_perplexity_before", 3, "Test before"),
        ("test_perplexity_after", 3, "Test after"),
        ("published_test_perplexity", 3, PAPER_DIFFERENCE),
        ("train_seconds", 0, "Train time (s)"),
        ("published_train_seconds", 0, PAPER_DIFFERENCE),
        ("tokens_per_second", 0, "Tokens/s"),
        ("general_perplexity_before", 3, "General text before"),
        ("general_perplexity_after", 3, "General text after"),
    )
    rows = [
        (record["base"], record["label"], *(_adapter_cell(record, field, digits) for field, digits, _ in shown))
        for record in records
    ]
    return Table(
        name="domain_adaptation",
        caption="Perplexity of the clinical notes before and after training each adapter, beside the paper's Table 2.",
        fields=ADAPTER_FIELDS,
        records=tuple(records),
        header=("Base", "Adapter", *(title for _, _, title in shown)),
        rows=tuple(rows),
        notes=(
            "Perplexities are per token of each base's own tokenizer: rows of different bases, and the published ones, "
            "do not share a unit.",
            "General text is held-out text that is not clinical: a rise there is forgetting. A dash: not measured, as "
            "the study names no such text.",
        ),
        text_columns=2,
        row_names=tuple(record["adapter"] for record in records),
    )


def _table_of(model: str, labels: Labels) -> str:
    entry = labels.get(model, {})
    return str(entry.get("table") or published_table(entry.get("published") or model) or "main")


def _auroc_record(model: str, task: str, found: Mapping[str, Any] | None, level: float, labels: Labels) -> Record:
    found = found or {}
    printed = published_auroc(labels.get(model, {}).get("published") or model) or {}
    low, high = found.get("interval") or (None, None)
    averaged = task == MACRO and bool(printed)
    return {
        "model": model,
        "label": label_of(model, labels),
        "task": task,
        "auroc_percent": _percent(found.get("auroc")),
        "low_percent": _percent(low),
        "high_percent": _percent(high),
        "level": level,
        "seeds": found.get("seeds"),
        "seed_sd_percent": _percent(found.get("seed_sd")),
        "test_admissions": found.get("n"),
        "test_patients": found.get("patients"),
        "classes_scored": found.get("classes_scored"),
        "published_percent": printed.get(task),
        "difference_percent": _difference(_percent(found.get("auroc")), printed.get(task)),
        "published_row_mean_percent": _rounded(row_mean(printed), 3) if averaged else None,
        "published_average_is_row_mean": average_is_row_mean(printed) if averaged else None,
    }


def _difference(ours: float | None, published: float | None) -> float | None:
    return None if ours is None or published is None else _rounded(ours - published)


def beside(ours: float | None, published: float | None, digits: int = 0, mark: str = "") -> str:
    """A published figure, a mark, and in brackets ours less the published one; an en dash without a published one."""
    if published is None:
        return MISSING
    difference = _difference(ours, published)
    signed = "" if difference is None else f" ({difference:+,.{digits}f})".replace("-", "−")
    return f"{number(published, digits)}{mark}{signed}"


def _percent(fraction: float | None) -> float | None:
    return _rounded(None if fraction is None else 100 * fraction)


def _auroc_cell(record: Record) -> str:
    if record["auroc_percent"] is None:
        return MISSING
    interval = "" if record["low_percent"] is None else f" [{record['low_percent']:.1f}, {record['high_percent']:.1f}]"
    return f"{record['auroc_percent']:.1f}{interval}"


def _published_cell(record: Record) -> str:
    mark = "*" if record["published_average_is_row_mean"] is False else ""
    return beside(record["auroc_percent"], record["published_percent"], 2, mark)


def _auroc_table(name: str, which: str, aggregate: Mapping[str, Any], labels: Labels) -> Table:
    found = {(row["model"], row["task"]): row for row in aggregate["summaries"]}
    models = [model for model in in_order([key[0] for key in found], labels) if _table_of(model, labels) == which]
    tasks = [*PAPER_TASKS, MACRO, CONTROL]
    level = aggregate["level"]
    marks = best_and_tied(aggregate)
    records: list[Record] = []
    rows: list[tuple[str, ...]] = []
    bold = set()
    for model in models:
        line = [_auroc_record(model, task, found.get((model, task)), level, labels) for task in tasks]
        records += line
        seeds = sorted({record["seeds"] for record in line if record["seeds"]})
        cells = [cell for record in line[:-1] for cell in (_auroc_cell(record), _published_cell(record))]
        bold |= {(len(rows), 2 + 2 * place) for place, task in enumerate(tasks) if marks.get((model, task)) == BEST}
        rows.append((line[0]["label"], ", ".join(map(str, seeds)), *cells, _auroc_cell(line[-1])))
    titles = [title for task in tasks[:-1] for title in (_task_title(task, records), PAPER_DIFFERENCE)]
    return Table(
        name=name,
        caption=f"Test AUROC in percent, mean over seeds with its {level:.0%} interval over patients, beside the "
        f"paper's Table {3 if which == 'main' else 4}.",
        fields=AUROC_FIELDS,
        records=tuple(records),
        header=("Model", "Seeds", *titles, _task_title(CONTROL, records)),
        rows=tuple(rows),
        notes=_auroc_notes(records, aggregate),
        bold=frozenset(bold),
        row_names=tuple(models),
    )


def _task_title(task: str, records: Sequence[Record]) -> str:
    sizes = {record["test_admissions"] for record in records if record["task"] == task} - {None}
    return TASK_LABELS[task] + (f" (n = {sizes.pop():,})" if len(sizes) == 1 else "")


def _auroc_notes(records: Sequence[Record], aggregate: Mapping[str, Any]) -> tuple[str, ...]:
    notes = [
        "Published figures come from other bases and other patients: the distance to them measures nothing. "
        f"Intervals: percentile bootstrap over patients, {aggregate['resamples']:,} resamples."
    ]
    skipped = sum(row["undefined"] for row in aggregate["summaries"] if row["task"] != MACRO)
    if skipped:
        notes.append(f"Resamples left out because an AUROC was undefined in them, over all cells: {skipped:,}.")
    if 0 < len(aggregate["macro_tasks"]) < len(PAPER_TASKS):
        named = ", ".join(TASK_LABELS[task] for task in aggregate["macro_tasks"])
        notes.append(f"The macro average of this study runs over {named} only.")
    wrong = [record for record in records if record["published_average_is_row_mean"] is False]
    if wrong:
        listed = "; ".join(
            f"{row['label']} {row['published_percent']:.2f}, mean of its row {row['published_row_mean_percent']:.2f}"
            for row in wrong
        )
        notes.append(f"* The printed macro average is not the mean of its row: {listed}.")
    return tuple(notes)
