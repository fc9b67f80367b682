"""What a report opens with: the question that its study asks, and the answer in a few sentences."""

from collections.abc import Mapping, Sequence

from clinical_peft.disclosure.counts import SMALLEST_CELL
from clinical_peft.report.discussion import compare_groups, control_sentences, highest_and_lowest, seed_sentence
from clinical_peft.tables.form import Record, Table, counted, number
from clinical_peft.tables.study_results import StudyResults
from clinical_peft.tables.study_tasks import Tasks, task_order, unit_of


def question(tasks: Tasks, *, adapters: int) -> str:
    """Describe what a study asks.

    Args:
        tasks: Its tasks; none where it only trains adapters.
        adapters: How many it trains.
    """
    placed = [tasks[name] for name in task_order(tasks) if name in tasks]
    named = [task.title_in_a_sentence for task in placed if not task.is_control]
    text = "the text known at admission" if unit_of(tasks.values()) == "admission" else "the text of a note"
    if not named:
        sentences = [
            "How much better does a language model predict clinical notes after being adapted to them with few trained "
            "parameters?"
        ]
    elif adapters:
        sentences = [
            "Does adapting a language model to clinical notes, with few trained parameters, improve predictions from "
            f"{text}: {_listed(named)}? Bases are compared with and without a clinical adapter, "
            "frozen or trained further, and with and without an adapter for the task, as far as the study trains them."
        ]
    else:
        sentences = [f"How well do models predict from {text}: {_listed(named)}?"]
    if any(task.is_control for task in placed):
        sentences.append("A control task whose label is a coin toss shows what chance looks like.")
    return " ".join(sentences)


def in_short(results: StudyResults, tables: Mapping[str, Table]) -> list[str]:
    """What a reader who stops here should know.

    Args:
        results: As for `clinical_peft.report.discussion.compare_groups`.
        tables: `dataset_statistics` and `domain_adaptation` among them.
    """
    aggregate = results.comparison
    adapters = tables["domain_adaptation"].records
    sentences = []
    if models := {row["model"] for row in aggregate["summaries"]}:
        counts = [row["test"] for row in tables["dataset_statistics"].records]
        each = " each" if len(counts) > 1 else ""
        sizes = f"{counted(len(models), 'model')} on {counted(len(counts), 'task')} of {range_of(counts)} test"
        trained = f"; {counted(len(adapters), 'adapter')}" if adapters else ""
        sentences.append(f"{sizes} {results.unit}s{each}{trained}.")
    return [
        *sentences,
        *_perplexities(adapters),
        *(highest_and_lowest(group, results) for group in compare_groups(results)),
        *control_sentences(results),
        seed_sentence(aggregate),
    ]


def _perplexities(adapters: Sequence[Record]) -> list[str]:
    """Test perplexity of each base on each corpus, without an adapter and with those that lower it most and least."""
    # Not by perplexity without an adapter: packed and padded batches of the same notes differ in its last digits.
    by_start: dict[tuple[str, str], list[Record]] = {}
    for row in adapters:
        by_start.setdefault((row["base"], row["corpus"]), []).append(row)
    several = len({corpus for _, corpus in by_start}) > 1
    sentences = []
    for (base, corpus), rows in by_start.items():
        before = rows[0]["test_perplexity_before"]
        notes = f"clinical test notes of {corpus}" if several else "clinical test notes"
        ends = [choose(rows, key=_after) for choose in ((min, max) if len(rows) > 1 else (min,))]
        after = " to ".join(f"{number(_after(row), 1)} ({row['label']})" for row in ends)
        sentences.append(
            f"Perplexity of the {notes}, per token of base {base}: {number(before, 1)} without an adapter, {after} "
            "with one."
        )
    return sentences


def _after(row: Record) -> float:
    return float(row["test_perplexity_after"])


def range_of(counts: Sequence[int | None]) -> str:
    """Smallest and largest of some counts; tasks share admissions, so that a sum would count them several times."""
    known = [count for count in counts if count is not None]
    if len(known) < len(counts):
        return f"up to {number(max(known))}" if known else f"fewer than {SMALLEST_CELL}"
    low, high = min(known, default=0), max(known, default=0)
    return number(low) if low == high else f"{number(low)} to {number(high)}"


def _listed(names: Sequence[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
