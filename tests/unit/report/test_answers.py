"""The answers in words: verdict, difference, interval, size."""

from simulated_study import LABELS

from clinical_peft.report.answers import answers, matched_table, result_sentences, size_of_test, task_sentences
from clinical_peft.tables.study_results import StudyResults
from clinical_peft.tasks import TASKS

UNADAPTED, ADAPTED = "llama+lora", "llama+clinical-trainable+downstream"


def found_with(difference, interval, *, significant=False, sizes=(187, 169)):
    means = {"tfidf": 0.86, UNADAPTED: 0.5, ADAPTED: 0.5 + difference}
    summaries = [
        {"model": model, "task": task, "auroc": value, "n": n, "seeds": 2, "interval": [0.4, 0.6], "interval_99": None}
        for model, value in means.items()
        for task, n in (("mortality", sizes[0]), ("los", sizes[1]), ("macro_average", None))
    ]
    pair = {"group": "Main", "first": UNADAPTED, "second": ADAPTED, "difference": difference, "interval": None}
    pair |= {"interval_total": interval, "significant": significant, "p_total": 0.1, "p_holm_table": 0.1}
    rows = [pair | {"task": task} for task in ("mortality", "los", "macro_average")]
    rows[1] |= {"significant": False}
    comparison = {"level": 0.95, "macro_tasks": ["mortality", "los"], "summaries": summaries, "differences": rows}
    return StudyResults(
        labels=LABELS, tasks={task: TASKS[task] for task in ("mortality", "los")}, comparison=comparison
    )


def test_a_gain_says_how_much_and_between_which_models():
    (answer,) = answers(found_with(0.3, (0.2, 0.4), significant=True))
    assert answer.headline == "Adapting to clinical notes helps."
    assert (answer.difference, answer.interval) == ("+30.0", "[+20.0, +40.0]")
    assert answer.sentence == (
        f"Macro average AUROC: 80.0 % with {LABELS[ADAPTED]['label']}, 50.0 % with {LABELS[UNADAPTED]['label']}; "
        "n = 169–187."
    )
    assert answer.tasks == "Significant on 1 of 2 tasks: MOR +30.0."


def test_no_effect_is_an_answer_with_its_size():
    (answer,) = answers(found_with(0.01, (-0.1, 0.12), sizes=(187, 187)))
    assert answer.verdict == "none"
    assert answer.headline == "No effect of adapting could be shown with n = 187."
    assert answer.tasks == "Significant on none of the 2 tasks."


def test_an_uncorrected_difference_is_no_effect():
    (answer,) = answers(found_with(0.1, (0.01, 0.2)))
    assert answer.headline.startswith("No effect of adapting could be shown")
    assert answer.sentence.endswith("; not significant after Holm's correction.")


def test_a_loss_is_called_one():
    (answer,) = answers(found_with(-0.1, (-0.2, -0.01), significant=True))
    assert answer.headline == "Adapting to clinical notes hurts."
    assert answer.difference == "−10.0"


def test_a_hidden_size_is_not_named():
    results = found_with(0.01, (-0.1, 0.12), sizes=(187, None))
    assert size_of_test(ADAPTED, "macro_average", results) == ""
    assert size_of_test(ADAPTED, "mortality", results) == "187"
    (answer,) = answers(results)
    assert answer.headline == "No effect of adapting could be shown."


def test_every_task_has_the_verdict_of_its_own():
    results = found_with(0.3, (0.2, 0.4), significant=True)
    assert task_sentences("mortality", results) == [
        "Adapted against unadapted: +30.0 points [+20.0, +40.0], a significant gain."
    ]
    assert task_sentences("los", results)[0].endswith("no significant difference.")


def test_matched_models_stand_in_one_table(simulated):
    results = StudyResults(labels=LABELS, comparison=simulated["aggregate"])
    table = matched_table(results)
    assert [row[:2] for row in table.rows] == [
        (LABELS[model]["label"], LABELS[base]["label"])
        for model, base in (
            ("llama+clinical-frozen", "llama"),
            ("llama+clinical-frozen+downstream", "llama+lora"),
            ("llama+clinical-trainable", "llama"),
            ("llama+clinical-trainable+downstream", "llama+lora"),
        )
    ]
    assert table.header[2] == "Macro average"
    assert len({len(row) for row in (table.header, *table.rows)}) == 1


def test_a_study_of_one_model_states_its_result():
    results = found_with(0.3, (0.2, 0.4))
    alone = [row for row in results.comparison["summaries"] if row["model"] == "tfidf" and row["task"] == "los"]
    comparison = {**results.comparison, "summaries": alone, "differences": []}
    results = StudyResults(labels=LABELS, comparison=comparison)
    assert answers(results) == []
    assert result_sentences(results) == [f"{LABELS['tfidf']['label']}, LOS: AUROC 86.0 % [40.0, 60.0], n = 169."]
