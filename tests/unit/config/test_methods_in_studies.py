"""Methods in a study: settings by PEFT's names, and what cannot be is refused in one line that names the key."""

import json
from pathlib import Path

import pytest
from study_fixtures import study_with

from clinical_peft.config.experiments import finetune_job, pretrain_job
from clinical_peft.errors import ConfigError
from clinical_peft.methods import METHODS
from clinical_peft.recipes import FinetuneJob
from clinical_peft.recipes.job_records import job_from_record, read_record

VERA = {"label": "VeRA", "settings": {"type": "vera", "r": 4, "target_modules": ["q_proj"]}}
OTHER_VERA = {"label": "VeRA", "settings": {"type": "vera", "r": 4, "projection_prng_key": 7}}
PROMPT = {"label": "P", "settings": {"type": "prompt_tuning", "num_virtual_tokens": 3}}
PISSA = {"label": "PiSSA", "settings": {"type": "lora", "init_lora_weights": "pissa"}}
METHOD_ENTRIES = {"vera": VERA, "other-vera": OTHER_VERA, "prompt": PROMPT, "pissa": PISSA}
CLINICAL = {"label": "m", "base": "tiny-llama", "clinical": "tiny-vera", "clinical_mode": "frozen"}


def study_of(model: dict | None = None, **changes):
    models = {} if model is None else {"m": model}
    adapters = {"tiny-vera": {"base": "tiny-llama", "method": "vera"}}
    return study_with(methods=METHOD_ENTRIES | changes.pop("methods", {}), adapters=adapters, models=models, **changes)


def test_a_study_sets_pefts_own_fields():
    study = study_of(methods={"mine": {"label": "L", "settings": {"type": "lora", "r": 4, "lora_alpha": 8}}})
    method = pretrain_job(study, "tiny-vera").method
    assert (method.type, method.r, method.d_initial, method.target_modules) == ("vera", 4, 0.1, ("q_proj",))
    assert study.methods["mine"].settings.alpha == 8


def test_a_tasks_settings_may_have_pefts_names():
    model = {"label": "m", "base": "tiny-llama", "task_method": "pissa"}
    study = study_of(model, tasks={"los": {"task_adapter": {"lora_alpha": 4, "r": 2}}})
    assert finetune_job(study, "m", "los").task_method.alpha == 4
    with pytest.raises(ConfigError, match=r"config: tasks.los.task_adapter.rank: unknown key; lora has r, alpha"):
        study_of(model, tasks={"los": {"task_adapter": {"rank": 4}}})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"rank": 4},
            "config: methods.vera.settings.rank: unknown key; vera has r, target_modules, proj",
        ),
        (
            {"bias": "all"},
            "config: methods.vera.settings.bias: this field of PEFT is not a setting of vera: it wou",
        ),
        ({"inference_mode": True}, "methods.vera.settings.inference_mode: this field of PEFT is not a setting of vera"),
        ({"r": True}, "config: methods.vera.settings.r: expected a number, found true"),
        ({"r": "many"}, "methods.vera.settings.r: Input should be a valid integer"),
        (
            {"target_modules": ["q_proj", 3]},
            "methods.vera.settings.target_modules.1: Input should be a valid string .found 3.; ",
        ),
        ({"target_modules": 3}, "methods.vera.settings.target_modules: Input should be a valid list .found 3.; "),
        ({"type": "boft"}, "methods.vera.settings.type: expected one of lora, adalora, .*, vera, "),
    ],
)
def test_a_wrong_setting_is_named_with_the_known_ones(settings, message):
    with pytest.raises(ConfigError, match=message):
        study_of(methods={"vera": VERA | {"settings": VERA["settings"] | settings}})


def test_settings_without_a_type_are_refused():
    with pytest.raises(ConfigError, match=r"config: missing key methods\.new\.settings\.type$"):
        study_of(methods={"new": {"label": "N", "settings": {"r": 3}}})


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            CLINICAL | {"task_method": "task-lora"},
            "models.m.task_method: .* of type lora cannot share a network w",
        ),
        (
            CLINICAL | {"task_method": "other-vera"},
            "projection_prng_key: the clinical adapter has 0 and the task ad",
        ),
        (CLINICAL | {"task_method": "prompt"}, "prompt_tuning cannot follow a clinical adapter"),
        ({"label": "m", "base": "tiny-bert", "task_method": "prompt"}, "which an encoder pools; use a decoder"),
    ],
)
def test_a_model_that_cannot_be_is_refused_with_the_study(model, message):
    with pytest.raises(ConfigError, match=message):
        study_of(model)


@pytest.mark.parametrize(
    "model",
    [
        CLINICAL | {"task_method": "vera"},
        CLINICAL | {"task_method": "prompt", "clinical_mode": "merged"},
        CLINICAL | {"task_method": "pissa", "clinical_mode": "merged"},
        {"label": "m", "base": "tiny-bert", "task_method": "vera"},
        {"label": "m", "base": "tiny-llama", "kind": "full"},
    ],
)
def test_a_model_that_can_be_is_taken(model):
    assert finetune_job(study_of(model), "m", "los").model == "m"


def test_a_clinical_adapter_trained_further_keeps_the_rates_of_lora_plus():
    plus = {"label": "L", "settings": {"type": "lora", "r": 4, "loraplus_lr_ratio": 8}}
    model = {"label": "m", "base": "tiny-llama", "clinical": "tiny-plus", "clinical_mode": "trainable"}
    study = study_with(
        methods={"plus": plus},
        adapters={"tiny-plus": {"base": "tiny-llama", "method": "plus"}},
        models={"m": model, "f": model | {"clinical_mode": "frozen"}, "o": model | {"clinical": "tiny-llama-lora"}},
    )
    jobs = {name: finetune_job(study, name, "los") for name in "mfo"}
    assert job_from_record(FinetuneJob, read_record(jobs["m"])).clinical_method.rate_factor("lora_B", 2) == 8
    assert jobs["f"].clinical_method is jobs["o"].clinical_method is None
    assert "clinical_method" not in read_record(jobs["o"])


def test_a_base_in_four_bits_refuses_methods_that_are_not_proven_on_it():
    model = {"label": "m", "base": "tiny-llama", "task_method": "vera", "recipe": {"precision": "nf4"}}
    with pytest.raises(ConfigError, match=r"config: models.m: VeRA cannot train a base in nf4; use bf16"):
        study_of(model, matrix={"models": ["m"], "tasks": ["los"]})


def test_the_schema_lists_the_settings_of_every_method():
    schema = json.loads((Path(__file__).parents[3] / "config/schema.json").read_text())
    for name, method in METHODS.items():
        properties = schema["$defs"][type(method).__name__]["properties"]
        assert set(properties) == {"type", *method.setting_names(), *method.peft_names}, name
