"""The question that a report opens with, and what it asks readers to keep in mind."""

import pytest
from simulated_study import LABELS, simulate_perplexity

from clinical_peft.report.opening import caveats, perplexity_sentences, question
from clinical_peft.tables.study_results import StudyResults
from clinical_peft.tasks import titled_task

STUDY = {"synthetic": True}
EMPTY = {"level": 0.95, "macro_tasks": [], "summaries": [], "differences": []}
OVERLAP = {"held_out_patients": 61}
LEAKAGE = {"tasks": {"los": {}}, "crossing_allowed": [], "held_out_patients": 187, "corpora": {"mimic-iv": OVERLAP}}


def asked_of(*names, **titles):
    return {name: titled_task(name, titles) for name in names}


def results_of(*adapters):
    return StudyResults(comparison=EMPTY, labels=LABELS, perplexities=adapters)


def perplexity(adapter="tiny-lora", before=90.0, after=20.0, **changes):
    file = simulate_perplexity(adapter, "lora", after - 0.25) | changes
    file["perplexity"]["before"]["test"] = before
    return file


def texts(results, leakage=LEAKAGE, study=STUDY):
    return {one.about: one.text for one in caveats(study, results, leakage)}


def test_the_question_names_the_tasks_of_the_study_alone():
    asked = question(asked_of("los", "mortality", "control"), adapters=1)
    assert asked == (
        "Does adapting a language model to clinical notes help to predict in-hospital mortality and length of stay "
        "from the text known at admission?"
    )
    assert "days in hospital from" in question(asked_of("los", los="Days in hospital"), adapters=1)


def test_the_question_is_one_sentence_without_adapters_too():
    assert question(asked_of("los"), adapters=0) == (
        "How well do models predict length of stay from the text known at admission?"
    )
    assert question({}, adapters=1) == (
        "How much better does a language model predict clinical notes after it is adapted to them?"
    )


def test_a_perplexity_sentence_names_the_best_adapter_of_a_base():
    found = results_of(
        perplexity("tiny-lora", 90.0, 20.0),
        perplexity("tiny-prefix", 90.0, 70.0),
        perplexity("tiny-adalora", 8.0, 9.0, base="other"),
    )
    assert perplexity_sentences(found.adapters, found) == [
        "Perplexity of held-out clinical notes, per token of tiny-llama: 90.0 before, 20.0 after adapting with LoRA.",
        "Perplexity of held-out clinical notes, per token of other: 8.0 before, 9.0 after adapting with AdaLoRA.",
    ]


def test_perplexities_of_several_corpora_name_theirs():
    found = results_of(perplexity(corpus="mimic-iv"), perplexity("tiny-prefix", corpus="mimic-iii"))
    sentences = perplexity_sentences(found.adapters, found)
    assert [sentence.partition(", per")[0] for sentence in sentences] == [
        "Perplexity of held-out notes of mimic-iv",
        "Perplexity of held-out notes of mimic-iii",
    ]


def test_three_caveats_name_source_forgetting_and_leakage():
    general = {"perplexity": {"before": 92.0, "after": 641.0}}
    found = texts(results_of(perplexity(general=general)))
    assert [*found] == ["Synthetic data", "Forgetting", "Leakage"]
    assert found["Forgetting"] == (
        "The adapter LoRA lowers the perplexity of held-out clinical notes from 90 to 20, and raises that of general "
        "text from 92 to 641."
    )
    assert found["Leakage"] == (
        "No patient is in two splits. 187 patients are held out for validation and test. Adapters read notes "
        "(mimic-iv) of 61 of them."
    )


def test_caveats_say_what_was_not_measured():
    found = texts(results_of(perplexity()), study={"synthetic": False})
    assert [*found] == ["One source", "Forgetting", "Leakage"]
    assert "was not measured" in found["Forgetting"]
    assert "No adapter was trained" in texts(results_of())["Forgetting"]
    assert "predicts no outcome" in texts(results_of(), LEAKAGE | {"tasks": {}})["Leakage"]


@pytest.mark.parametrize(
    ("total", "count", "said"),
    [
        (187, 4, "of fewer than 10 of them, or of none"),
        (187, 0, "of fewer than 10 of them, or of none"),
        (187, 180, "of nearly all of them"),
        (187, 187, "of nearly all of them"),
        (187, None, "held out for validation and test."),
    ],
)
def test_a_small_number_of_patients_is_hidden(total, count, said):
    leakage = LEAKAGE | {"held_out_patients": total, "corpora": {"mimic-iv": {"held_out_patients": count}}}
    text = texts(results_of(), leakage)["Leakage"]
    assert said in text
    assert f"of {count} of them" not in text


def test_corpora_of_equal_leakage_share_a_sentence():
    overlap = {
        "mimic-iv": {"held_out_patients": 3},
        "own": {"held_out_patients": 61},
        "placebo": {"held_out_patients": 0},
    }
    text = texts(results_of(), LEAKAGE | {"corpora": overlap})["Leakage"]
    assert text.endswith(
        "Adapters read notes (mimic-iv, placebo) of fewer than 10 of them, or of none. "
        "Adapters read notes (own) of 61 of them."
    )


def test_patients_who_cross_splits_are_named_by_task():
    text = texts(results_of(), LEAKAGE | {"crossing_allowed": ["pmv"], "corpora": {}})["Leakage"]
    assert text.startswith("Patients of pmv cross splits.")
