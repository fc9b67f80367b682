"""Which comparisons a study was made for: found by how its models are built, whatever came out."""

import pytest
from simulated_study import VARIANTS, design_of

from clinical_peft.metrics.registry import find_metric
from clinical_peft.tables.main_comparisons import (
    adapted_pairs,
    compared_models,
    drawn_labels,
    main_comparisons,
    matched_comparisons,
)
from clinical_peft.tables.study_results import StudyResults
from clinical_peft.tasks import TASKS

ADAPTED, UNADAPTED = "llama+clinical-trainable+downstream", "llama+lora"


def labels_of(*models):
    return {model: {"label": model.upper(), "design": design_of(model)} for model in models}


def made_up(means, *, significant=(), tasks=("los", "mortality", "control"), metric="auroc", group="Main"):
    """Results with a value per model, alike on all tasks; pairs in the order given."""
    rows = [*(task for task in tasks), "macro_average"]
    summaries = [
        {"model": model, "task": task, metric: value, "n": 100, "seeds": 2, "interval": [value - 0.1, value + 0.1]}
        for model, value in means.items()
        for task in rows
    ]
    models = [*means]
    differences = [
        {
            **{"group": group, "task": task, "first": first, "second": second},
            **{"difference": means[second] - means[first], "significant": {first, second} in map(set, significant)},
            **{"interval": None, "p_total": 0.5, "p_holm_table": 1.0},
            "interval_total": [means[second] - means[first] - 0.05, means[second] - means[first] + 0.05],
        }
        for task in rows
        for place, first in enumerate(models)
        for second in models[place + 1 :]
    ]
    comparison = {"level": 0.95, "resamples": 9, "macro_tasks": ["los", "mortality"], "summaries": summaries}
    return StudyResults(
        labels=labels_of(*means),
        tasks={task: TASKS[task] for task in tasks},
        comparison=comparison | {"differences": differences},
        metric=find_metric(metric),
    )


def test_an_adapted_model_is_paired_with_its_own_base_and_task_method():
    assert adapted_pairs(labels_of("tfidf", *VARIANTS, "bluebert+lora")) == [
        ("llama+clinical-frozen", "llama"),
        ("llama+clinical-frozen+downstream", "llama+lora"),
        ("llama+clinical-trainable", "llama"),
        ("llama+clinical-trainable+downstream", "llama+lora"),
    ]
    assert adapted_pairs(labels_of("bluebert+lora", "llama+clinical-frozen+downstream")) == []


def test_the_three_comparisons_come_from_the_most_adapted_model():
    found = main_comparisons(made_up({"tfidf": 0.7, **dict.fromkeys(VARIANTS, 0.9), UNADAPTED: 0.5, ADAPTED: 0.6}))
    assert [(one.kind, one.first, one.second) for one in found] == [
        ("adapted", UNADAPTED, ADAPTED),
        ("adapted_baseline", "tfidf", ADAPTED),
        ("unadapted_baseline", "tfidf", UNADAPTED),
    ]
    assert [one.task for one in found[0].by_task] == ["mortality", "los"]
    assert found[0].main.task == "macro_average"
    assert found[0].main.difference == pytest.approx(0.1)


def test_a_difference_turns_with_its_models():
    means = {ADAPTED: 0.6, UNADAPTED: 0.5}
    turned = main_comparisons(made_up(means))[0].main
    straight = main_comparisons(made_up(dict(reversed(means.items()))))[0].main
    assert [turned.difference, straight.difference] == pytest.approx([0.1, 0.1])
    assert [*turned.interval, *straight.interval] == pytest.approx([0.05, 0.15, 0.05, 0.15])
    assert (turned.first, turned.second) == (straight.first, straight.second) == (0.5, 0.6)


@pytest.mark.parametrize(
    ("adapted", "is_significant", "verdict"),
    [(0.9, True, "gain"), (0.1, True, "loss"), (0.9, False, "uncorrected"), (0.52, False, "none")],
)
def test_a_verdict_follows_the_correction_and_the_interval(adapted, is_significant, verdict):
    significant = [(UNADAPTED, ADAPTED)] if is_significant else []
    found = main_comparisons(made_up({UNADAPTED: 0.5, ADAPTED: adapted}, significant=significant))
    assert found[0].main.verdict == verdict


def test_less_is_a_gain_where_less_is_better():
    means = {UNADAPTED: 0.5, ADAPTED: 0.2}
    found = main_comparisons(made_up(means, significant=[(UNADAPTED, ADAPTED)], metric="brier"))
    assert found[0].main.verdict == "gain"


def test_the_baseline_is_the_best_of_another_base_or_kind():
    found = main_comparisons(made_up({"tfidf": 0.7, "bluebert+lora": 0.8, UNADAPTED: 0.95, ADAPTED: 0.6}))
    assert found[1].first == "bluebert+lora"
    assert compared_models(made_up({"tfidf": 0.7, UNADAPTED: 0.9, ADAPTED: 0.6})) == [ADAPTED, UNADAPTED, "tfidf"]


def test_without_an_adapted_model_the_network_meets_the_best_other():
    found = main_comparisons(made_up({"tfidf": 0.7, "bluebert+lora": 0.6, UNADAPTED: 0.5}))
    assert [(one.kind, one.first, one.second) for one in found] == [("baseline", "tfidf", UNADAPTED)]
    assert main_comparisons(made_up({"tfidf": 0.7})) == []


def test_models_that_no_pair_compares_have_no_comparison():
    results = made_up({"tfidf": 0.7, UNADAPTED: 0.5, ADAPTED: 0.6})
    alone = StudyResults(labels=results.labels, comparison={**results.comparison, "differences": []})
    assert main_comparisons(alone) == matched_comparisons(alone) == []
    undesigned = StudyResults(comparison=results.comparison)
    assert main_comparisons(undesigned) == []


def test_compared_models_have_the_first_colours():
    results = made_up({"tfidf": 0.7, "llama": 0.5, UNADAPTED: 0.5, ADAPTED: 0.6})
    assert [*drawn_labels(results)] == [ADAPTED, UNADAPTED, "tfidf", "llama"]
