"""Recomputing and compiling layers change what a step costs, not what it computes."""

import logging
from dataclasses import replace

import numpy as np
import pytest
import torch
from attention_fixtures import CPU, METHODS, documents, loss_and_gradients, network
from language_fixtures import RECIPE
from torch.utils._python_dispatch import TorchDispatchMode

from clinical_peft.errors import TrainingError
from clinical_peft.training import compiling
from clinical_peft.training.activations import (
    _measure_kept,
    count_for_memory,
    decoder_layers,
    free_bytes,
    kept_bytes,
    layers_to_recompute,
    recomputed,
)
from clinical_peft.training.attention import hands_on_cache
from clinical_peft.training.batching import passes
from clinical_peft.training.language_loss import CausalLoss
from clinical_peft.training.vocabulary import linear_cross_entropy


def forward_of(model, *, packed=True):
    loss = CausalLoss(0, CPU, packed=packed)
    return lambda tokens: loss(model, [np.full(tokens // 2, 7), np.full(tokens - tokens // 2, 9)], key=(0,))[0]


@pytest.mark.parametrize("name", [name for name in METHODS if not name.startswith("prefix")])
@pytest.mark.parametrize("count", [1, 2])
def test_gradients_are_the_same_when_layers_are_recomputed(name, count):
    model = network(METHODS[name])
    packed = METHODS[name] is None or METHODS[name].can.pack
    groups = passes(documents(), 64, packed=packed)
    expected = loss_and_gradients(model, groups, packed=packed)
    with recomputed(model, count):
        found = loss_and_gradients(model, groups, packed=packed)
    assert torch.equal(found[0], expected[0])
    for gradient, other in zip(found[1].values(), expected[1].values(), strict=True):
        torch.testing.assert_close(gradient, other, rtol=1e-5, atol=1e-7)


def test_recomputing_draws_the_same_dropout():
    model = network(replace(METHODS["lora"], dropout=0.5))
    groups = passes(documents(), 64, packed=True)
    torch.manual_seed(4)
    expected = loss_and_gradients(model, groups, packed=True)
    torch.manual_seed(4)
    with recomputed(model, 2):
        found = loss_and_gradients(model, groups, packed=True)
    assert all(torch.equal(found[1][name], gradient) for name, gradient in expected[1].items())


def test_recomputed_layers_keep_less_and_are_put_back():
    model = network(METHODS["lora"])
    forward = forward_of(model)
    sizes = []
    for count in (0, 1, 2):
        with recomputed(model, count):
            assert sum(layer.gradient_checkpointing for layer in decoder_layers(model)) == count
            sizes.append(kept_bytes(model, forward, 512))
    assert sizes[0] > 1.5 * sizes[1] > 1.5 * sizes[2]
    assert not any(layer.gradient_checkpointing for layer in decoder_layers(model))


def test_the_estimate_of_what_a_pass_keeps_is_what_it_keeps():
    model = network(METHODS["lora"])
    forward = forward_of(model)
    estimate = kept_bytes(model, forward, 700)
    measured = _measure_kept(model, forward, 700)
    assert estimate == pytest.approx(measured, rel=0.02)


@pytest.mark.parametrize(("free", "count"), [(1000, 0), (999, 2), (800, 3), (400, 7), (301, 8), (0, 8)])
def test_as_few_layers_as_memory_demands_are_recomputed(free, count):
    # Eight layers of 100 bytes each, and 200 that are kept in any case; a layer being recomputed needs 100 more.
    assert count_for_memory(8, kept=1000, least=200, free=free) == count


def test_the_recipe_decides_and_auto_asks_the_memory():
    model = network(METHODS["lora"])
    forward = forward_of(model)

    def choose(wanted, free=None):
        return layers_to_recompute(wanted, model, forward, tokens=512, free=free, has_cache=False)

    assert [choose(wanted) for wanted in ("none", "full", 1, 2, 5, "auto")] == [0, 2, 2, 1, 1, 0]
    needed = kept_bytes(model, forward, 512)
    assert choose("auto", free=2 * needed) == 0
    assert choose("auto", free=needed) > 0
    assert choose("auto", free=0) == 2
    assert choose("none", free=0) == 0
    assert free_bytes(CPU) is None


def test_prefix_tuning_is_never_recomputed():
    model = network(METHODS["prefix_tuning"])
    assert hands_on_cache(model)
    assert not hands_on_cache(network(METHODS["prompt_tuning"]))
    choose = {"model": model, "forward": forward_of(model), "tokens": 64, "free": 0, "has_cache": True}
    assert layers_to_recompute("auto", **choose) == 0
    with pytest.raises(TrainingError, match="checkpointing is full, but prefix tuning"):
        layers_to_recompute("full", **choose)


def test_an_impossible_number_of_layers_is_refused():
    with pytest.raises(ValueError, match="checkpointing must be"):
        replace(RECIPE, checkpointing=0)


def test_without_a_compiler_the_layers_run_as_they_are(monkeypatch, caplog):
    def broken(function):
        raise RuntimeError("no compiler")

    monkeypatch.setattr(torch, "compile", broken)
    compiling.compiler_works.cache_clear()
    model = network(METHODS["lora"])
    with caplog.at_level(logging.INFO, logger="clinical_peft"):
        assert not compiling.compile_layers(model, CPU)
    compiling.compiler_works.cache_clear()
    assert "no working compiler for cpu here (RuntimeError)" in caplog.text
    assert loss_and_gradients(model, [documents()], packed=True)[0] > 0


def test_compiled_layers_give_the_same_without_recompiling(monkeypatch):
    # Tracing is tested, not code generation, which takes a minute on a CPU.
    monkeypatch.setattr(compiling, "compiler_works", lambda device: True)
    compiled = torch.nn.Module.compile
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self, **options: compiled(self, backend="eager", **options))
    torch._dynamo.reset()
    model = network(METHODS["lora"])
    batches = [passes(documents(lengths), 1000, packed=True) for lengths in ((31, 7, 7, 12), (9, 40), (25, 3, 3, 3, 8))]
    expected = [loss_and_gradients(model, groups, packed=True) for groups in batches]
    assert compiling.compile_layers(model, CPU)
    found = [loss_and_gradients(model, batches[0], packed=True)]
    graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    found += [loss_and_gradients(model, groups, packed=True) for groups in batches[1:]]
    assert graphs > 0
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == graphs
    for ours, plain in zip(found, expected, strict=True):
        torch.testing.assert_close(ours[0], plain[0])
        for name, gradient in plain[1].items():
            torch.testing.assert_close(ours[1][name], gradient, rtol=1e-4, atol=1e-6)


class Largest(TorchDispatchMode):
    """Notes the largest tensor that any operation makes."""

    def __init__(self):
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for value in result if isinstance(result, tuple | list) else (result,):
            if isinstance(value, torch.Tensor):
                self.elements = max(self.elements, value.numel())
        return result


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("trained", [False, True])
def test_no_operation_ever_holds_the_logits_of_all_tokens(dtype, trained, monkeypatch):
    monkeypatch.setattr("clinical_peft.training.vocabulary.LOGITS_AT_ONCE", {"cpu": 3000})
    hidden = torch.randn(200, 16).to(dtype).requires_grad_()
    weight = torch.randn(300, 16).to(dtype).requires_grad_(trained)
    with Largest() as largest:
        linear_cross_entropy(hidden, weight, torch.randint(300, (200,))).backward()
    assert largest.elements == 300 * 16  # the matrix itself; the logits would be 200 * 300
    assert hidden.grad.dtype == weight.dtype == dtype


def test_bfloat16_cross_entropy_has_exact_gradients():
    generator = torch.Generator().manual_seed(0)
    hidden, weight = torch.randn(64, 32, generator=generator), torch.randn(500, 32, generator=generator) / 4
    targets = torch.randint(500, (64,), generator=generator)
    results = []
    for dtype in (torch.float32, torch.bfloat16):
        inputs = [value.bfloat16().to(dtype).requires_grad_() for value in (hidden, weight)]
        loss = linear_cross_entropy(*inputs, targets)
        loss.backward()
        results.append((loss.detach(), *(value.grad.float() for value in inputs)))
    for exact, rounded in zip(*results, strict=True):
        assert torch.linalg.norm(rounded - exact) <= 0.01 * torch.linalg.norm(exact)


def test_under_autocast_the_logits_are_in_its_type():
    hidden, weight = torch.randn(8, 16), torch.randn(30, 16)
    targets = torch.randint(30, (8,))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = linear_cross_entropy(hidden, weight, targets)
    assert cast.dtype == torch.float32
    assert torch.equal(cast, linear_cross_entropy(hidden.bfloat16(), weight, targets))
