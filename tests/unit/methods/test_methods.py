import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
from peft import PeftType

from clinical_peft import methods
from clinical_peft.errors import ConfigError
from clinical_peft.methods import METHODS, PREFIXES, find_peft_method, layer_of
from clinical_peft.methods.lora import Lora
from clinical_peft.methods.method import Method
from clinical_peft.recipes.classifier_adapters import refuse_clinical, refuse_task

REPOSITORY = Path(__file__).parents[3]
MODULES = {path.stem for path in (REPOSITORY / "clinical_peft" / "methods").glob("*.py")} - {"__init__", "method"}


def test_every_module_of_the_package_is_a_method():
    assert set(METHODS) == MODULES
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
    assert find_peft_method("IA3") is None


def test_a_method_without_an_adapter_has_no_configuration():
    with pytest.raises(ValueError, match="full: the method has no adapter"):
        METHODS["full"].peft_config(total_steps=1)


def test_the_layer_of_an_adapters_tensor_is_found_by_its_name():
    assert "lora_" in PREFIXES
    assert layer_of("base_model.model.h.0.q_proj.lora_A.default.weight") == "base_model.model.h.0.q_proj"
    assert layer_of("lm_head.lora_B.weight") == "lm_head"
    assert layer_of("model.layers.0.self_attn.q_proj.weight") is None


def test_every_method_stands_in_the_table_of_the_documentation():
    text = (REPOSITORY / "docs" / "models.md").read_text()
    table = text.partition("| `type` | method | notes |")[2].partition("\n\n")[0]
    first = [row.split("|")[1] for row in table.splitlines()[2:]]
    assert set(re.findall(r"`(\w+)`", " ".join(first))) == set(METHODS)


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
    assert "found IA3" in refuse_clinical(None, "frozen", task_adapter=False, kind="IA3")


@pytest.mark.parametrize(
    ("method", "mode", "message"),
    [
        (Lora(), "frozen", None),
        (Lora(dora=True), None, None),
        (Lora(dora=True), "merged", None),
        (Lora(dora=True), "trainable", "DoRA is defined on one weight matrix"),
        (METHODS["adalora"], None, "found adalora"),
    ],
)
def test_classifiers_train_the_task_adapters_that_they_can(method: Method, mode, message):
    refusal = refuse_task(method, mode)
    assert refusal is None if message is None else message in refusal
