"""What more training rows are worth: the compared metric of every model by training size, less that of the whole."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from clinical_peft.metrics.comparisons import SIGNIFICANCE
from clinical_peft.metrics.metric import Metric
from clinical_peft.tables.difference_columns import difference_text, interval_columns
from clinical_peft.tables.form import (
    MISSING,
    Labels,
    Record,
    in_order,
    label_of,
    number,
    p_text,
    percent,
    rounded,
    stated,
)
from clinical_peft.tables.study_column import Column, by_task, digits, task_column
from clinical_peft.tables.study_results import Content, StudyResults
from clinical_peft.tables.study_table import Layout, StudyTable
from clinical_peft.tables.study_tasks import task_label, task_order

WHOLE = "all"
DIFFERENCE = "difference_percent"


@dataclass(frozen=True)
class Part:
    """A model on a task with one training size, and what the table's rows share."""

    found: Content
    level: float
    labels: Labels
    comparison: Content

    @property
    def to_whole(self) -> Content:
        """The difference from the whole training split; every value missing for the whole itself."""
        missing = ("difference", "interval", "interval_bca", "interval_total", "standard_error", "degrees_of_freedom")
        difference: Content = self.found["difference"] or dict.fromkeys((*missing, "undefined", "p_value", "p_total"))
        return difference


def parts_in_order(results: StudyResults) -> list[Content]:
    """Rows of the results by task, model and size, the whole split last."""
    content: Content = results.training_size or {"rows": []}
    tasks = task_order(results.tasks)
    models = in_order([row["model"] for row in content["rows"]], results.labels)
    return sorted(
        content["rows"],
        key=lambda row: (tasks.index(row["task"]), models.index(row["model"]), row["size"] is None, row["size"]),
    )


def _rows(results: StudyResults) -> list[Part]:
    level = (results.training_size or {})["level"]
    return [Part(row, level, results.labels, results.comparison) for row in parts_in_order(results)]


def _size_text(value: str, _: Record) -> str:
    return value if value == WHOLE else number(int(value))


def _with_interval(value: float | None, record: Record) -> str:
    """The metric with its interval over patients, and over seeds where there are several."""
    low, high = (record[f"metric_total_{end}_percent"] for end in ("low", "high"))
    return number(value, 1) + ("" if low is None or high is None else f" [{number(low, 1)}, {number(high, 1)}]")


def columns(metric: Metric) -> tuple[Column, ...]:
    """Columns of the table."""
    return (
        task_column(lambda row: row.found["task"]),
        Column("model", lambda row: row.found["model"]),
        Column("label", lambda row: label_of(row.found["model"], row.labels), "Model"),
        Column(
            "train_size",
            lambda row: WHOLE if row.found["size"] is None else str(row.found["size"]),
            "Size",
            _size_text,
            "rows asked for",
        ),
        Column("train_rows", lambda row: row.found["train_rows"], "Rows", digits(0), "mean over seeds"),
        Column("train_patients", lambda row: row.found["train_patients"], "Patients", digits(0), "mean over seeds"),
        Column(
            f"{metric.name}_percent",
            lambda row: percent(row.found["mean"][metric.name]),
            metric.title,
            _with_interval,
        ),
        Column("seeds", lambda row: row.found["mean"]["seeds"]),
        Column("seed_sd_percent", lambda row: percent(row.found["mean"]["seed_sd"])),
        Column("level", lambda row: row.level),
        *(_of_mean(column) for column in interval_columns(lambda row: row.found["mean"])),
        Column(
            DIFFERENCE,
            lambda row: percent(row.to_whole["difference"]),
            "Difference from all",
            lambda value, record: MISSING if value is None else difference_text(value, record),
            "this size minus the whole training split, in percentage points",
        ),
        *interval_columns(lambda row: row.to_whole),
        *(_p_value(name) for name in ("p_value", "p_total")),
        Column(
            "p_holm",
            lambda row: rounded(row.found["p_holm"], 6),
            "p (Holm)",
            lambda value, _: p_text(value),
            "adjusted over the whole table",
        ),
        Column("significant", lambda row: row.found["significant"]),
        *(_stated(name) for name in ("protocol", "cohort_sha256")),
    )


def _of_mean(column: Column) -> Column:
    """A column of the intervals of the metric itself, beside those of the difference."""
    return Column(f"metric_{column.field}", column.value, meaning=column.meaning)


def _p_value(name: str) -> Column:
    return Column(name, lambda row: rounded(row.to_whole[name], 6))


def _stated(name: str) -> Column:
    return Column(name, lambda row: stated(row.comparison, row.found["task"])[name])


def _layout(results: StudyResults, records: Sequence[Record]) -> Layout:
    """A row per record, of the columns that readers see."""
    metric = results.metric
    by_field = {column.field: column for column in columns(metric)}
    sizes = ("train_size", "train_rows", "train_patients")
    shown = [by_field[name] for name in ("task", "label", *sizes, f"{metric.name}_percent", DIFFERENCE, "p_holm")]
    return Layout(
        header=tuple(column.title or "" for column in shown),
        rows=tuple(tuple(column.written(record, None, results.tasks) for column in shown) for record in records),
        bold=frozenset(
            (place, shown.index(by_field[DIFFERENCE])) for place, record in enumerate(records) if record["significant"]
        ),
    )


def _caption(results: StudyResults, _: Sequence[Record]) -> str:
    content: Content = results.training_size or {}
    seeds = " and seeds" if any(row["mean"]["seeds"] > 1 for row in content["rows"]) else ""
    return (
        f"Test {results.metric.title} (%) of every model trained on parts of the training split, and the difference "
        f"from training on all of it, with the {content['level']:.0%} interval over patients{seeds}."
    )


def _notes(results: StudyResults, _: Sequence[Record]) -> Iterator[str]:
    content: Content = results.training_size or {}
    yield (
        "A part holds whole patients until they have so many rows; for one seed, smaller parts lie within larger ones, "
        "and each seed draws patients of its own. Validation and test are the same for all sizes. Rows and Patients "
        f"are means over seeds. Bold: p at most {SIGNIFICANCE:g} after Holm's correction over the table."
    )
    whole = [
        f"{task_label(one['task'], results.tasks)} {number(one['size'])}"
        + ("" if one["train_rows"] is None else f" (of {number(one['train_rows'])} rows)")
        for one in by_task(content["whole"], results.tasks)
    ]
    if whole:
        yield f"Sizes without a row, because the training split is no larger: {'; '.join(whole)}."


TABLE = StudyTable(
    name="training_size",
    place=1,
    section="training_size",
    needs=("training_size", "comparison"),
    columns=columns,
    rows=_rows,
    caption=_caption,
    notes=_notes,
    layout=_layout,
    text_columns=2,
)
