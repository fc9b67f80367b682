"""The answers of a study in one sentence each: a difference, its interval and a verdict."""

from collections.abc import Mapping
from dataclasses import dataclass

from clinical_peft.metrics.aggregate import MACRO
from clinical_peft.report.discussion import compare_groups, highest_and_lowest
from clinical_peft.tables.form import MISSING, Table, judged_over, label_of, number, signed
from clinical_peft.tables.main_comparisons import (
    FoundDifference,
    Kind,
    MainComparison,
    Verdict,
    main_comparisons,
    matched_comparisons,
)
from clinical_peft.tables.study_results import StudyResults
from clinical_peft.tables.study_tasks import task_label


@dataclass(frozen=True)
class Wording:
    """How the answer to a kind of comparison is put: what is compared, and what a gain, a loss and neither mean.

    What neither means is followed by the number of test rows that it could not be shown with.
    """

    asked: str
    gain: str
    loss: str
    none: str


WORDINGS: Mapping[Kind, Wording] = {
    "adapted": Wording(
        "Adapted against unadapted",
        "Adapting to clinical notes helps",
        "Adapting to clinical notes hurts",
        "No effect of adapting",
    ),
    "adapted_baseline": Wording(
        "Adapted against the best baseline",
        "The adapted model beats the best baseline",
        "The adapted model loses to the best baseline",
        "No difference between the adapted model and the best baseline",
    ),
    "unadapted_baseline": Wording(
        "Unadapted against the best baseline",
        "The unadapted model beats the best baseline",
        "The unadapted model loses to the best baseline",
        "No difference between the unadapted model and the best baseline",
    ),
    "baseline": Wording(
        "Network against the best other model",
        "The network beats the best other model",
        "The network loses to the best other model",
        "No difference between the network and the best other model",
    ),
}
FIRST_KINDS = ("adapted", "baseline")
"""Kinds that stand first, so that they name both models and the tasks."""


@dataclass(frozen=True)
class Answer:
    """The answer to one comparison.

    Attributes:
        asked: What is compared.
        verdict: What the difference shows.
        headline: The verdict in words.
        difference: The difference in percentage points, with its sign.
        interval: Its interval in brackets, or empty.
        sentence: What differs by how much, and between which models.
        tasks: On which single tasks the difference is significant; empty for a study of one task.
    """

    asked: str
    verdict: Verdict
    headline: str
    difference: str
    interval: str
    sentence: str
    tasks: str


def answers(results: StudyResults) -> list[Answer]:
    """One answer per comparison that the study was made for; none for a study that compares no models.

    Args:
        results: Comparison, labels with the models' design, tasks and metric.
    """
    return [_answer(one, results) for one in main_comparisons(results)]


def _answer(found: MainComparison, results: StudyResults) -> Answer:
    wording, main = WORDINGS[found.kind], found.main
    headline = {"gain": wording.gain, "loss": wording.loss}.get(main.verdict, wording.none)
    size = size_of_test(found.second, main.task, results)
    if main.verdict in ("none", "uncorrected"):
        headline += " could be shown" + (f" with n = {size}" if size else "")
    first, second = (label_of(model, results.labels) for model in found.models)
    what = f"{task_label(main.task, results.tasks)} {results.metric.title}"
    between = f" with {second}," if found.kind in FIRST_KINDS else " against"
    sentence = f"{what}: {number(100 * main.second, 1)} %{between} {number(100 * main.first, 1)} % with {first}"
    if main.verdict == "uncorrected":
        sentence += "; not significant after Holm's correction"
    elif main.verdict != "none" and size:
        sentence += f"; n = {size}"
    return Answer(
        asked=wording.asked,
        verdict=main.verdict,
        headline=f"{headline}.",
        difference=signed(100 * main.difference),
        interval=_interval(main),
        sentence=f"{sentence}.",
        tasks=_significant_tasks(found, results) if found.kind in FIRST_KINDS else "",
    )


def _interval(found: FoundDifference) -> str:
    return "" if found.interval is None else "[{}, {}]".format(*(signed(100 * end) for end in found.interval))


def size_of_test(model: str, task: str, results: StudyResults) -> str:
    """Rows of the test split that a model is judged on, or their range over the tasks of a macro average.

    Args:
        model: The model.
        task: Name of a task, or `macro_average`.
        results: The study's comparison.

    Returns:
        A number, or two with a dash; empty where one may not be published.
    """
    tasks = results.comparison["macro_tasks"] if task == MACRO else [task]
    rows = {row["task"]: row.get("n") for row in results.comparison["summaries"] if row["model"] == model}
    sizes = {rows.get(name) for name in tasks}
    known = sorted(size for size in sizes if size is not None)
    return "" if len(known) < len(sizes) else "–".join(dict.fromkeys([number(known[0]), number(known[-1])]))


def _significant_tasks(found: MainComparison, results: StudyResults) -> str:
    if len(found.by_task) < 2:
        return ""
    apart = [one for one in found.by_task if one.verdict in ("gain", "loss")]
    if not apart:
        return f"Significant on none of the {len(found.by_task)} tasks."
    listed = ", ".join(f"{task_label(one.task, results.tasks)} {signed(100 * one.difference)}" for one in apart)
    return f"Significant on {len(apart)} of {len(found.by_task)} tasks: {listed}."


def result_sentences(results: StudyResults) -> list[str]:
    """What a study found that has no comparison to answer: its groups from end to end, or its models one by one.

    Args:
        results: As for `answers`.
    """
    if groups := compare_groups(results):
        return [highest_and_lowest(group, results) for group in groups]
    sentences = []
    for row in results.comparison["summaries"]:
        value = row.get(results.metric.name)
        if value is None or (row["task"] in results.tasks and results.tasks[row["task"]].is_control):
            continue
        size = size_of_test(row["model"], row["task"], results)
        ends = row["interval"]
        interval = "" if ends is None else f" [{number(100 * ends[0], 1)}, {number(100 * ends[1], 1)}]"
        sentences.append(
            f"{label_of(row['model'], results.labels)}, {task_label(row['task'], results.tasks)}: "
            f"{results.metric.title} {number(100 * value, 1)} %{interval}{f', n = {size}' if size else ''}."
        )
    return sentences


def matched_table(results: StudyResults) -> Table:
    """Every adapted model against its unadapted counterpart, with the difference on every task.

    Args:
        results: As for `answers`.
    """
    found = matched_comparisons(results)
    tasks = list(dict.fromkeys(one.task for pair in found for one in pair.by_task))
    rows, bold = [], set()
    for place, pair in enumerate(found):
        by_task = {one.task: one for one in (pair.main, *pair.by_task)}
        columns = [pair.main.task, *(task for task in tasks if task != pair.main.task)]
        bold |= {
            (place, 2 + column)
            for column, task in enumerate(columns)
            if task in by_task and by_task[task].verdict in ("gain", "loss")
        }
        cells = [_cell(by_task.get(task)) for task in columns]
        rows.append((label_of(pair.second, results.labels), label_of(pair.first, results.labels), *cells))
    main = found[0].main.task if found else MACRO
    titles = [task_label(task, results.tasks) for task in (main, *(task for task in tasks if task != main))]
    return Table(
        name="matched_models",
        caption=f"Every adapted model against the same model without the clinical adapter: difference of the test "
        f"{results.metric.title} in percentage points.",
        fields=(),
        records=(),
        header=("Adapted", "Unadapted", *titles),
        rows=tuple(rows),
        notes=(
            f"Brackets: {results.comparison['level']:.0%} intervals over {judged_over(results.comparison)}. Bold: "
            "significant after Holm's correction over all pairs and tasks of the comparison.",
        ),
        text_columns=2,
        bold=frozenset(bold),
    )


def _cell(found: FoundDifference | None) -> str:
    return MISSING if found is None else f"{signed(100 * found.difference)} {_interval(found)}".strip()


def task_sentences(task: str, results: StudyResults) -> list[str]:
    """What the study's comparisons show on one task, a sentence each.

    Args:
        task: Name of the task.
        results: As for `answers`.
    """
    sentences = []
    for comparison in main_comparisons(results):
        found = next((one for one in comparison.by_task if one.task == task), None)
        if found is not None:
            verdict = {"gain": "a significant gain", "loss": "a significant loss"}.get(
                found.verdict, "no significant difference"
            )
            asked = WORDINGS[comparison.kind].asked
            sentences.append(f"{asked}: {signed(100 * found.difference)} points {_interval(found)}, {verdict}.")
    return sentences
