import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
from peft import PeftType

from clinical_peft import methods
from clinical_peft.errors import ConfigError
from clinical_peft.methods import METHODS, PREFIXES, SettingError, find_peft_method, layer_of, name_settings
from clinical_peft.methods.catalogue import CATALOGUE
from clinical_peft.methods.lora import Lora
from clinical_peft.methods.method import Method
from clinical_peft.methods.snapshot import SNAPSHOT, peft_fields
from clinical_peft.models.peft_fields import snapshot_text
from clinical_peft.recipes.classifier_adapters import refuse_clinical, refuse_task
from clinical_peft.recipes.method_table import methods_table, with_table

REPOSITORY = Path(__file__).parents[3]
NO_METHODS = {"__init__", "catalogue", "from_peft", "method", "snapshot"}
MODULES = {path.stem for path in (REPOSITORY / "clinical_peft" / "methods").glob("*.py")} - NO_METHODS


def test_every_module_and_catalogue_entry_is_a_method():
    assert set(METHODS) == {*MODULES, *CATALOGUE}
    assert all(type(method)() == method for method in METHODS.values())


STUB = """
from dataclasses import dataclass
from typing import ClassVar, Literal
from clinical_peft.methods.method import Method

@dataclass(frozen=True, kw_only=True)
class Stub(Method):
    {lines}

METHOD = Stub()
"""


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ('type: Literal["stub"] = "stub"', "stub.py: peft_type: expected PEFT's name of the method, found none"),
        ('type: Literal["stub"] = "stub"; r: int', "stub.py: .*argument: 'r'; give every setting a default"),
        ("peft_type = 'VERA'; type: Literal['stub'] = 'stub'", "stub.py: peft_config: expected a function"),
        ("peft_type = 'VERA'", "stub.py: .*argument: 'type'; give every setting a default"),
        ("peft_type = 'LORA'; type: Literal['lora'] = 'lora'", "stub.py: a second method has type lora; rename one"),
    ],
)
def test_an_incomplete_method_is_refused_in_one_line(lines, message, tmp_path, monkeypatch):
    (tmp_path / "stub.py").write_text(STUB.format(lines=lines))
    monkeypatch.setattr(methods, "__path__", [*methods.__path__, str(tmp_path)])
    importlib.invalidate_caches()
    with pytest.raises(ConfigError, match=message):
        methods.read_methods()
    sys.modules.pop("clinical_peft.methods.stub", None)


def test_methods_are_imported_without_torch():
    heavy = "{'torch', 'peft', 'transformers', 'pydantic'}"
    code = f"import sys, clinical_peft.methods; assert not {heavy} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_adapter_is_found_by_pefts_name_of_its_method():
    named = [method for method in METHODS.values() if method.peft_type is not None]
    assert [method.type for method in METHODS.values() if method not in named] == ["full"]
    for method in named:
        assert find_peft_method(method.peft_type) is find_peft_method(PeftType[method.peft_type]) is method
        assert method.peft_config(total_steps=100).peft_type == PeftType[method.peft_type]
    assert find_peft_method("BOFT") is None


def test_a_method_without_an_adapter_has_no_configuration():
    with pytest.raises(ValueError, match="full: the method has no adapter"):
        METHODS["full"].peft_config(total_steps=1)


def test_the_layer_of_an_adapters_tensor_is_found_by_its_name():
    assert "lora_" in PREFIXES
    assert layer_of("base_model.model.h.0.q_proj.lora_A.default.weight") == "base_model.model.h.0.q_proj"
    assert layer_of("lm_head.lora_B.weight") == "lm_head"
    assert layer_of("model.layers.0.self_attn.q_proj.weight") is None


def test_the_table_of_the_documentation_is_current():
    text = (REPOSITORY / "docs" / "models.md").read_text()
    assert with_table(text) == text, "run `make methods`"
    first = [row.split("|")[1] for row in methods_table().splitlines()[2:]]
    assert {re.findall(r"`(\w+)`", cell)[0] for cell in first} == set(METHODS)


def test_the_snapshot_is_that_of_the_installed_peft():
    assert snapshot_text(peft_fields()["methods"]) == SNAPSHOT.read_text(), "PEFT has moved: run `make methods`"


def test_every_field_of_peft_is_a_setting_or_refused():
    methods = peft_fields()["methods"]
    assert set(methods) == {method.peft_type.lower() for method in METHODS.values() if method.peft_type}
    for name, found in methods.items():
        method = METHODS[name]
        named = {method.peft_names.get(field, field) for field in found["fields"]}
        assert named - set(method.setting_names()) == set(method.refused)
        assert set(method.peft_names) <= set(found["fields"])


def test_defaults_of_the_catalogue_are_pefts():
    for name in CATALOGUE:
        config, fields = METHODS[name].peft_config(total_steps=1), peft_fields()["methods"][name]["fields"]
        assert {key: getattr(config, key) for key in METHODS[name].setting_names()} == {
            key: fields[key]["default"] for key in METHODS[name].setting_names()
        }


@pytest.mark.parametrize(
    ("name", "settings", "key", "message"),
    [
        ("vera", {"rank": 4}, "rank", "unknown key; vera has r, target_modules, projection_prng_key"),
        ("vera", {"save_projection": False}, "save_projection", "is not a setting of vera: projections are always"),
        ("ia3", {"task_type": "SEQ_CLS"}, "task_type", "is not a setting of ia3: the workflow sets it"),
        ("lora", {"bias": "all"}, "bias", "is not a setting of lora: it would train biases of the base"),
        ("lora", {"layer_replication": [[0, 1]]}, "layer_replication", "it would change the base"),
        ("adalora", {"tinit": 3}, "tinit", "set initial_ratio and final_ratio"),
        ("lora", {"lora_alpha": 8, "alpha": 8}, "lora_alpha", "expected one name of the setting, found alpha too"),
        ("lora", {"r": True}, "r", "expected a number, found true"),
        ("full", {"r": 4}, "r", "unknown key; full has no settings"),
    ],
)
def test_a_setting_that_a_method_lacks_is_refused(name, settings, key, message):
    with pytest.raises(SettingError, match=message) as caught:
        name_settings(settings, METHODS[name])
    assert caught.value.key == key


def test_settings_may_have_pefts_names():
    given = {"type": "lora", "r": 4, "lora_alpha": 8, "use_dora": True}
    assert name_settings(given, METHODS["lora"]) == {"type": "lora", "r": 4, "alpha": 8, "dora": True}


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("vera", {"r": 0}, "r must be at least 1, found 0"),
        ("vera", {"vera_dropout": 1.0}, r"vera_dropout must be in \[0, 1\)"),
        ("vera", {"d_initial": float("inf")}, "d_initial must be a finite number"),
        ("hra", {"target_modules": ()}, "target_modules must name at least one"),
        ("oft", {"r": 8}, "expected either r or oft_block_size to be 0, found 8 and 32"),
        ("loha", {"alpha": -1}, "alpha must not be negative"),
        ("loha", {"layers_pattern": "h"}, "layers_pattern needs layers_to_transform"),
        ("lora", {"layers_to_transform": 1, "target_modules": "all-linear"}, "needs a list of target_modules"),
        ("ia3", {"target_modules": ("k_proj",), "feedforward_modules": ("down_proj",)}, "expected some of target_mod"),
        ("gralora", {"r": 5}, "gralora_k must divide r, found 2 and 5"),
        ("lora", {"init_lora_weights": "eva"}, "eva is refused: it reads training texts"),
        ("lora", {"init_lora_weights": "pisa"}, "expected true, false, gaussian, orthogonal, olora, pissa"),
        ("lora", {"init_lora_weights": "pissa", "dora": True}, "takes a part of the weights"),
        ("lora", {"init_lora_weights": "orthogonal", "r": 3}, "orthogonal needs even ranks"),
        ("lora", {"loraplus_lr_ratio": 0.5}, "loraplus_lr_ratio must be at least 1 or null"),
        ("lora", {"rank_pattern": {"q_proj": 0}}, "rank_pattern.q_proj must be at least 1"),
    ],
)
def test_a_value_out_of_range_is_refused(name, settings, message):
    with pytest.raises(ValueError, match=message):
        type(METHODS[name])(**settings)


def test_lora_plus_trains_b_and_vectors_faster():
    method, name = Lora(loraplus_lr_ratio=16.0), "layers.0.q_proj.lora_{}.default.weight"
    assert [method.rate_factor(name.format(part), 2) for part in ("A", "B")] == [1.0, 16.0]
    assert method.rate_factor(name.format("magnitude_vector"), 1) == 16.0
    assert method.rate_factor("score.weight", 2) == method.rate_factor("score.bias", 1) == 1.0
    assert Lora().rate_factor(name.format("B"), 2) == 1.0


@pytest.mark.parametrize(
    ("name", "mode", "task_adapter", "message"),
    [
        ("lora", "frozen", True, None),
        ("lora", "trainable", True, None),
        ("lora", "merged", True, None),
        ("adalora", "merged", True, None),
        ("adalora", "frozen", False, None),
        ("adalora", "frozen", True, "nor share a network with a task adapter; set clinical_mode to merged"),
        ("adalora", "trainable", False, "cannot be trained further"),
        ("prefix_tuning", "merged", False, "found prefix_tuning, which belongs to the language model"),
    ],
)
def test_classifiers_use_the_clinical_adapters_that_they_can(name, mode, task_adapter, message):
    refusal = refuse_clinical(METHODS[name], mode, task_adapter=task_adapter, kind=name)
    assert refusal is None if message is None else message in refusal


def test_an_unknown_adapter_is_refused_on_a_classifier():
    assert "found BOFT" in refuse_clinical(None, "frozen", task_adapter=False, kind="BOFT")


@pytest.mark.parametrize(
    ("method", "mode", "message"),
    [
        (Lora(), "frozen", None),
        (Lora(dora=True), None, None),
        (Lora(dora=True), "merged", None),
        (Lora(dora=True), "trainable", "DoRA cannot follow a clinical adapter"),
        (METHODS["adalora"], None, "found adalora"),
    ],
)
def test_classifiers_train_the_task_adapters_that_they_can(method: Method, mode, message):
    refusal = refuse_task(method, mode, family="causal")
    assert refusal is None if message is None else message in refusal
