"""The sentences that a report opens with."""

import pytest

from clinical_peft.report.discussion import compare_groups
from clinical_peft.report.opening import in_short, question
from clinical_peft.tables.form import Table
from clinical_peft.tables.study_results import StudyResults
from clinical_peft.tasks import titled_task


def made_up_tables(test, adapters):
    records = {
        "dataset_statistics": [{"task": task, "test": count} for task, count in test.items()],
        "domain_adaptation": [
            {
                "base": base.partition(" ")[0],
                "corpus": base.partition(" ")[2] or "mimic-iv",
                "label": label,
                "test_perplexity_before": before,
                "test_perplexity_after": after,
            }
            for base, label, before, after in adapters
        ],
    }
    return {
        name: Table(name=name, caption="", fields=(), records=tuple(rows), header=(), rows=())
        for name, rows in records.items()
    }


def made_up_aggregate(models, task="los"):
    summaries = [{"model": model, "task": task, "auroc": 0.6, "seeds": 1, "interval_99": None} for model in models]
    return {"level": 0.95, "macro_tasks": [task], "summaries": summaries, "differences": []}


def asked_of(*names, **titles):
    return {name: titled_task(name, titles) for name in names}


def short(aggregate, tables):
    return in_short(StudyResults(comparison=aggregate), tables)


def test_the_question_names_the_tasks_of_the_study_alone():
    asked = question(asked_of("los", "mortality", "control"), adapters=1)
    assert "in-hospital mortality (MOR) and length of stay (LOS)?" in asked
    assert "procedures" not in asked
    assert "whose label is a coin toss" in asked
    assert "coin" not in question(asked_of("los"), adapters=1)
    assert "days in hospital (LOS)" in question(asked_of("los", los="Days in hospital"), adapters=1)


def test_the_question_asks_for_adaptation_with_adapters():
    assert question(asked_of("los"), adapters=0) == (
        "How well do models predict from the text known at admission: length of stay (LOS)?"
    )
    assert question({}, adapters=1).startswith("How much better does a language model predict clinical notes")


@pytest.mark.parametrize(
    ("models", "test", "adapters", "expected"),
    [
        (["a"], {"los": 30}, [], "1 model on 1 task of 30 test admissions."),
        (["a", "b"], {"los": 30, "pmv": 12}, [("x", "X: LoRA", 9.0, 8.0)],
         "2 models on 2 tasks of 12 to 30 test admissions each; 1 adapter."),
        (["a", "b"], {"los": 1234, "pmv": 1234}, [("x", "X: LoRA", 9.0, 8.0), ("x", "X: DoRA", 9.0, 7.0)],
         "2 models on 2 tasks of 1,234 test admissions each; 2 adapters."),
    ],
)  # fmt: skip
def test_the_first_sentence_counts_what_was_compared(models, test, adapters, expected):
    assert short(made_up_aggregate(models), made_up_tables(test, adapters))[0] == expected


def test_perplexities_are_ordered_by_base_and_corpus():
    adapters = [
        ("x", "X: A", 90.0, 20.0),
        ("x", "X: B", 90.0, 70.0),
        ("x", "X: C", 90.0, 30.0),
        ("y", "Y: A", 8.0, 9.0),
    ]
    sentences = short(made_up_aggregate([]), made_up_tables({}, adapters))
    assert sentences == [
        "Perplexity of the clinical test notes, per token of base x: 90.0 without an adapter, 20.0 (X: A) to "
        "70.0 (X: B) with one.",
        "Perplexity of the clinical test notes, per token of base y: 8.0 without an adapter, 9.0 (Y: A) with one.",
        "This study trains adapters only: no model was fine-tuned on a task.",
    ]


def test_adapters_of_one_corpus_share_a_sentence():
    # Packed and padded batches of the same notes give perplexities that differ in the last digits.
    adapters = [("x", "X: A", 525.634, 17.0), ("x", "X: B", 525.635, 401.2), ("x", "X: C", 525.634, 268.4)]
    first, _ = short(made_up_aggregate([]), made_up_tables({}, adapters))
    assert first == (
        "Perplexity of the clinical test notes, per token of base x: 525.6 without an adapter, 17.0 (X: A) to "
        "401.2 (X: B) with one."
    )


def test_perplexities_of_several_corpora_name_theirs():
    adapters = [("x mimic-iv", "X: A, mimic-iv", 90.0, 20.0), ("x mimic-iii", "X: A, mimic-iii", 90.0, 30.0)]
    sentences = short(made_up_aggregate([]), made_up_tables({}, adapters))
    assert [sentence.partition(", per")[0] for sentence in sentences[:2]] == [
        "Perplexity of the clinical test notes of mimic-iv",
        "Perplexity of the clinical test notes of mimic-iii",
    ]


def test_models_trained_once_claim_nothing_over_seeds():
    pair = {"group": "Main", "task": "los", "first": "a", "second": "b", "difference": 0.1, "significant": False}
    pair |= {"interval": [0.0, 0.2], "interval_total": [-0.1, 0.3], "p_total": 0.4, "p_holm_table": 0.4}
    for seeds, over in ((1, "patients alone"), (2, "patients and seeds")):
        aggregate = made_up_aggregate(["a", "b"]) | {"differences": [pair]}
        aggregate["summaries"] = [row | {"seeds": seeds} for row in aggregate["summaries"]]
        _, compared, _ = short(aggregate, made_up_tables({"los": 30}, []))
        assert f"differ beyond chance ({over}, Holm's" in compared
        (group,) = compare_groups(StudyResults(comparison=aggregate))
        said = " ".join((*group.sentences, group.pairs.caption, group.by_task.caption))
        assert said.count(over) == 3 + (seeds > 1)
        assert ("seeds" in said) == (seeds > 1)
