"""What a study's results say about the order of its models, and what they leave open, in sentences.

Two models differ only where the tables mark their difference as significant: by the p-value over
patients and seeds, after Holm's correction over all pairs and tasks of their comparison. Where every model was trained
once, the p-value is over patients alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clinical_peft.metrics.aggregate import MACRO
from clinical_peft.metrics.comparisons import SIGNIFICANCE
from clinical_peft.tables.form import (
    MISSING,
    Labels,
    Table,
    counted,
    judged_over,
    label_of,
    number,
    p_text,
)
from clinical_peft.tables.published import PUBLISHED_METRIC, published_auroc, row_mean
from clinical_peft.tables.study_results import StudyResults
from clinical_peft.tables.study_tasks import listed_labels, task_label, task_order


@dataclass(frozen=True)
class Comparison:
    """One group of models, compared in pairs.

    Attributes:
        name: The group's name.
        sentences: What the results say.
        pairs: Every pair's difference of the macro average (or of the only task).
        by_task: Significant pairs of each task.
    """

    name: str
    sentences: tuple[str, ...]
    pairs: Table
    by_task: Table


def excludes_zero(row: Mapping[str, Any]) -> bool:
    """Whether a difference's interval over patients and seeds is defined and lies on one side of zero."""
    return row["interval_total"] is not None and bool(row["interval_total"][0] * row["interval_total"][1] > 0)


def compare_groups(results: StudyResults) -> list[Comparison]:
    """Describe each group of compared models.

    Args:
        results: The study's comparison, labels, tasks and metric.
    """
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in results.comparison["differences"]:
        groups.setdefault(row["group"], []).append(row)
    return [_comparison(name, rows, results) for name, rows in groups.items()]


def _comparison(name: str, rows: Sequence[Mapping[str, Any]], results: StudyResults) -> Comparison:
    aggregate, labels = results.comparison, results.labels
    main = _main_task(rows)
    pairs = [row for row in rows if row["task"] == main]
    apart = [row for row in pairs if row["significant"]]
    level = f"{aggregate['level']:.0%}"
    over = judged_over(aggregate)
    sentences = [
        _order(pairs, main, results),
        f"Of {len(pairs)} pairs, {sum(map(excludes_zero, pairs))} have a difference whose {level} interval over "
        f"{over} excludes zero; {len(apart)} of them {'is' if len(apart) == 1 else 'are'} significant: p "
        f"at most {SIGNIFICANCE:g} after Holm's correction over all {len(rows)} pairs and tasks of this comparison.",
    ]
    if open_pairs := len(pairs) - len(apart):
        sentences.append(
            f"{counted(open_pairs, 'pair').capitalize()} {'does' if open_pairs == 1 else 'do'} not differ "
            f"significantly with this many test {over.removesuffix(' alone')}: the order within may be chance, which "
            "is not evidence that the models are equal."
        )
    return Comparison(
        name=name,
        sentences=(*sentences, *_identical(rows, labels), *_published_agreement(apart, results)),
        pairs=_pair_table(pairs, main, results),
        by_task=_task_counts(rows, results),
    )


def highest_and_lowest(comparison: Comparison, results: StudyResults) -> str:
    """One sentence: a group's models with the highest and the lowest result, and how many pairs differ significantly.

    Args:
        comparison: What `compare_groups` returned for the group.
        results: As for `compare_groups`.
    """
    aggregate, labels, metric = results.comparison, results.labels, results.metric
    rows = [row for row in aggregate["differences"] if row["group"] == comparison.name]
    main = _main_task(rows)
    pairs = [row for row in rows if row["task"] == main]
    models = {name for row in pairs for name in (row["first"], row["second"])}
    found = [row for row in aggregate["summaries"] if row["task"] == main and row["model"] in models]
    found.sort(key=lambda row: (-row[metric.name], row["model"]))
    ends = " to ".join(
        f"{label_of(row['model'], labels)} {100 * row[metric.name]:.1f}" for row in (found[-1], found[0])
    )
    apart = sum(row["significant"] for row in pairs)
    return (
        f"{comparison.name}: {task_label(main, results.tasks)} {metric.title} (%) from {ends}. {apart} of {len(pairs)} "
        f"pairs of models differ beyond chance ({judged_over(aggregate)}, Holm's correction over all pairs and tasks)."
    )


def _main_task(rows: Sequence[Mapping[str, Any]]) -> str:
    tasks = {row["task"] for row in rows}
    return MACRO if MACRO in tasks else min(tasks)


def _order(pairs: Sequence[Mapping[str, Any]], main: str, results: StudyResults) -> str:
    aggregate, labels, metric = results.comparison, results.labels, results.metric
    models = {name for row in pairs for name in (row["first"], row["second"])}
    values = {row["model"]: row[metric.name] for row in aggregate["summaries"] if row["task"] == main}
    ordered = sorted(models, key=lambda model: (-values[model], model))
    listed = "; ".join(f"{label_of(model, labels)} {100 * values[model]:.1f}" for model in ordered)
    over = listed_labels(aggregate["macro_tasks"], results.tasks)
    what = f"the macro average over {over}" if main == MACRO else task_label(main, results.tasks)
    return f"Ordered by {what} ({metric.title}, %): {listed}."


def _identical(rows: Sequence[Mapping[str, Any]], labels: Labels) -> list[str]:
    """Pairs without any difference in any resample of any task: one of the two has a part that does nothing."""
    by_pair: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        by_pair.setdefault((row["first"], row["second"]), []).append(row)
    return [
        f"{label_of(first, labels)} and {label_of(second, labels)} score alike in every resample of every task: what "
        "sets them apart has no effect on the ranking, as with an adapter that is not active."
        for (first, second), found in by_pair.items()
        if all(row["interval"] == [0.0, 0.0] for row in found)
    ]


def _published_agreement(apart: Sequence[Mapping[str, Any]], results: StudyResults) -> list[str]:
    if not results.is_beside_paper or results.metric.name != PUBLISHED_METRIC:
        return []
    labels, agree, opposed = results.labels, 0, []
    for row in apart:
        printed = [
            published_auroc(labels.get(row[side], {}).get("published") or row[side]) for side in ("first", "second")
        ]
        if printed[0] is None or printed[1] is None:
            continue
        if (row_mean(printed[1]) - row_mean(printed[0])) * row["difference"] > 0:
            agree += 1
        else:
            opposed.append(f"{label_of(row['first'], labels)} and {label_of(row['second'], labels)}")
    if not agree and not opposed:
        return []
    sentence = (
        f"Of the pairs that differ significantly here and are printed in the paper, {agree} have the published "
        f"order (by the mean of the row) and {len(opposed)} the opposite one"
        f"{': ' + '; '.join(opposed) if opposed else ''}."
    )
    return [sentence]


def _pair_table(pairs: Sequence[Mapping[str, Any]], main: str, results: StudyResults) -> Table:
    labels, rows = results.labels, []
    for row in sorted(pairs, key=lambda row: (-abs(row["difference"]), row["first"], row["second"])):
        upward = row["difference"] >= 0
        lower, higher = (row["first"], row["second"]) if upward else (row["second"], row["first"])
        ends = row["interval_total"]
        if ends is not None and not upward:
            ends = [-end for end in reversed(ends)]
        rows.append(
            (
                label_of(higher, labels),
                label_of(lower, labels),
                f"{100 * abs(row['difference']):.2f}",
                MISSING if ends is None else f"[{number(100 * ends[0], 2)}, {number(100 * ends[1], 2)}]",
                p_text(row["p_total"]),
                p_text(row["p_holm_table"]),
                "yes" if row["significant"] else "no",
            )
        )
    what = f"{task_label(main, results.tasks)}, {results.metric.title}"
    return Table(
        name="paired_differences",
        caption=f"Paired differences of {what} in percentage points, largest first; intervals and p over "
        f"{judged_over(results.comparison)}, Holm's correction over all pairs and tasks of the comparison.",
        fields=(),
        records=(),
        header=(
            "Higher",
            "Lower",
            "Difference",
            f"{results.comparison['level']:.0%} interval",
            "p",
            "p (Holm)",
            "Significant",
        ),
        rows=tuple(rows),
        text_columns=2,
    )


def _task_counts(rows: Sequence[Mapping[str, Any]], results: StudyResults) -> Table:
    lines = []
    for task in task_order(results.tasks):
        found = [row for row in rows if row["task"] == task]
        if found:
            counts = (len(found), sum(map(excludes_zero, found)), sum(row["significant"] for row in found))
            lines.append((task_label(task, results.tasks), *map(str, counts)))
    return Table(
        name="significant_pairs",
        caption=f"Pairs that differ significantly, by task, over {judged_over(results.comparison)}.",
        fields=(),
        records=(),
        header=(
            "Task",
            "Pairs",
            f"{results.comparison['level']:.0%} interval excludes zero",
            "significant after Holm's correction",
        ),
        rows=tuple(lines),
    )


def control_sentences(results: StudyResults) -> list[str]:
    """Whether the models are at chance on the control, whose label is a coin toss.

    Empty without a control, and for a metric whose chance depends on the shares of the classes.
    """
    chance, labels = results.metric.chance, results.labels
    controls = {task.name for task in results.tasks.values() if task.is_control}
    rows = [row for row in results.comparison["summaries"] if row["task"] in controls and row["interval_99"]]
    if not rows or chance is None:
        return []
    off = [row for row in rows if not row["interval_99"][0] <= chance <= row["interval_99"][1]]
    sentences = [
        f"The control's label is a coin toss per admission, so no model can predict it: the 99% interval covers "
        f"{chance:.0%} for "
        f"{len(rows) - len(off)} of {counted(len(rows), 'model')}."
    ]
    if off:
        listed = "; ".join(f"{label_of(row['model'], labels)} {100 * row[results.metric.name]:.1f}" for row in off)
        sentences.append(
            f"It does not for {listed}. About {0.01 * len(rows):.2g} such models are expected by chance; more than "
            "that points to a label that leaks into the scores."
        )
    return sentences


def seed_sentence(aggregate: Mapping[str, Any]) -> str:
    """What the number of seeds lets the intervals cover."""
    seeds = {row["seeds"] for row in aggregate["summaries"] if row["task"] != MACRO}
    if not seeds:
        return "This study trains adapters only: no model was fine-tuned on a task."
    if seeds == {1}:
        return (
            "Every model was trained once: no interval and no p-value holds any part of the spread over random seeds."
        )
    counts = " to ".join(str(count) for count in sorted({min(seeds), max(seeds)}))
    return (
        f"Results are means over {counts} seeds. The interval of a single result is over patients alone, unless it "
        "says patients and seeds. Differences of models are judged over both."
    )
