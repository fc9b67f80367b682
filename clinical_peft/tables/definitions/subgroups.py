"""Differences between groups of patients: the compared metric of each, and its gap to the reference group."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from clinical_peft.metrics.metric import Metric
from clinical_peft.tables.difference_columns import ends_columns
from clinical_peft.tables.form import (
    FEWER,
    MISSING,
    STATED,
    Record,
    in_order,
    label_of,
    number,
    percent,
    rounded,
    signed,
)
from clinical_peft.tables.run_means import ENDS
from clinical_peft.tables.study_column import Column, by_task
from clinical_peft.tables.study_results import Content, StudyResults
from clinical_peft.tables.study_table import Layout, StudyTable
from clinical_peft.tables.study_tasks import task_label

ATTRIBUTE_LABELS = {"age_band": "age", "admission_type": "admission type"}
IN_UNITS = ("brier", "calibration_intercept")  # metrics of a group, and their gaps, that are no percentages
Key = tuple[str, str, str]


@dataclass(frozen=True)
class Group:
    """A model in a group of patients, the group's counts, and the model's label."""

    found: Content
    counts: Content
    label: str

    def value(self, part: str, metric: str) -> float | None:
        """A metric of the group (`figures`), or its gap to the reference group (`gaps`)."""
        value: float | None = self._of(part, metric).get("value")
        return value

    def interval(self, part: str, metric: str) -> Sequence[float] | None:
        """The interval over patients of either."""
        interval: Sequence[float] | None = self._of(part, metric).get("interval")
        return interval

    def _of(self, part: str, metric: str) -> Mapping[str, Any]:
        return (self.found[part] or {}).get(metric) or {}


def _key(row: Mapping[str, Any]) -> Key:
    return row["task"], row["attribute"], row["group"]


def _groups(results: StudyResults) -> dict[Key, Content]:
    """Groups of patients in the order of the tasks; attributes and groups stay in their order."""
    return {_key(cell): cell for cell in by_task(results.subgroups["cells"], results.tasks)}


def _rows(results: StudyResults) -> Iterator[Group]:
    gaps = results.subgroups["gaps"]
    models = in_order(sorted({row["model"] for row in gaps}), results.labels)
    by_group: dict[Key, list[Content]] = {}
    for row in gaps:
        by_group.setdefault(_key(row), []).append(row)
    for key, counts in _groups(results).items():
        for row in sorted(by_group.get(key, ()), key=lambda row: models.index(row["model"])):
            yield Group(row, counts, label_of(row["model"], results.labels))


def _found(field: str, written: Callable[[Any], Any] = lambda value: value) -> Column:
    return Column(field, lambda row: written(row.found[field]))


def _count(field: str) -> Column:
    return Column(field, lambda row: row.counts[field])


def _in_units(metric: str, part: str) -> Iterator[Column]:
    """A metric or its gap as it is, with both ends of its interval."""
    values: tuple[Callable[[Group], float | None], ...] = (
        lambda row: row.value(part, metric),
        lambda row: (row.interval(part, metric) or (None, None))[0],
        lambda row: (row.interval(part, metric) or (None, None))[1],
    )
    field = f"{metric}_gap" if part == "gaps" else metric
    for end, value in zip(ENDS, values, strict=True):
        yield Column(f"{field}{end}", lambda row, value=value: rounded(value(row)))  # type: ignore[misc]


def columns(metric: Metric) -> tuple[Column, ...]:
    """Columns of the table."""
    name = metric.name
    return (
        _found("model"),
        Column("label", lambda row: row.label),
        *map(_found, ("task", "attribute", "group", "reference")),
        *map(_count, ("admissions", "patients", "positives")),
        *map(_found, ("seeds", "classes", "classes_with_few")),
        Column(f"{name}_percent", lambda row: percent(row.value("figures", name))),
        *ends_columns(lambda row: row.interval("figures", name), f"{name}_"),
        Column(
            "gap_percent",
            lambda row: percent(row.value("gaps", name)),
            meaning="of the group minus the reference group, in percentage points; so are other gaps, in their units",
        ),
        *ends_columns(lambda row: row.interval("gaps", name), "gap_"),
        *(_found(field, lambda value: rounded(value, 6)) for field in ("p_value", "p_holm")),
        _found("significant"),
        *(column for one in IN_UNITS for part in ("figures", "gaps") for column in _in_units(one, part)),
        Column("suppressed", lambda row: row.found["suppressed"], meaning="why a row has no metrics"),
        *map(_found, STATED),
    )


def _layout(results: StudyResults, records: Sequence[Record]) -> Layout:
    """A row per group of patients, over all models."""
    by_group: dict[Key, list[Record]] = {}
    for record in records:
        by_group.setdefault(_key(record), []).append(record)
    metric = results.metric
    header = (
        *(
            "Task",
            "Attribute",
            "Group",
            "Compared with",
            results.words["Units"],
            "Positives",
            f"Median {metric.title} (%)",
        ),
        *("Median gap", "Least", "Greatest", "Models with a gap"),
    )
    rows = [_over_models(counts, by_group.get(key, []), results) for key, counts in _groups(results).items()]
    return Layout(header, tuple(rows))


def _over_models(counts: Content, records: Sequence[Record], results: StudyResults) -> tuple[str, ...]:
    field = f"{results.metric.name}_percent"
    values = [record[field] for record in records if record[field] is not None]
    gaps = [record["gap_percent"] for record in records if record["gap_percent"] is not None]
    distances = [signed(value) for value in (median(gaps), min(gaps), max(gaps))] if gaps else [MISSING] * 3
    rough = FEWER if any(record["classes_with_few"] for record in records) else ""
    found = sum(record["significant"] for record in records)
    return (
        task_label(counts["task"], results.tasks),
        ATTRIBUTE_LABELS.get(counts["attribute"], counts["attribute"]),
        counts["group"],
        "" if counts["reference"] else (records[0]["reference"] or MISSING),
        number(counts["admissions"]),
        number(counts["positives"]),
        f"{number(median(values), 1)}{rough}" if values else MISSING,
        *distances,
        f"{found} of {len(gaps)}" if gaps else MISSING,
    )


TABLE = StudyTable(
    name="subgroups",
    place=1,
    section="subgroups",
    needs=("subgroups",),
    columns=columns,
    rows=_rows,
    caption=lambda results, _: (
        f"Test {results.metric.title} by group of patients: over all models, the median and the range of the gap to "
        "the attribute's largest group."
    ),
    notes=lambda results, _: (
        f"An en dash stands for counts below {results.subgroups['smallest_cell']}, for others that would give them "
        "away, beside this table's counts or those of another task, and for figures of such groups. Models with a "
        "gap: those whose gap is significant, over patients alone, after Holm's correction over the whole table. "
        "The CSV file holds every model's figures and gaps with their intervals, and why a figure is missing.",
        f"{FEWER} Without classes of fewer than {results.subgroups['smallest_cell']} positives or negatives in the "
        "group or in the one compared with; the CSV file says how many these are.",
    ),
    layout=_layout,
    text_columns=4,
)
