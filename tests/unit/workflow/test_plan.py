"""The plan of a study before it runs."""

from pathlib import Path

import pytest
from study_fixtures import study_of

from clinical_peft.config import experiments
from clinical_peft.workflow.plan import cohort_rows, main, plan

CONFIG = Path(__file__).parents[3] / "config"


def study(name: str, **overrides):
    return study_of(name, overrides)


def stage(name: str, study) -> tuple[int, int]:
    found = next(stage for stage in plan(study) if stage.name == name)
    return found.jobs, found.tokens


def test_jobs_are_those_of_the_matrix():
    tiny = study("tiny.yaml")
    pooling = 1  # the notes pass once through the base, for the model that trains a head alone
    assert stage("fine-tuning", tiny)[0] == len(tiny.matrix.models) * len(tiny.matrix.tasks) + pooling
    assert stage("adapters", tiny)[0] == len(tiny.matrix.adapters)
    assert stage("bases", tiny)[0] == 2 + 1  # and their text


def test_importing_a_file_of_general_text_is_a_job():
    files = {"note_files": {"own": {"path": "own.csv"}}, "general_corpus": "own"}
    assert stage("bases", study("tiny.yaml", data=files))[0] == stage("bases", study("tiny.yaml"))[0] + 1


def test_more_epochs_cost_more_and_a_budget_caps_them():
    once = study("tiny.yaml", finetuning={"epochs": 1})
    twice = study("tiny.yaml", finetuning={"epochs": 2})
    assert stage("fine-tuning", once)[1] < stage("fine-tuning", twice)[1] <= 2 * stage("fine-tuning", once)[1]
    capped = study("tiny.yaml", methods={"lora": {"recipe": {"train_tokens": 100}}})
    assert stage("adapters", capped)[1] < stage("adapters", study("tiny.yaml"))[1]


def test_full_fine_tuning_costs_half_as_much_again():
    dora, full = (
        study("config.yaml", matrix={"adapters": [f"tiny-llama-{method}"], "models": []}) for method in ("dora", "full")
    )
    training = experiments.pretrain_job(dora, "tiny-llama-dora").recipe.train_tokens
    assert stage("adapters", full)[1] - stage("adapters", dora)[1] == training // 2
    disk = [
        next(each for each in plan(each_study) if each.name == "adapters").disk_bytes for each_study in (dora, full)
    ]
    assert disk[1] > 100 * disk[0]


def test_the_papers_study_is_planned_with_mimics_counts():
    jobs, tokens = stage("adapters", study("paper.yaml"))
    assert jobs == 10
    # Ten adapters, one epoch over 70 % of 2.65 million notes cut to 128 tokens, and the evaluations: a sample of the
    # training split and all other notes before and after, a tenth of the notes four times in between.
    corpus, sample = 2_653_148 * 128, 5_000_000
    evaluated = 2 * (sample + 0.3 * corpus) + 4 * 0.1 * corpus
    assert tokens == pytest.approx(10 * (0.7 * corpus + evaluated / 2), rel=1e-6)


def test_measuring_perplexity_costs_less_than_the_training():
    job = experiments.pretrain_job(study("paper.yaml"), "llama-7b-lora")
    assert job.recipe.evaluation_limit("train") == 5_000_000
    assert job.recipe.evaluation_limit("test") is job.recipe.evaluation_limit("validation") is None
    whole = study("paper.yaml", pretraining={"train_evaluation_tokens": None})
    corpus = 2_653_148 * 128
    saved = stage("adapters", whole)[1] - stage("adapters", study("paper.yaml"))[1]
    assert saved == pytest.approx(10 * (0.7 * corpus - 5_000_000), rel=1e-6)


def test_cohorts_of_mimic_iv_are_planned_by_its_summaries():
    tiny = study("tiny.yaml", cohorts={"source": "mimic-iv"})
    assert cohort_rows(tiny, "mortality") == (133, 190)
    real = study("tiny.yaml", cohorts={"source": "mimic-iv"}, data={"mimic_iv": "/x", "mimic_iv_note": "/y"})
    assert cohort_rows(real, "mortality")[1] > cohort_rows(study("paper.yaml"), "mortality")[1]


def test_the_plan_is_printed(capsys):
    assert main([CONFIG / "config.yaml", CONFIG / "tiny.yaml"]) == 0
    printed = capsys.readouterr().out
    for word in ("jobs", "tokens", "device hours", "disk", "total"):
        assert word in printed


@pytest.mark.parametrize(
    ("content", "expected"), [("studdy: x\n", "studdy"), ("a: [", "mine.yaml: line 1: expected YAML")]
)
def test_a_wrong_file_is_one_line(tmp_path, capsys, content, expected):
    path = tmp_path / "mine.yaml"
    path.write_text(content)
    assert main([CONFIG / "config.yaml", path]) == 1
    assert expected in capsys.readouterr().err
