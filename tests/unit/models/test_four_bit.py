"""Bases in four bits: configuration and errors everywhere, training where bitsandbytes is installed."""

import importlib.util
from dataclasses import replace

import pytest
import torch
from language_fixtures import SHAPE, clinical_tokens, job, run, scratch_base
from models_fixtures import TASK_LORA, write_base, write_clinical
from torch import nn

from clinical_peft.errors import TrainingError
from clinical_peft.methods.full import Full
from clinical_peft.methods.lora import Lora
from clinical_peft.models import four_bit
from clinical_peft.models.adapters import read_adapter_tensors, trainable_parameters
from clinical_peft.models.bases import load_causal, load_classifier
from clinical_peft.models.classifiers import build_classifier
from clinical_peft.recipes.variants import Variant

INSTALLED = importlib.util.find_spec("bitsandbytes") is not None


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    # As wide as one block of values that share a scale.
    shape = replace(SHAPE, hidden_size=64, intermediate_size=128)
    return scratch_base(tmp_path_factory.mktemp("bases"), shape=shape)


@pytest.fixture
def on_cpu(monkeypatch):
    """bitsandbytes computes on a CPU too; that suffices to prove the path."""
    monkeypatch.setattr(four_bit, "require_four_bit", lambda: torch.device("cpu"))
    # On some CPUs a first forward pass without gradients packs the weights anew, in a way that no gradient passes.
    monkeypatch.setattr("bitsandbytes.nn.modules.has_avx512bf16", lambda: False)


def test_quantisation_is_that_of_qlora():
    config = four_bit.four_bit_config().to_dict()
    assert config["load_in_4bit"]
    assert config["bnb_4bit_quant_type"] == "nf4"
    assert config["bnb_4bit_use_double_quant"]
    assert config["bnb_4bit_compute_dtype"] == "bfloat16"
    assert {"lm_head", "score", "classifier"} <= set(config["llm_int8_skip_modules"])


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_is_refused(base, tmp_path):
    for load in (load_causal, lambda folder, precision: load_classifier(folder, 2, seed=0, precision=precision)):
        with pytest.raises(TrainingError, match="precision nf4: expected a GPU"):
            load(base, precision="nf4")
    with pytest.raises(TrainingError, match="precision nf4: expected a GPU"):
        run(tmp_path, base, clinical_tokens(tmp_path, base), job(precision="nf4"))


def test_without_bitsandbytes_it_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(TrainingError, match="run `pip install bitsandbytes`"):
        four_bit.require_four_bit()


def test_packed_values_are_counted_one_by_one():
    class Params4bit(nn.Parameter):
        """Stands for the class of this name in bitsandbytes."""

    network = nn.Linear(4, 8)
    network.weight = Params4bit(torch.zeros(16, 1, dtype=torch.uint8), requires_grad=False)
    assert trainable_parameters(network) == (8, 4 * 8 + 8)


def test_what_would_change_the_matrices_is_refused(base, tmp_path):
    tokens = clinical_tokens(tmp_path, base)
    with pytest.raises(TrainingError, match="full fine-tuning cannot train the matrices of a base in four bits"):
        run(tmp_path, base, tokens, job(Full(), precision="nf4"))
    for variant in (Variant(family="causal", full=True), Variant(family="causal", clinical="merged")):
        clinical = tmp_path if variant.clinical else None
        with pytest.raises(TrainingError, match="which four bits cannot hold"):
            build_classifier(variant, base, clinical, classes=2, seed=0, precision="nf4")


@pytest.mark.skipif(not INSTALLED, reason="package bitsandbytes absent")
@pytest.mark.parametrize("method", [Lora(r=4, alpha=8), Lora(r=4, alpha=8, dora=True)])
def test_an_adapter_is_trained_on_a_base_in_four_bits(method, base, tmp_path, on_cpu):
    tokens = clinical_tokens(tmp_path, base)
    whole = run(tmp_path / "whole", base, tokens, job(method))
    packed = run(tmp_path / "packed", base, tokens, job(method, precision="nf4"))
    before, after = packed["perplexity"]["before"]["test"], packed["perplexity"]["after"]["test"]
    assert after < 0.97 * before
    assert before != whole["perplexity"]["before"]["test"]
    assert before == pytest.approx(whole["perplexity"]["before"]["test"], rel=0.1)
    assert packed["total_parameters"] == whole["total_parameters"]
    assert packed["flops_per_token"] == whole["flops_per_token"]
    stored = read_adapter_tensors(tmp_path / "packed" / "adapter")
    assert {tensor.dtype for tensor in stored.values()} == {torch.float32}
    assert "in four bits (NF4)" in (tmp_path / "packed" / "adapter" / "README.md").read_text()


@pytest.mark.skipif(not INSTALLED, reason="package bitsandbytes absent")
def test_a_classifier_keeps_its_head_whole(tmp_path, on_cpu):
    base = write_base(tmp_path / "base", "causal")
    clinical = write_clinical(tmp_path / "clinic", base)
    variant = Variant(family="causal", clinical="frozen", task_method=TASK_LORA)
    classifier = build_classifier(variant, base, clinical, classes=2, seed=0, precision="nf4")
    kinds = {name: type(parameter).__name__ for name, parameter in classifier.network.named_parameters()}
    assert kinds["model.layers.0.self_attn.k_proj.weight"] == "Params4bit"
    assert kinds["score.modules_to_save.task.weight"] == "Parameter"
    assert classifier.trained_parameters()["score.modules_to_save.task.weight"].dtype == torch.float32
