"""Jobs as records and back, without the library that validates a configuration."""

import json
from dataclasses import asdict, fields, replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from clinical_peft.config import experiments
from clinical_peft.errors import ConfigError
from clinical_peft.methods.adalora import AdaLora
from clinical_peft.methods.adaption_prompt import AdaptionPrompt
from clinical_peft.methods.full import Full
from clinical_peft.methods.lora import Lora
from clinical_peft.methods.p_tuning import PTuning
from clinical_peft.methods.prefix_tuning import PrefixTuning
from clinical_peft.methods.prompt_tuning import PromptTuning
from clinical_peft.recipes import Devices, FinetuneJob, FinetuneRecipe, LanguageRecipe, PoolJob, PretrainJob
from clinical_peft.recipes.job_records import as_record, job_from_record, read_record
from clinical_peft.recipes.switches import TRAINING_SWITCHES

METHODS = [
    *(Lora(r=4, dora=True, target_modules=("query",)), AdaLora(init_r=6), AdaptionPrompt(), PrefixTuning()),
    *(PromptTuning(init_text="Note: "), PTuning(encoder="MLP"), Full()),
]
recipes = st.builds(
    LanguageRecipe,
    learning_rate=st.floats(1e-6, 1),
    checkpointing=st.sampled_from(["auto", "none", 3]),
    train_tokens=st.none() | st.integers(1, 10**9),
    batch_tokens=st.just(32768),
    devices=st.builds(Devices, processes=st.integers(1, 4), strategy=st.sampled_from(["ddp", "fsdp2"])),
)
switches = st.fixed_dictionaries(dict.fromkeys(TRAINING_SWITCHES, st.booleans()))
pretrain_jobs = st.builds(
    PretrainJob,
    adapter=st.text(),
    method=st.sampled_from(METHODS),
    recipe=recipes,
    seed=st.integers(),
    split_salt=st.text(),
    switches=switches,
)
finetune_jobs = st.builds(
    FinetuneJob,
    model=st.text(),
    task=st.just("los"),
    kind=st.sampled_from(["adapted", "full", "tfidf"]),
    family=st.sampled_from(["causal", None]),
    clinical=st.none() | st.text(),
    clinical_mode=st.sampled_from(["merged", None]),
    task_method=st.sampled_from([METHODS[0], None]),
    recipe=st.builds(
        FinetuneRecipe, learning_rate=st.floats(1e-6, 1), head_learning_rate=st.none() | st.floats(1e-6, 1)
    ),
    switches=switches,
)
POOL = PoolJob(
    family="causal",
    clinical=None,
    clinical_mode=None,
    context=128,
    micro_batch_size=8,
    precision="bf16",
    threads=2,
    switches={"pool_last_position": True},
)


@given(pretrain_jobs | finetune_jobs | st.just(POOL))
def test_a_job_survives_its_record_as_a_file(job):
    record = as_record(job)
    again = job_from_record(type(job), json.loads(json.dumps(record)))
    assert again == job
    assert asdict(again) == asdict(job)
    assert as_record(again) == record


def test_the_jobs_of_a_study_survive_their_record():
    config = yaml.safe_load((Path(__file__).parents[3] / "config/config.yaml").read_text())
    demo = experiments.load_study(config)
    jobs = [experiments.pretrain_job(demo, adapter) for adapter in demo.adapters]
    jobs += [experiments.finetune_job(demo, model, task) for model in demo.models for task in demo.tasks]
    assert [job_from_record(type(job), as_record(job)) for job in jobs] == jobs


def test_records_drop_notes_and_refuse_strange_keys():
    job = PretrainJob(
        adapter="a", method=Full(), recipe=LanguageRecipe(learning_rate=1.0), seed=0, split_salt="s", switches={}
    )
    record = as_record(job)
    assert job_from_record(PretrainJob, record | {"search": {"best": 1}}) == job
    with pytest.raises(TypeError, match="'epoch'"):
        job_from_record(PretrainJob, record | {"recipe": record["recipe"] | {"epoch": 1}})
    with pytest.raises(ValueError, match=r"expected one of .*'lora'.*'full'"):
        job_from_record(PretrainJob, record | {"method": {"type": "boft"}})
    with pytest.raises(ValueError, match="epochs must be at least 1"):
        job_from_record(PretrainJob, record | {"recipe": record["recipe"] | {"epochs": 0}})
    assert job_from_record(PretrainJob, as_record(replace(job, seed=3))).seed == 3


def test_settings_at_their_defaults_leave_a_record_as_it_was():
    job = PretrainJob(
        adapter="a", method=Lora(), recipe=LanguageRecipe(learning_rate=1.0), seed=0, split_salt="s", switches={}
    )
    names = ["type", "r", "alpha", "dropout", "rank_stabilised", "dora", "target_modules"]
    assert list(as_record(job)["method"]) == names
    other = replace(job, method=Lora(loraplus_lr_ratio=4.0, rank_pattern={"q_proj": 8}, layers_to_transform=(0, 1)))
    record = as_record(other)["method"]
    assert list(record) == [*names, "rank_pattern", "layers_to_transform", "loraplus_lr_ratio"]
    assert job_from_record(PretrainJob, as_record(other)) == other


def test_pooling_stands_in_a_record_where_it_is_not_the_default():
    demo = finetune_job("llama+lora", "los")
    assert demo.recipe.pooling == read_record(demo)["recipe"]["pooling"] == "mean"
    last = replace(demo, recipe=replace(demo.recipe, pooling="last"))
    assert "pooling" not in as_record(last)["recipe"]
    assert job_from_record(FinetuneJob, as_record(last)) == last


@pytest.mark.parametrize("changes", [{"protocol": "paper"}, {"switches": {"pool_last_position": True}}])
def test_the_original_pools_the_last_position_whatever_a_study_says(changes):
    config = yaml.safe_load((Path(__file__).parents[3] / "config/config.yaml").read_text())
    study = experiments.load_study(config | changes)
    assert experiments.finetune_job(study, "llama+lora", "los").recipe.pooling == "last"
    assert experiments.pool_job(study, "llama", "los").pooling == "last"


def test_features_of_another_pooling_have_another_name():
    config = yaml.safe_load((Path(__file__).parents[3] / "config/config.yaml").read_text())
    names = [
        experiments.feature_set(experiments.load_study(config | {"finetuning": recipe}), "llama", "los")
        for recipe in (config["finetuning"], config["finetuning"] | {"pooling": "last"})
    ]
    assert names == ["tiny-llama-128-fp32-mean", "tiny-llama-128-fp32"]


def demo_jobs():
    config = yaml.safe_load((Path(__file__).parents[3] / "config/config.yaml").read_text())
    demo = experiments.load_study(config)
    yield from (experiments.pretrain_job(demo, adapter) for adapter in demo.adapters)
    yield from (experiments.finetune_job(demo, model, task) for model in demo.models for task in demo.tasks)


def test_settings_that_decide_a_result_give_the_same_record():
    for job in demo_jobs():
        record = read_record(job)
        again = job_from_record(type(job), json.loads(json.dumps(record)))
        assert read_record(again) == record
        assert {key: value for key, value in asdict(again).items() if key not in ("recipe", "switches")} == {
            key: value for key, value in asdict(job).items() if key not in ("recipe", "switches")
        }


@pytest.mark.parametrize(
    ("model", "task", "unused"),
    [
        ("tfidf", "los", {"learning_rate", "head_learning_rate", "epochs", "context", "batch_size", "precision"}),
        ("tfidf", "diagnoses", {"learning_rate", "class_weights"}),
        ("llama", "los", {"learning_rate"}),
        ("llama+clinical-frozen", "diagnoses", {"learning_rate", "class_weights"}),
        ("llama+lora", "los", set()),
        ("bert", "procedures", {"class_weights", "pooling"}),
    ],
)
def test_recipe_keys_without_effect_are_dropped(model, task, unused):
    (job,) = (job for job in demo_jobs() if isinstance(job, FinetuneJob) and (job.model, job.task) == (model, task))
    left_out = {field.name for field in fields(FinetuneRecipe)} - read_record(job)["recipe"].keys()
    assert unused | {"checkpoint_seconds"} <= left_out
    assert model == "tfidf" or left_out == unused | {"checkpoint_seconds"}


def test_a_head_without_a_rate_of_its_own_depends_on_the_rate():
    (job,) = (job for job in demo_jobs() if isinstance(job, FinetuneJob) and (job.model, job.task) == ("llama", "los"))
    job = replace(job, recipe=replace(job.recipe, head_learning_rate=None))
    assert read_record(job)["recipe"]["learning_rate"] == job.recipe.learning_rate


def finetune_job(model, task):
    return next(job for job in demo_jobs() if isinstance(job, FinetuneJob) and (job.model, job.task) == (model, task))


def test_a_record_holds_every_switch_that_the_job_reads():
    for job in demo_jobs():
        for name in read_record(job)["switches"]:
            with pytest.raises(ConfigError, match=f"expected a value for {name}, found none"):
                read_record(replace(job, switches={key: on for key, on in job.switches.items() if key != name}))
            others = {
                key: not on if key not in read_record(job)["switches"] else on for key, on in job.switches.items()
            }
            assert read_record(replace(job, switches=others)) == read_record(job)


def test_threads_are_no_part_of_what_decides_tfidf():
    for model, depends in (("tfidf", False), ("llama", True)):
        job = finetune_job(model, "los")
        more = replace(job, recipe=replace(job.recipe, threads=7))
        assert (read_record(more) != read_record(job)) == depends
