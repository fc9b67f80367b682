"""The chain from notes to metrics, and the facts of a task, as the page states them."""

from collections.abc import Mapping, Sequence
from typing import Any

from clinical_peft.report.opening import range_of
from clinical_peft.tables.form import Table, counted, number
from clinical_peft.tables.study_results import StudyResults
from clinical_peft.tables.study_tasks import own_tables


def task_facts(name: str, tables: Mapping[str, Table], results: StudyResults) -> str:
    """What a task is, in a line: its type and classes, and the size of its splits.

    Args:
        name: The task's name.
        tables: `dataset_statistics` among them.
        results: The study's tasks.
    """
    task = results.tasks[name]
    row = next((row for row in tables["dataset_statistics"].records if row["task"] == name), {})
    kind = {"binary": "Binary", "multiclass": "One of several classes", "multilabel": "Many labels"}[task.type]
    classes = f", {number(row['classes'])} classes" if task.type != "binary" and row.get("classes") else ""
    sizes = [f"{split} n = {number(row[split])}" for split in ("train", "validation", "test") if row.get(split)]
    share = row.get("prevalence")
    positive = f"{100 * share:.1f} % positive" if task.type == "binary" and share is not None else ""
    return "; ".join(filter(None, [f"{kind}{classes}", ", ".join(sizes), positive])) + "."


def stages_of(study: Mapping[str, Any], tables: Mapping[str, Table], results: StudyResults) -> list[tuple[str, str]]:
    """The chain from hospital to report, each stage with what came out of it.

    Args:
        study: As for `clinical_peft.report.html_report.build_report`.
        tables: `dataset_statistics` and `cohort_details` among them.
        results: The study's metrics, comparison and perplexities.
    """
    cohorts = tables["dataset_statistics"].records
    metrics, perplexities = results.metrics, results.perplexities
    sizes = range_of([row["admissions"] for row in tables["cohort_details"].records])
    each = " each" if len(cohorts) > 1 else ""
    models = counted(len({run["model"] for run in metrics}), "model")
    predicted = [
        ("Predictions", f"{counted(len(metrics), 'run')} of {models}"),
        ("Metrics", f"{number(results.comparison['resamples'])} resamples of patients"),
    ]
    corpora = {row["corpus"]: sum(row["tokens"][s] for s in ("train", "validation", "test")) for row in perplexities}
    return [
        _origin(study, results),
        *(
            [("Cohorts", f"{counted(len(cohorts), 'task')} of {sizes} labelled {results.unit}s{each}")]
            if cohorts
            else []
        ),
        ("Tokens", "; ".join(f"{name} {number(count)}" for name, count in sorted(corpora.items())) or "none"),
        ("Adapters", str(len(perplexities))),
        *(predicted if metrics else []),
    ]


def _origin(study: Mapping[str, Any], results: StudyResults) -> tuple[str, str]:
    """The first stage: where notes and outcomes come from."""
    hospital = "synthetic" if study["synthetic"] else "MIMIC" if study["hospital"] else ""
    own = own_tables(results.tasks)
    if not own:
        return "Hospital", hospital or "none: notes from a file"
    return "Notes", "; ".join([*([f"{hospital} hospital"] if hospital else []), f"own {_named('table', own)}"])


def _named(noun: str, names: Sequence[str]) -> str:
    return f"{noun}{'' if len(names) == 1 else 's'} {', '.join(names)}"
