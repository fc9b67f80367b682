"""The form of a table: its records and cells, the order and names of its rows, and how numbers are written."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clinical_peft.tables.study_tasks import Tasks, listed_labels, task_label, task_order

Labels = Mapping[str, Mapping[str, Any]]
Record = dict[str, Any]

MISSING = "–"
STATED = ("protocol", "cohort_sha256")  # columns that identify the study of a row
EMPTY = "This study has no such row."
PAPER = "paper"
PAPER_DIFFERENCE = "paper (difference)"
FEWER = "†"


@dataclass(frozen=True)
class Table:
    """A table in two forms.

    Attributes:
        name: File stem.
        caption: One sentence that says what the numbers are.
        fields: Columns of the machine-readable form.
        records: Its rows; a missing value is None.
        header: Column titles of the form for readers.
        rows: Its cells as text; a missing value is an en dash.
        notes: Remarks to print below.
        text_columns: How many columns from the left hold text rather than numbers.
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


def label_of(name: str, labels: Labels) -> str:
    """The text that stands for a model or adapter in tables and figures."""
    return str(labels.get(name, {}).get("label") or name)


def in_order(names: Sequence[str], labels: Labels) -> list[str]:
    """Names in the order of `labels`; those without a label last, by name."""
    place = {name: position for position, name in enumerate(labels)}
    return sorted(set(names), key=lambda name: (place.get(name, len(place)), name))


def unit_of_split(study: Mapping[str, Any], tasks: Tasks) -> str:
    """What a study's cohorts were split by, in words; `split_by_admission` names the tasks that are an exception."""
    exceptions = listed_labels(study["split_by_admission"], tasks)
    return f"by patient, but {exceptions} by admission" if exceptions else "by patient"


def number(value: float | None, digits: int = 0) -> str:
    """A number with thousands separators and a true minus sign, or an en dash."""
    return MISSING if value is None else f"{value:,.{digits}f}".replace("-", "−")


def judged_over(aggregate: Mapping[str, Any]) -> str:
    """What the intervals and p-values of differences are over, in words: models trained once show no seeds."""
    several = any(row["seeds"] > 1 for row in aggregate["summaries"])
    return "patients and seeds" if several else "patients alone"


def counted(count: int, noun: str, plural: str = "") -> str:
    """A count with its noun, in the plural where it needs one."""
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"


def one_line(text: object, longest: int | None = None) -> str:
    """A text without line breaks and control characters; a longer one ends in an ellipsis.

    Args:
        text: Whatever stands for a name.
        longest: Characters that it may have; None for any number.
    """
    plain = " ".join("".join(mark if mark.isprintable() else " " for mark in str(text)).split())
    return plain if longest is None or len(plain) <= longest else f"{plain[: longest - 1]}…"


def rounded(value: float | None, digits: int = 4) -> float | None:
    """A number as machine-readable columns hold it; a missing one stays None."""
    return None if value is None else round(value, digits)


def percent(fraction: float | None) -> float | None:
    """A fraction in percent, as machine-readable columns hold it; a missing one stays None."""
    return None if fraction is None else rounded(100 * fraction)


def difference(ours: float | None, published: float | None) -> float | None:
    """Our number less the published one, rounded; None where either is missing."""
    return None if ours is None or published is None else rounded(ours - published)


def signed(value: float, digits: int = 1) -> str:
    """A difference with its sign, a true minus; what rounds to nothing is +0."""
    return f"{round(value, digits) + 0.0:+,.{digits}f}".replace("-", "−")


def with_interval(value: float, low: float | None, high: float | None, digits: int = 1) -> str:
    """A difference and its interval, every number with its sign; the interval is left out where it is undefined."""
    interval = "" if low is None or high is None else f" [{signed(low, digits)}, {signed(high, digits)}]"
    return signed(value, digits) + interval


def p_text(p: float | None) -> str:
    """A p-value to three decimals, a smaller one as a bound; an en dash without one."""
    return "<0.001" if p is not None and p < 0.001 else number(p, 3)


def beside(ours: float | None, published: float | None, digits: int = 0, mark: str = "") -> str:
    """A published number, a mark, and in brackets ours less the published one; an en dash without a published one."""
    if published is None:
        return MISSING
    distance = difference(ours, published)
    bracket = "" if distance is None else f" ({signed(distance, digits)})"
    return f"{number(published, digits)}{mark}{bracket}"


def stated(aggregate: Mapping[str, Any], task: str) -> Record:
    """Protocol and cohort of a row, which identify its study; a macro average has no cohort.

    Args:
        aggregate: What `clinical_peft.metrics.aggregate.aggregate` returned.
        task: The row's task.
    """
    return {"protocol": aggregate.get("protocol"), "cohort_sha256": aggregate.get("cohorts", {}).get(task)}


def fewer_mark(scored: int | None, classes: int | None) -> str:
    """The mark of a mean over classes from which the test split leaves some out; nothing where it has them all."""
    return FEWER if scored is not None and classes is not None and scored < classes else ""


def fewer_note(counts: Iterable[tuple[str, int | None, int | None]], tasks: Tasks) -> str | None:
    """What the mark means, with its numbers; None where no number is marked.

    Args:
        counts: Task, classes with both a positive and a negative test row, and classes of the label space.
        tasks: The study's tasks.
    """
    marked = {task: (scored, classes) for task, scored, classes in counts if fewer_mark(scored, classes)}
    if not marked:
        return None
    listed = ", ".join(
        f"{task_label(task, tasks)} {marked[task][0]} of {marked[task][1]}"
        for task in task_order(tasks)
        if task in marked
    )
    return f"{FEWER} The mean runs over the classes that have positives and negatives in test: {listed}."
