"""What the report says of the order of models: significant pairs, the published order, the control and the seeds."""

import pytest
from results_fixtures import results_of
from simulated_study import LABELS, simulate_study

from clinical_peft.report.discussion import (
    compare_groups,
    control_sentences,
    excludes_zero,
    highest_and_lowest,
    seed_sentence,
)
from clinical_peft.tables.study_results import StudyResults

TASKS = ("mortality", "control")


def difference(first, second, value, half=0.01, task="macro_average", p_holm_table=0.01):
    """A pair whose interval over patients alone is half as wide, and whose p over patients alone is always small."""
    return {"group": "g", "task": task, "first": first, "second": second, "difference": value,
            "interval": [value - half / 2, value + half / 2], "undefined": 0, "p_value": 0.002, "p_holm": 0.002,
            "interval_total": [value - half, value + half], "p_total": p_holm_table / 2, "p_holm_table": p_holm_table,
            "significant": p_holm_table <= 0.05}  # fmt: skip


def made_up(differences, labels=None, **aurocs):
    """Results of a comparison with these differences."""
    summaries = [
        {"model": model, "task": "macro_average", "auroc": value, "seeds": 3, "interval_99": [0.4, 0.6]}
        for model, value in aurocs.items()
    ]
    found = {"level": 0.95, "macro_tasks": ["los", "pmv"], "summaries": summaries, "differences": differences}
    return StudyResults(comparison=found, labels=labels or {})


def test_discussion_counts_significant_and_other_pairs():
    rows = [
        difference("a", "b", 0.05),
        difference("a", "c", -0.006, p_holm_table=0.9),
        difference("b", "c", -0.052, p_holm_table=0.2),
    ]
    results = made_up(rows, labels={"a": {"label": "A"}}, a=0.60, b=0.65, c=0.598)
    (group,) = compare_groups(results)
    text = " ".join(group.sentences)
    assert "b 65.0; A 60.0; c 59.8" in text
    assert "Of 3 pairs, 2 have a difference whose 95% interval over patients and seeds excludes zero; 1 of them" in text
    assert "2 pairs do not differ significantly" in text
    assert group.by_task.rows == (("Macro average", "3", "2", "1"),)
    assert group.pairs.rows[0] == ("b", "c", "5.20", "[4.20, 6.20]", "0.100", "0.200", "no")
    # Over patients alone the interval excludes zero; over patients and seeds it does not.
    assert group.pairs.rows[-1][:4] == ("A", "c", "0.60", "[−0.40, 1.60]")
    assert "1 of 3 pairs of models differ beyond chance" in highest_and_lowest(group, results)


@pytest.mark.parametrize("tasks", [("mortality", "los"), ("procedures",)])
def test_headline_discussion_and_bold_follow_one_rule(tasks, tmp_path):
    """Significant pairs are those that the tables mark as significant, over patients and seeds and the whole table."""
    aggregate = simulate_study(tmp_path, seeds=2, resamples=100, tasks=tasks)["aggregate"]
    results = StudyResults(comparison=aggregate, labels=LABELS)
    (group,) = compare_groups(results)
    found = [row for row in aggregate["differences"] if row["task"] == "macro_average"]
    significant = sum(row["significant"] for row in found)
    assert f"{significant} of {len(found)} pairs of models differ beyond" in highest_and_lowest(group, results)
    assert sum(row[-1] == "yes" for row in group.pairs.rows) == significant
    assert group.by_task.rows[-1][-1] == str(significant)


def test_discussion_compares_the_order_with_the_published_one():
    rows = [difference("llama", "llama+lora", 0.1), difference("llama+lora", "llama+clinical-frozen", 0.1)]
    results = made_up(rows, **{"llama": 0.5, "llama+lora": 0.6, "llama+clinical-frozen": 0.7})
    (group,) = compare_groups(results)
    assert (
        "1 have the published order (by the mean of the row) and 1 the opposite one: llama+lora and"
        in group.sentences[-1]
    )


def test_discussion_points_out_models_that_score_alike():
    alike = {"half": 0.0, "p_holm_table": 1.0}
    rows = [difference("a", "b", 0.0, **alike), difference("a", "b", 0.0, task="los", **alike)]
    (group,) = compare_groups(made_up(rows, a=0.6, b=0.6))
    assert any("a and b score alike in every resample" in sentence for sentence in group.sentences)
    assert not excludes_zero(rows[0])


def test_control_away_from_chance_is_mentioned(simulated):
    row = {"model": "m", "task": "control", "auroc": 0.7, "interval_99": [0.6, 0.8], "seeds": 1}
    fair = {**row, "model": "f", "auroc": 0.5, "interval_99": [0.4, 0.6]}
    sentences = control_sentences(StudyResults(comparison={"summaries": [row, fair]}))
    assert "covers 50% for 1 of 2 models" in sentences[0]
    assert "m 70.0" in sentences[1]
    assert control_sentences(StudyResults(comparison={"summaries": []})) == []
    assert "99% interval covers 50%" in control_sentences(results_of(simulated))[0]


def test_a_single_seed_is_said_so():
    assert "trained once" in seed_sentence({"summaries": [{"task": "los", "seeds": 1}]})
    several = {"summaries": [{"task": "los", "seeds": 2}, {"task": "pmv", "seeds": 3}]}
    assert "2 to 3 seeds" in seed_sentence(several)
