"""Jobs that would run again are put down to keys of the study."""

import re
from pathlib import Path

import pytest
from study_fixtures import LORA, TWO, study_with

from clinical_peft.config.experiments import finetune_job, pretrain_job
from clinical_peft.config.study import Study
from clinical_peft.errors import DataError
from clinical_peft.recipes.job_records import read_record
from clinical_peft.workflow.reruns import PlannedJob, explain_reruns, render_reruns, require_results
from clinical_peft.workflow.study_keys import NO_KEY, OF_LIBRARY, PLACES, study_key

RULES = Path(__file__).parents[3] / "rules"
RUN = {"model": TWO, "task": "mortality"}


def finetuning(before: Study, after: Study, **more) -> PlannedJob:
    """The fine-tuning of one model after a change of its study."""
    old, new = (repr(read_record(finetune_job(study, TWO, "mortality"))) for study in (before, after))
    return PlannedJob(rule="finetune_model", wildcards=RUN, params={"job": new}, before=[old], **more)


def causes(study: Study, *jobs: PlannedJob) -> list[str]:
    return list(explain_reruns(study, jobs).causes)


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"finetuning": {"learning_rate": 1e-4}}, "finetuning.learning_rate: 0.002 -> 0.0001"),
        ({"tasks": {"mortality": {"recipe": {"epochs": 7}}}}, "tasks.mortality.recipe.epochs: 1 -> 7"),
        ({"models": {TWO: {"recipe": {"epochs": 7}}}}, f"models.{TWO}.recipe.epochs: 1 -> 7"),
        (
            {"models": {TWO: {"task_recipes": {"mortality": {"epochs": 7}}}}},
            f"models.{TWO}.task_recipes.mortality.epochs: 1 -> 7",
        ),
        ({"methods": {"task-lora": {"settings": {"r": 3}}}}, "methods.task-lora.settings.r: 8 -> 3"),
        ({"tasks": {"mortality": {"task_adapter": {"r": 3}}}}, "tasks.mortality.task_adapter.r: 8 -> 3"),
        ({"switches": {"unclipped": True}}, "switches.unclipped: False -> True"),
        ({"evaluation": {"metric": "auprc"}}, "evaluation.metric: auroc -> auprc"),
    ],
)
def test_a_recipe_is_put_down_to_the_place_that_sets_it(changes, cause):
    after = study_with(**changes)
    assert causes(after, finetuning(study_with(), after)) == [cause]


def test_an_adapter_is_put_down_to_its_method_or_recipe():
    before, after = study_with(), study_with(methods={"lora": {"settings": {"r": 2}, "recipe": {"epochs": 5}}}, seed=9)
    old, new = (repr(read_record(pretrain_job(study, LORA))) for study in (before, after))
    job = PlannedJob(rule="train_adapter", wildcards={"adapter": LORA}, params={"job": new}, before=[old])
    assert set(causes(after, job)) == {
        "methods.lora.settings.r: 16 -> 2",
        "methods.lora.recipe.epochs: 2 -> 5",
        "seed: 1234 -> 9",
    }


def test_a_parameter_finds_its_earlier_value_among_several():
    params = {"size": "'demo'", "seed": "4", "repetition": "{'threshold': 0.6, 'shingle_words': 5}"}
    before = ["'tiny'", "3", "{'threshold': 0.5, 'shingle_words': 5}"]
    job = PlannedJob(rule="synthesise_hospital", params=params, before=before)
    assert set(causes(study_with(), job)) == {
        "synthetic.size: tiny -> demo",
        "synthetic.seed: 3 -> 4",
        "leakage.near_duplicate_threshold: 0.5 -> 0.6",
    }


def test_the_report_adds_no_second_wording_of_a_change():
    after = study_with(leakage={"near_duplicate_threshold": 0.6})
    check = PlannedJob(rule="check_leakage", params={"repetition": "{'threshold': 0.6}"}, before=["{'threshold': 0.5}"])
    config = "{'study': 'mine', 'leakage': {'near_duplicate_threshold': 0.6}}"
    report = PlannedJob(
        rule="write_report",
        params={"config": config, "settings": "{'leakage': {'near_duplicate_threshold': 0.6}}"},
        before=["{'study': 'mine'}", "{'leakage': {'near_duplicate_threshold': 0.5}}"],
    )
    for jobs in ([check, report], [report, check]):
        found = explain_reruns(after, jobs)
        assert found.causes == {"leakage.near_duplicate_threshold: 0.5 -> 0.6": ["check_leakage", "write_report"]}


def test_titles_of_tasks_are_compared_by_task():
    job = PlannedJob(
        rule="tabulate",
        params={"tasks": "[{'name': 'los', 'title': 'Stay'}, {'name': 'pmv', 'title': 'P'}]"},
        before=["[{'name': 'los', 'title': 'Length'}, {'name': 'pmv', 'title': 'P'}]"],
    )
    assert causes(study_with(), job) == ["tasks.los.title: Length -> Stay"]


def test_other_causes_are_told_apart():
    jobs = [
        PlannedJob(rule="import_table", wildcards={"table": "ours"}, newer=["notes.csv"]),
        PlannedJob(rule="finetune_model", wildcards=RUN, missing=["results/x"], has_other_inputs=True),
        PlannedJob(rule="train_base", wildcards={"base": "b"}, is_interrupted=True, missing=["results/y"]),
        PlannedJob(rule="compare_models", has_other_inputs=True),
        PlannedJob(rule="evaluate_model", wildcards=RUN),
    ]
    found = explain_reruns(study_with(), jobs)
    assert found.causes == {
        "interrupted before it was done": ["train_base b"],
        "matrix, or a name in the study: reads other files than before": ["compare_models"],
        "not made yet": [f"finetune_model {TWO} mortality"],
        "notes.csv is newer than what was made from it": ["import_table ours"],
    }
    assert found.following == {"evaluate_model": 1}
    text = render_reruns(study_with(), found)
    assert text.startswith("Study mine: 5 jobs would run.")
    assert "evaluate_model (1)" in text


def test_a_change_of_the_library_is_no_key():
    job = PlannedJob(rule="write_cards", params={"study": "{'words': 2}"}, before=["{'words': 1}"])
    assert causes(study_with(), job) == [f"{OF_LIBRARY}: 1 -> 2"]


def test_many_jobs_of_one_cause_are_cut_short():
    jobs = [PlannedJob(rule="evaluate_model", wildcards={"task": str(number)}, newer=["a"]) for number in range(30)]
    text = render_reruns(study_with(), explain_reruns(study_with(), jobs))
    assert "and 19 more" in text
    assert len(text.splitlines()) < 20


def test_nothing_to_run_is_said():
    assert render_reruns(study_with(), explain_reruns(study_with(), [])) == "Study mine: nothing would run again."


def test_a_study_that_never_ran_is_refused(tmp_path):
    (tmp_path / "results" / "mine").mkdir(parents=True)
    for folder in ("mine", "other"):
        with pytest.raises(DataError, match=r"expected results in .*, found none"):
            require_results(tmp_path / "results" / folder, Path("mine.yaml"))


def test_every_parameter_of_a_rule_has_a_key():
    names = set()
    for rules in RULES.glob("*.smk"):
        for block in re.findall(r"^    params:\n((?:        .*\n)+)", rules.read_text(), re.MULTILINE):
            names |= set(re.findall(r"^        (\w+)=", block, re.MULTILINE))
    assert len(names) > 40
    assert names - {*PLACES, *NO_KEY, "job"} == set()


def test_keys_of_parameters_are_keys_of_a_study():
    unknown = [place for place in PLACES.values() if place and place.split(".")[0] not in Study.model_fields]
    assert unknown == []


def test_a_base_and_a_table_are_named():
    study = study_with()
    assert study_key(study, "train_base", {"base": "tiny-llama"}, "source", ("recipe", "epochs")) == (
        "bases.tiny-llama.source.recipe.epochs"
    )
    assert study_key(study, "import_table", {"table": "ours"}, "table", ("patient",)) == "data.tables.ours.patient"
    assert study_key(study, "pool_notes", {"features": "f"}, "job", ("context",)) == "finetuning.context"
