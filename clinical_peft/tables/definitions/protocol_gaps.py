"""What each of the original's choices is worth: the compared metric with it, less that of the corrected protocol."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from clinical_peft.disclosure.counts import SMALLEST_CELL
from clinical_peft.metrics.comparisons import SIGNIFICANCE
from clinical_peft.recipes.switches import SWITCHES
from clinical_peft.tables.difference_columns import difference_text, interval_columns
from clinical_peft.tables.form import Record, label_of, p_text, percent, rounded
from clinical_peft.tables.study_column import Column, digits, task_column
from clinical_peft.tables.study_results import Content, StudyResults
from clinical_peft.tables.study_table import StudyTable
from clinical_peft.tables.study_tasks import listed_labels

ALL_TOGETHER = "all together"  # the concern of the protocol `paper`
CHANGES = ("admissions_joined", "admissions_left", "texts_changed", "labels_changed")


@dataclass(frozen=True)
class Gap:
    """The effect of a switch on a task, and what the table's rows share."""

    effect: Content
    level: float
    metric: str

    @property
    def concern(self) -> str:
        """What the switch concerns."""
        switch = self.effect["switch"]
        return SWITCHES[switch].concern if switch in SWITCHES else ALL_TOGETHER


def _rows(results: StudyResults) -> list[Gap]:
    gaps: Content = results.protocol_gaps or {}
    # A file of an earlier version names the ablation otherwise.
    rows = ({"ablation" if name == "arm" else name: value for name, value in row.items()} for row in gaps["rows"])
    return [Gap(row, gaps["level"], results.metric.name) for row in rows]


def _side(side: str, field: str, key: str) -> Column:
    return Column(f"{side}_{field}", lambda row: row.effect[side][key])


def _of_side(side: str, title: str) -> Column:
    return Column(f"{side}_percent", lambda row: percent(row.effect[side][row.metric]), title, digits(1))


def _both(field: str, key: str | None = None) -> Iterator[Column]:
    return (_side(side, field, key or field) for side in ("corrected", "ablation"))


def _changed(field: str) -> Column:
    key = field.removeprefix("admissions_").removesuffix("_changed")
    return Column(field, lambda row: row.effect["changed"][key])


def _effect(field: str, written: Callable[[Any], Any] = lambda value: value) -> Column:
    return Column(field, lambda row: written(row.effect[field]))


def _what_changed(record: Record) -> str:
    changed = [
        f"{record[name]:,} {one if record[name] == 1 else several}"
        for name, one, several in (
            ("texts_changed", "note", "notes"),
            ("labels_changed", "label", "labels"),
            ("admissions_joined", "more", "more"),
            ("admissions_left", "fewer", "fewer"),
        )
        if record[name]
    ]
    if record["corrected_classes"] != record["ablation_classes"]:
        changed.append(f"{record['corrected_classes']} → {record['ablation_classes']} classes")
    if not changed and any(record[name] is None for name in CHANGES):
        changed.append(f"fewer than {SMALLEST_CELL}")
    return ", ".join(changed) or "nothing"


def _caption(results: StudyResults, _: Sequence[Record]) -> str:
    gaps: Content = results.protocol_gaps or {}
    seeds = " and seeds" if any(row["degrees_of_freedom"] for row in gaps["rows"]) else ""
    return (
        f"What each choice of the original is worth: test {results.metric.title} (%) of "
        f"{label_of(gaps['model'], results.labels)} with that choice alone, less the corrected protocol's, with the "
        f"{gaps['level']:.0%} interval over patients{seeds}."
    )


def _notes(results: StudyResults, _: Sequence[Record]) -> Iterator[str]:
    yield (
        "Each protocol is judged by its own test admissions and labels. Changed: notes and labels of the whole cohort "
        "that differ, and admissions that only one of the two has. Bold: p at most "
        f"{SIGNIFICANCE:g} after Holm's correction over the table. docs/protocol.md says what each switch does."
    )
    untouched = [
        f"{switch} ({listed_labels(tasks, results.tasks)})"
        for switch, tasks in (results.protocol_gaps or {})["untouched"].items()
    ]
    if untouched:
        yield f"Switches without a row, because they cannot change these runs: {'; '.join(untouched)}."


TABLE = StudyTable(
    name="protocol_gaps",
    place=1,
    section="gaps",
    needs=("protocol_gaps",),
    columns=(
        Column("switch", lambda row: row.effect["switch"], "As in the original"),
        Column("concerns", lambda row: row.concern, "Concerns"),
        task_column(lambda row: row.effect["task"]),
        _of_side("corrected", "Corrected"),
        _of_side("ablation", "With it"),
        Column(
            "difference_percent",
            lambda row: percent(row.effect["difference"]),
            "Difference",
            difference_text,
            "with the choice, minus corrected, in percentage points",
        ),
        Column("level", lambda row: row.level),
        *interval_columns(lambda row: row.effect),
        *(_effect(field, lambda value: rounded(value, 6)) for field in ("p_value", "p_total")),
        Column(
            "p_holm",
            lambda row: rounded(row.effect["p_holm"], 6),
            "p (Holm)",
            lambda value, _: p_text(value),
            "adjusted over the whole table",
        ),
        _effect("significant"),
        *_both("admissions", "n"),
        *_both("classes"),
        _changed("admissions_joined"),
        _changed("admissions_left"),
        Column(
            "texts_changed",
            lambda row: row.effect["changed"]["texts"],
            "Changed",
            lambda _, record: _what_changed(record),
        ),
        _changed("labels_changed"),
        *_both("protocol"),
        *_both("cohort_sha256"),
    ),
    rows=_rows,
    shown=(
        *("switch", "concerns", "task", "corrected_percent", "ablation_percent", "difference_percent", "p_holm"),
        "texts_changed",
    ),
    caption=_caption,
    notes=_notes,
    text_columns=3,
    bold=lambda record: "difference_percent" if record["significant"] else None,
)
