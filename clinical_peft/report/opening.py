"""What a report opens with beside its answers: the question, and what to keep in mind."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clinical_peft.disclosure.counts import SMALLEST_CELL, is_small, shown_part
from clinical_peft.tables.adapter_records import AdapterFile
from clinical_peft.tables.form import label_of, number
from clinical_peft.tables.main_comparisons import main_comparisons
from clinical_peft.tables.study_results import StudyResults
from clinical_peft.tables.study_tasks import Tasks, task_order, unit_of
from clinical_peft.tasks import Task

MOST_NAMED = 6
"""Tasks that the question names."""


@dataclass(frozen=True)
class Caveat:
    """Something to keep in mind, with a word for what it is about."""

    about: str
    text: str


def question(tasks: Tasks, *, adapters: int) -> str:
    """The study's question in one sentence.

    Args:
        tasks: Its tasks; none where it only trains adapters.
        adapters: How many it trains.
    """
    placed = [tasks[name] for name in task_order(tasks) if name in tasks]
    named = [_without_code(task) for task in placed if not task.is_control]
    text = "the text known at admission" if unit_of(tasks.values()) == "admission" else "the text of a note"
    if not named:
        return "How much better does a language model predict clinical notes after it is adapted to them?"
    what = _listed(named) if len(named) <= MOST_NAMED else f"{len(named)} outcomes"
    if adapters:
        return f"Does adapting a language model to clinical notes help to predict {what} from {text}?"
    return f"How well do models predict {what} from {text}?"


def _without_code(task: Task) -> str:
    """A task's title without the short name in brackets that it may end with."""
    return task.title_in_a_sentence.removesuffix(f"({task.short})").strip()


def perplexity_sentences(adapters: Sequence[AdapterFile], results: StudyResults) -> list[str]:
    """What adapting does to the perplexity of clinical test notes, a sentence per base and corpus.

    Args:
        adapters: The study's adapters.
        results: For their labels.
    """
    # Not by perplexity without an adapter: packed and padded batches of the same notes differ in its last digits.
    by_start: dict[tuple[str, str], list[AdapterFile]] = {}
    for one in adapters:
        if one.perplexity.before.get("test") is not None and one.perplexity.after.get("test") is not None:
            by_start.setdefault((one.base, one.corpus), []).append(one)
    several = len({corpus for _, corpus in by_start}) > 1
    sentences = []
    for (base, corpus), found in by_start.items():
        best = min(found, key=lambda one: one.perplexity.after["test"] or 0.0)
        notes = f"held-out notes of {corpus}" if several else "held-out clinical notes"
        sentences.append(
            f"Perplexity of {notes}, per token of {base}: {number(best.perplexity.before['test'], 1)} before, "
            f"{number(best.perplexity.after['test'], 1)} after adapting with {label_of(best.adapter, results.labels)}."
        )
    return sentences


def caveats(study: Mapping[str, Any], results: StudyResults, leakage: Mapping[str, Any] | None) -> list[Caveat]:
    """Three things to keep in mind: where the data come from, what adapting costs, and what leaks.

    Args:
        study: As for `clinical_peft.report.html_report.build_report`.
        results: The study's adapters, labels and comparison.
        leakage: What `clinical_peft.data.leakage.check_leakage` returned; None where it is not at hand.
    """
    return [_source(study), _forgetting(results), _leakage(leakage)]


def _source(study: Mapping[str, Any]) -> Caveat:
    if study["synthetic"]:
        return Caveat("Synthetic data", "The hospital is generated. The numbers say nothing about patients.")
    return Caveat("One source", "One split of one source of notes: another hospital may give other results.")


def _forgetting(results: StudyResults) -> Caveat:
    about = "Forgetting"
    adapter = _adapter_in_question(results)
    if adapter is None:
        return Caveat(about, "No adapter was trained on notes.")
    general = adapter.general.perplexity if adapter.general else {}
    before, after = general.get("before"), general.get("after")
    if before is None or after is None:
        return Caveat(about, "What the adapter forgets of general text was not measured.")
    label = label_of(adapter.adapter, results.labels)
    change = "raises" if after > before else "lowers"
    general_text = f"{change} that of general text from {number(before)} to {number(after)}"
    return Caveat(about, f"The adapter {label} {_notes_of(adapter)}, and {general_text}.")


def _notes_of(adapter: AdapterFile) -> str:
    """What an adapter does to the perplexity of held-out notes."""
    before, after = (found.get("test") for found in (adapter.perplexity.before, adapter.perplexity.after))
    if before is None or after is None:
        return "was not measured on held-out notes"
    change = "lowers" if after < before else "raises"
    return f"{change} the perplexity of held-out clinical notes from {number(before)} to {number(after)}"


def _adapter_in_question(results: StudyResults) -> AdapterFile | None:
    """The clinical adapter of the adapted model of the answers, else the study's first adapter."""
    compared = main_comparisons(results)
    clinical = (results.labels[compared[0].second].get("design") or {}).get("clinical") if compared else None
    adapters = {one.adapter: one for one in results.adapters}
    return adapters.get(str(clinical)) or next(iter(adapters.values()), None)


def _leakage(leakage: Mapping[str, Any] | None) -> Caveat:
    about = "Leakage"
    if leakage is None or not leakage["tasks"]:
        return Caveat(about, "No test patients are held out: the study predicts no outcome.")
    crossing = leakage["crossing_allowed"]
    total = leakage["held_out_patients"]
    apart = f"Patients of {', '.join(crossing)} cross splits." if crossing else "No patient is in two splits."
    if not is_small(total):
        apart += f" {total:,} patients are held out for validation and test."
    corpora: dict[str, list[str]] = {}
    for name, overlap in leakage["corpora"].items():
        if overlap["held_out_patients"] is not None:
            corpora.setdefault(_overlap(overlap["held_out_patients"], total), []).append(name)
    found = [f"Adapters read notes ({', '.join(names)}) of {share}." for share, names in corpora.items()]
    return Caveat(about, " ".join([apart, *found]))


def _overlap(count: int, total: int) -> str:
    """Of how many held-out patients a corpus for adapting has notes, as far as it may be published."""
    if is_small(count):
        return f"fewer than {SMALLEST_CELL} of them, or of none"
    shown = shown_part(count, total)
    return "nearly all of them" if shown is None else f"{shown:,} of them"


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
