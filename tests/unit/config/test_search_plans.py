"""Searches of a study: spaces as data, wrong ones named before any job starts, the best recipe in the job."""

import csv
import json
from pathlib import Path

import pytest
import yaml

from clinical_peft.config import experiments
from clinical_peft.config.layers import deep_merge
from clinical_peft.config.search_plans import adapter_search, model_search
from clinical_peft.config.search_spaces import as_record as record_of
from clinical_peft.config.search_spaces import grid
from clinical_peft.errors import ConfigError, TrainingError
from clinical_peft.recipes import FinetuneJob, PretrainJob
from clinical_peft.recipes.job_records import as_record, job_from_record, read_record
from clinical_peft.search.outcome import choose_best, complete_job
from clinical_peft.workflow.plan import plan

CONFIG = Path(__file__).parents[3] / "config"
MODEL = "llama+lora"
TRIAL = {"curve": [0.5], "tokens": 10, "seconds": 1.5, "reason": None}


def study(search=None, **overrides):
    default = yaml.safe_load((CONFIG / "config.yaml").read_text())
    return experiments.load_study(deep_merge(default, overrides, {"search": search or {}}))


def searching(space, **entry):
    return {"spaces": {"mine": space}, "models": {MODEL: {"space": "mine", **entry}}}


# The original's grids (v2 and later), with as many points as its published sweeps span.
POINTS = {"lora": 27, "adaption-prompt": 6, "prefix-tuning": 8, "prompt-tuning": 8, "p-tuning": 480, "adalora": 36,
          "full": 2, "task-lora": 48, "two-step-task-lora": 48}  # fmt: skip


def test_the_originals_spaces_are_in_the_registry():
    spaces = study().search.spaces
    assert set(POINTS) == set(spaces)
    adapters = {space: f"tiny-llama-{space}" for space in list(POINTS)[:6]}
    models = {MODEL: {"space": "task-lora"}, "llama+clinical-frozen+downstream": {"space": "two-step-task-lora"}}
    chosen = study({"adapters": {adapter: {"space": space} for space, adapter in adapters.items()}, "models": models})
    for space, adapter in adapters.items():
        search = adapter_search(chosen, adapter)
        assert (search.points, search.sampler, search.metric) == (POINTS[space], "grid", "validation_perplexity")
        assert search.planned_trials == min(20, POINTS[space])
        assert len(grid(search)) == POINTS[space]
    search = model_search(chosen, MODEL, "los")
    assert (search.points, search.planned_trials, search.sampler, search.metric) == (48, 20, "tpe", "validation_auroc")
    assert model_search(chosen, "llama+clinical-frozen+downstream", "los").planned_trials == 10


def test_nothing_is_searched_by_default():
    for name in ("config", "tiny", "paper"):
        chosen = study(**yaml.safe_load((CONFIG / f"{name}.yaml").read_text()))
        assert experiments.searches_in_use(chosen) == {}
        assert "search" not in [stage.name for stage in plan(chosen)]


def test_a_search_may_cover_some_tasks_of_the_matrix():
    chosen = study(searching({"settings": {"r": [2, 4]}}, tasks=["los", "pmv"], trials=1, workers=4))
    assert set(experiments.searches_in_use(chosen)) == {f"{MODEL}/los", f"{MODEL}/pmv"}
    search = experiments.searches_in_use(chosen)[f"{MODEL}/los"]
    assert (search.planned_trials, search.planned_workers) == (1, 1)
    stage = next(stage for stage in plan(chosen) if stage.name == "search")
    assert stage.jobs == 4
    assert stage.tokens > 0
    unselected = study(searching({"settings": {"r": [2, 4]}}), matrix={"models": ["llama"]})
    assert experiments.searches_in_use(unselected) == {}


def test_more_trials_cost_more_and_a_small_space_caps_them():
    def tokens(trials):
        chosen = study(searching({"settings": {"r": [2, 4, 8]}}, trials=trials))
        return next(stage.tokens for stage in plan(chosen) if stage.name == "search")

    assert tokens(1) < tokens(2) < tokens(3) == tokens(100)


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        (searching({"settings": {"rank": [2, 4]}}), "search.spaces.mine.settings.rank: unknown parameter"),
        ({"spaces": {"unused": {"recipe": {"lr": [1.0]}}}}, "search.spaces.unused.recipe.lr: unknown parameter"),
        (searching({"recipe": {"context": [64, 128]}}), "recipe.context: unknown parameter"),
        (searching({"settings": {"num_virtual_tokens": [2]}}), "settings.num_virtual_tokens is not a parameter here"),
        (searching({}), "search.spaces.mine: expected a parameter in settings or recipe, found none"),
        (searching({"settings": {"r": []}}), "search.spaces.mine.settings.r"),
        (searching({"settings": {"r": [2, 2]}}), "settings.r: lists a value twice"),
        (searching({"settings": {"r": ["many"]}}), "settings.r = 'many'"),
        (searching({"recipe": {"epochs": [0, 1]}}), "recipe.epochs = 0: epochs must be at least 1"),
        (searching({"recipe": {"batch_size": [12]}}), "micro_batch_size must divide batch_size"),
        (searching({"recipe": {"learning_rate": {"low": 1.0, "high": 0.1}}}), "expected low below high"),
        (searching({"recipe": {"learning_rate": {"low": 0, "high": 1, "log": True}}}), "needs a positive low"),
        (searching({"recipe": {"learning_rate": {"low": 0.1, "high": 1.0}}}, sampler="grid"), "a grid needs lists"),
        (searching({"settings": {"r": [2]}, "trials": 0}), "search.spaces.mine.trials"),
        (searching({"settings": {"r": [2]}}, trials=-1), f"search.models.{MODEL}.trials"),
        (searching({"settings": {"r": [2]}}, workers=0), f"search.models.{MODEL}.workers"),
        (searching({"settings": {"r": [2]}, "sampler": "random"}), "search.spaces.mine.sampler"),
        ({"pruner": "hyperband"}, "search.pruner"),
        ({"model": {}}, "unknown key search.model"),
        ({"models": {MODEL: {"space": "none"}}}, f"search.models.{MODEL}.space: 'none' is not among the search spaces"),
        ({"models": {"gpt": {"space": "task-lora"}}}, "search.models: 'gpt' is not among the models"),
        ({"adapters": {"gpt": {"space": "lora"}}}, "search.adapters: 'gpt' is not among the adapters"),
        ({"models": {"llama": {"space": "task-lora"}}}, "llama has no task adapter, whose settings.r"),
        ({"models": {"tfidf": {"space": "full"}}}, "tfidf is a tfidf model, which has no recipe to search"),
        ({"spaces": {"mine": {"settings": {"num_virtual_tokens": [2, 128]}}},
          "adapters": {"tiny-llama-p-tuning": {"space": "mine"}}},
         "settings.num_virtual_tokens = 128: num_virtual_tokens is 128, but the recipe's context is 128"),
        ({"adapters": {"tiny-llama-lora": {"space": "p-tuning"}}}, "settings.num_virtual_tokens is not a parameter"),
    ],
)  # fmt: skip
def test_a_wrong_search_is_one_message_naming_the_key(search, expected):
    with pytest.raises(ConfigError) as caught:
        study(search)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def write_trials(folder, *shares):
    paths = []
    for worker, share in enumerate(shares):
        paths.append(folder / f"worker{worker}.json")
        paths[-1].write_text(json.dumps([TRIAL | trial for trial in share]))
    return paths


def trial(number, value, state="complete", r=2, **other):
    return {"number": number, "state": state, "value": value, "values": {"settings.r": r}, **other}


def choose(folder, workers, search):
    return choose_best(search, workers, searched="x", best=folder / "best.json", table=folder / "all.csv")


def test_the_first_of_the_best_completed_trials_is_chosen(tmp_path):
    search = model_search(study(searching({"settings": {"r": [2, 4, 8, 16]}})), MODEL, "los")
    workers = write_trials(
        tmp_path,
        [trial(0, 0.7), trial(2, 0.8, r=8), trial(4, None, "failed", reason="training loss is not finite")],
        [trial(1, 0.8, r=4), trial(3, 0.9, "pruned", r=16, curve=[0.9, 0.9])],
    )
    found = choose(tmp_path, workers, search)
    assert found["best"] == {"trial": 1, "value": 0.8, "values": {"settings.r": 4}}
    assert found["trials"] == {"all": 5, "complete": 3, "pruned": 1, "failed": 1}
    assert found == json.loads((tmp_path / "best.json").read_text())
    assert (found["space"], found["sampler"], found["seed"], found["direction"]) == ("mine", "tpe", 0, "maximise")
    rows = list(csv.DictReader((tmp_path / "all.csv").open()))
    assert [row["number"] for row in rows] == list("01234")
    assert list(rows[0]) == ["number", "state", "settings.r", "validation_auroc", "validation_auroc_1",
                             "validation_auroc_2", "tokens", "seconds", "reason"]  # fmt: skip
    assert rows[4]["reason"] == "training loss is not finite"


def test_perplexity_is_minimised(tmp_path):
    search = adapter_search(study({"adapters": {"tiny-llama-lora": {"space": "lora"}}}), "tiny-llama-lora")
    values = {"settings.r": 4, "settings.alpha": 8, "settings.dropout": 0.1}
    workers = write_trials(tmp_path, [trial(0, 9.0, values=values), trial(1, 8.0, values=values)])
    assert choose(tmp_path, workers, search)["best"]["trial"] == 1


def test_a_search_without_a_completed_trial_says_why(tmp_path):
    search = model_search(study(searching({"settings": {"r": [2]}})), MODEL, "los")
    workers = write_trials(tmp_path, [trial(0, None, "failed", reason="the adapter does not fit")])
    with pytest.raises(TrainingError, match="none of 1 trials completed; the first: the adapter does not fit"):
        choose(tmp_path, workers, search)
    assert (tmp_path / "all.csv").exists()
    assert not (tmp_path / "best.json").exists()


def test_the_best_recipe_is_put_into_the_job_and_recorded(tmp_path):
    space = {"settings": {"r": [4]}, "recipe": {"learning_rate": [1e-3]}}
    chosen = study(searching(space))
    values = {"settings.r": 4, "recipe.learning_rate": 1e-3}
    choose(tmp_path, write_trials(tmp_path, [trial(0, 0.7, values=values)]), model_search(chosen, MODEL, "los"))
    job = experiments.finetune_job(chosen, MODEL, "los")
    found, record = complete_job(FinetuneJob, as_record(job), tmp_path / "best.json")
    assert (found.task_method.r, found.recipe.learning_rate) == (4, 1e-3)
    assert (found.task_method.alpha, found.recipe.epochs) == (job.task_method.alpha, job.recipe.epochs)
    assert record["search"]["best"]["values"] == values
    assert read_record(job_from_record(FinetuneJob, record)) == read_record(found)
    assert complete_job(FinetuneJob, as_record(job), []) == (job, as_record(job))


def test_the_best_recipe_of_an_adapter_is_put_into_its_method(tmp_path):
    chosen = study({"adapters": {"tiny-llama-prompt-tuning": {"space": "prompt-tuning"}}})
    values = {"settings.num_virtual_tokens": 3, "settings.init_text": None}
    search = adapter_search(chosen, "tiny-llama-prompt-tuning")
    choose(tmp_path, write_trials(tmp_path, [trial(0, 7.0, values=values)]), search)
    job = experiments.pretrain_job(chosen, "tiny-llama-prompt-tuning")
    found, _ = complete_job(PretrainJob, as_record(job), tmp_path / "best.json")
    assert (found.method.num_virtual_tokens, found.method.init_text) == (3, None)
    assert record_of(search)["space"] == "prompt-tuning"
