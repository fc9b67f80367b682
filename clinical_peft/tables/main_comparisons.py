"""The comparisons that a study was made for: adapted against unadapted, and both against the best baseline.

Which models are compared follows from how they are built, never from their results. Only the baseline is chosen by its
result, which can make the other models look worse, not better.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from clinical_peft.metrics.aggregate import MACRO
from clinical_peft.tables.form import Labels
from clinical_peft.tables.study_results import StudyResults
from clinical_peft.tables.study_tasks import task_order

Kind = Literal["adapted", "adapted_baseline", "unadapted_baseline", "baseline"]
Verdict = Literal["gain", "loss", "uncorrected", "none"]
"""A significant difference either way; one whose interval excludes zero without being significant; neither."""


@dataclass(frozen=True)
class FoundDifference:
    """A difference of two models on a task.

    Attributes:
        task: Name of the task, or `macro_average`.
        difference: The second model's metric less the first one's, a fraction.
        interval: Its interval over patients, and over seeds where there are several; None where it is undefined.
        verdict: What the difference shows.
        first: The first model's mean, a fraction.
        second: The second model's mean.
    """

    task: str
    difference: float
    interval: tuple[float, float] | None
    verdict: Verdict
    first: float
    second: float


@dataclass(frozen=True)
class MainComparison:
    """Two models whose comparison the study was made for.

    Attributes:
        kind: What is compared with what; `baseline` in a study without an adapted model.
        first: The model compared with.
        second: The model in question.
        main: The difference of the macro average, or of the first task where there is no average.
        by_task: The difference on every task but controls, in the order of the tasks.
    """

    kind: Kind
    first: str
    second: str
    main: FoundDifference
    by_task: tuple[FoundDifference, ...]

    @property
    def models(self) -> tuple[str, str]:
        """Both models."""
        return self.first, self.second


def main_comparisons(results: StudyResults) -> list[MainComparison]:
    """The comparisons of a study, the most important one first; empty in a study that compares no models.

    Args:
        results: Comparison, labels with the models' design, tasks and metric.
    """
    pairs = adapted_pairs(results.labels)
    adapted = _most_adapted([pair[0] for pair in pairs] or _adapted(results.labels), results.labels)
    if adapted is None:
        return _of_networks(results)
    unadapted = dict(pairs).get(adapted)
    baseline = _best_baseline(adapted, results)
    asked: list[tuple[Kind, str | None, str | None]] = [
        ("adapted", unadapted, adapted),
        ("adapted_baseline", baseline, adapted),
        ("unadapted_baseline", baseline, unadapted),
    ]
    return _found(asked, results)


def matched_comparisons(results: StudyResults) -> list[MainComparison]:
    """Every adapted model against its unadapted counterpart, in the order of the models."""
    return _found([("adapted", first, second) for second, first in adapted_pairs(results.labels)], results)


def compared_models(results: StudyResults) -> list[str]:
    """Models of the main comparisons: the adapted one, the unadapted one and the baseline, those that there are."""
    found = main_comparisons(results)
    return list(dict.fromkeys(model for one in found for model in (one.second, one.first)))


def drawn_labels(results: StudyResults) -> Labels:
    """The study's labels with the compared models first, so that these have the same colours in all figures."""
    first = compared_models(results)
    return {name: results.labels[name] for name in [*first, *results.labels] if name in results.labels}


def adapted_pairs(labels: Labels) -> list[tuple[str, str]]:
    """Each model with a clinical adapter, and the model of the same base and task method without one."""
    pairs = []
    for model in _adapted(labels):
        design = labels[model]["design"]
        same = [
            name
            for name, other in _designs(labels).items()
            if other["clinical"] is None
            and all(other[part] == design[part] for part in ("kind", "base", "task_method"))
        ]
        pairs += [(model, same[0])] if same else []
    return pairs


def _designs(labels: Labels) -> dict[str, Mapping[str, Any]]:
    return {name: label["design"] for name, label in labels.items() if label.get("design")}


def _adapted(labels: Labels) -> list[str]:
    return [name for name, design in _designs(labels).items() if design["clinical"] is not None]


def _most_adapted(models: Sequence[str], labels: Labels) -> str | None:
    """The model with most adaptation: a task method as well, then an adapter that is trained further; the last such."""
    designs = _designs(labels)

    def amount(place: int) -> tuple[bool, bool, int]:
        design = designs[models[place]]
        return design["task_method"] is not None, design["clinical_mode"] == "trainable", place

    return models[max(range(len(models)), key=amount)] if models else None


def _best_baseline(model: str, results: StudyResults) -> str | None:
    """The model of another base or kind, without a clinical adapter, that has the best result beside the model."""
    designs = _designs(results.labels)
    own = designs[model]
    others = [
        name
        for name, design in designs.items()
        if design["clinical"] is None and (design["kind"], design["base"]) != (own["kind"], own["base"])
    ]
    return _best(model, others, results)


def _best(model: str, others: Sequence[str], results: StudyResults) -> str | None:
    found = _found([("baseline", name, model) for name in others], results)
    return max(found, key=lambda one: results.metric.better(one.main.first)).first if found else None


def _of_networks(results: StudyResults) -> list[MainComparison]:
    """The last network against the best of the other models, in a study without a clinical adapter."""
    designs = _designs(results.labels)
    networks = [name for name, design in designs.items() if design["base"] is not None]
    if not networks:
        return []
    baseline = _best(networks[-1], [name for name in designs if name != networks[-1]], results)
    return _found([("baseline", baseline, networks[-1])], results)


def _found(asked: Sequence[tuple[Kind, str | None, str | None]], results: StudyResults) -> list[MainComparison]:
    """Those of some pairs that the study compares."""
    means = {(row["model"], row["task"]): row.get(results.metric.name) for row in results.comparison["summaries"]}
    controls = {task.name for task in results.tasks.values() if task.is_control}
    order = task_order(results.tasks)
    comparisons = []
    for kind, first, second in asked:
        rows = {
            row["task"]: _oriented(row, str(first), means, results)
            for row in results.comparison["differences"]
            if {row["first"], row["second"]} == {first, second}
        }
        by_task = tuple(rows[task] for task in order if task in rows and task != MACRO and task not in controls)
        main = rows.get(MACRO) or next(iter(by_task), None)
        if main is not None:
            comparisons.append(MainComparison(kind, str(first), str(second), main, by_task))
    return comparisons


def _oriented(
    row: Mapping[str, Any], first: str, means: Mapping[tuple[str, str], Any], results: StudyResults
) -> FoundDifference:
    """A difference with a model as its first one."""
    is_turned = row["first"] != first
    ends = row["interval_total"] or row["interval"]
    difference = -row["difference"] if is_turned else row["difference"]
    interval = None if ends is None else (-ends[1], -ends[0]) if is_turned else (ends[0], ends[1])
    second = row["first"] if is_turned else row["second"]
    values = means[first, row["task"]], means[second, row["task"]]
    is_better = results.metric.better(values[1]) > results.metric.better(values[0])
    if row["significant"]:
        verdict: Verdict = "gain" if is_better else "loss"
    else:
        verdict = "uncorrected" if interval is not None and interval[0] * interval[1] > 0 else "none"
    return FoundDifference(row["task"], difference, interval, verdict, *values)
