"""Every way documents share a forward pass gives the losses and gradients of a forward pass for each alone."""

from dataclasses import replace
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import torch
from attention_fixtures import CPU, METHODS, documents, loss_and_gradients, network
from hypothesis import given, settings
from hypothesis import strategies as st
from language_fixtures import RECIPE, SHAPE
from method_cases import SMALL, method_of
from torch.nn import functional

from clinical_peft.models.bases import build_causal
from clinical_peft.recipes import LanguageRecipe
from clinical_peft.training import attention
from clinical_peft.training.attention import Documents, layout_of, packed_attention, set_layout
from clinical_peft.training.batching import passes
from clinical_peft.training.vocabulary import last_hidden


def reference(model, texts):
    """Loss and gradients by forward passes over single documents, through the network's own logits and loss."""
    set_layout(model, "grouped")
    total, predicted = torch.zeros(()), 0
    for text in texts:
        ids = torch.from_numpy(text.astype(np.int64))[None]
        logits = model(input_ids=ids).logits[0, -len(text) :]
        part = functional.cross_entropy(logits[:-1], ids[0, 1:], reduction="sum")
        part.backward()
        total, predicted = total + part.detach(), predicted + len(text) - 1
    gradients = {name: value.grad for name, value in model.named_parameters() if value.grad is not None}
    model.zero_grad(set_to_none=True)
    return total, gradients, predicted


def distance(found, expected):
    """Norm of the difference of two sets of gradients, relative to the second."""
    joined = [torch.cat([gradients[name].flatten() for name in expected]) for gradients in (found, expected)]
    return float(torch.linalg.norm(joined[0] - joined[1]) / torch.linalg.norm(joined[1]))


def assert_equal(found, expected, *, relative=1e-5):
    assert found[2] == expected[2]
    torch.testing.assert_close(found[0], expected[0], rtol=relative, atol=0)
    assert found[1].keys() == expected[1].keys()
    for name, gradient in expected[1].items():
        assert distance({name: found[1][name]}, {name: gradient}) <= relative, name


CASES = [
    (name, packed, tokens)
    for name, method in METHODS.items()
    for packed in ((False, True) if method is None or method.can.pack else (False,))
    for tokens in (64, 1000)
]


@pytest.mark.parametrize(("name", "packed", "tokens"), CASES)
def test_losses_and_gradients_are_those_of_each_document_alone(name, packed, tokens):
    model, texts = network(METHODS[name]), documents()
    groups = passes(texts, tokens, packed=packed)
    assert max(len(group) for group in groups) > 1
    found = loss_and_gradients(model, groups, packed=packed)
    assert all(gradient.abs().sum() > 0 for gradient in found[1].values())
    assert_equal(found, reference(model, texts))


@pytest.mark.parametrize(("name", "packed"), [(name, packed) for name, packed, tokens in CASES if tokens == 64])
def test_under_bfloat16_autocast_they_agree_to_its_precision(name, packed):
    # bfloat16 keeps 8 bits, so that a factor is wrong by up to 2^-9; in the sum of a loss that averages out. The gates
    # of an LSTM add to the errors of its gradients.
    model, texts = network(METHODS[name]), documents()
    recipe = replace(RECIPE, precision="bf16")
    found = loss_and_gradients(model, passes(texts, 64, packed=packed), packed=packed, recipe=recipe)
    expected = reference(model, texts)
    torch.testing.assert_close(found[0], expected[0], rtol=5e-4, atol=0)
    assert 0 < distance(found[1], expected[1]) < (0.15 if name == "p_tuning_lstm" else 0.03)


@pytest.mark.parametrize("name", SMALL)
def test_methods_of_the_catalogue_pack(name):
    model, texts = network(method_of(name)), documents()
    found = loss_and_gradients(model, passes(texts, 64, packed=True), packed=True)
    assert all(gradient.abs().sum() > 0 for gradient in found[1].values())
    assert_equal(found, reference(model, texts))


def test_grouped_query_attention_packs_too():
    base = build_causal(replace(SHAPE, heads=4), seed=3, special={"pad_token_id": 0})
    config = base.config.__class__(**{**base.config.to_dict(), "num_key_value_heads": 2})
    model = base.__class__(config).train()
    texts = documents()
    found = loss_and_gradients(model, passes(texts, 64, packed=True), packed=True)
    assert_equal(found, reference(model, texts))


@pytest.mark.parametrize("name", ["lora", "adaption_prompt", "full"])
def test_no_document_reads_another(name):
    model = network(METHODS[name]).eval()
    texts = documents((5, 9, 9, 3))
    changed = [texts[0], texts[1][::-1].copy(), texts[2], texts[3]]
    set_layout(model, "packed")
    results = []
    for part in (texts, changed):
        where = Documents.of([len(text) for text in part], CPU)
        ids = torch.from_numpy(np.concatenate(part).astype(np.int64))[None]
        hidden, _ = last_hidden(model, ids, position_ids=torch.from_numpy(where.positions())[None], documents=where)
        results.append(hidden[0].detach())
    same = torch.tensor([True] * 5 + [False] * 9 + [True] * 12)
    assert torch.equal(results[0][same], results[1][same])
    assert not torch.equal(results[0][~same], results[1][~same])


def test_passes_that_would_mix_documents_are_refused():
    model = network(METHODS["lora"])
    set_layout(model, "packed")
    where = Documents.of([3, 5], CPU)
    ids = torch.arange(5, 13)[None]
    positions = torch.from_numpy(where.positions())[None]
    with pytest.raises(ValueError, match="expected the keyword `documents`"):
        model(input_ids=ids, position_ids=positions)
    with pytest.raises(ValueError, match="one sequence of 8 tokens without mask and cache"):
        model(input_ids=ids[:, :7], position_ids=positions[:, :7], documents=where)
    with pytest.raises(ValueError, match="without mask and cache"):
        model(input_ids=ids.expand(2, -1), position_ids=positions.expand(2, -1), documents=where)
    heads = torch.randn(1, 2, 8, 4)
    with pytest.raises(ValueError, match="set use_cache=False"):
        packed_attention(model, heads, heads.repeat(1, 1, 2, 1), heads, None, documents=where)
    with pytest.raises(ValueError, match="pass no attention_mask"):
        packed_attention(model, heads, heads, heads, torch.ones(1, 1, 8, 8), documents=where)


@pytest.mark.parametrize("use_cache", [True, False])
def test_a_configuration_that_asks_for_a_cache_changes_nothing(use_cache):
    model, texts = network(METHODS["lora"]), documents()
    expected = reference(model, texts)
    model.get_base_model().config.use_cache = use_cache
    assert_equal(loss_and_gradients(model, passes(texts, 64, packed=True), packed=True), expected)


def test_a_cache_beside_packed_documents_is_harmless_or_refused():
    # A fresh cache only copies keys; one that holds earlier tokens would let documents read them.
    model = network(METHODS["lora"]).eval()
    set_layout(model, "packed")
    where = Documents.of([3, 5], CPU)
    arguments = {"position_ids": torch.from_numpy(where.positions())[None], "documents": where}
    ids = torch.arange(5, 13)[None]
    plain = model(input_ids=ids, use_cache=False, **arguments)
    cached = model(input_ids=ids, use_cache=True, **arguments)
    assert torch.equal(plain.logits, cached.logits)
    with pytest.raises(ValueError, match="keys of shape"):
        model(input_ids=ids, past_key_values=cached.past_key_values, use_cache=True, **arguments)


def test_attention_goes_back_to_what_it_was_and_is_not_saved(tmp_path):
    model, texts = network(METHODS["lora"]), documents()
    base = model.get_base_model()
    before = loss_and_gradients(model, [texts], packed=False)
    base.config.save_pretrained(tmp_path / "before")
    loss_and_gradients(model, [texts], packed=True)
    base.config.save_pretrained(tmp_path / "after")
    for name in ("before", "after"):
        assert "packed" not in (tmp_path / name / "config.json").read_text()
    after = loss_and_gradients(model, [texts], packed=False)
    assert torch.equal(before[0], after[0])
    assert all(torch.equal(before[1][name], after[1][name]) for name in before[1])


def test_methods_with_virtual_tokens_are_always_grouped():
    base = build_causal(SHAPE, seed=0, special={})
    packs = {name for name, method in METHODS.items() if method is None or method.can.pack}
    assert packs == {"lora", "dora", "rank_stabilised", "adalora", "adaption_prompt", "full"}
    for name, method in METHODS.items():
        recipe = replace(RECIPE, attention="packed")
        assert layout_of(base, recipe, method, CPU) == ("packed" if name in packs else "grouped")
        assert layout_of(base, replace(RECIPE, attention="grouped"), method, CPU) == "grouped"


def test_a_gpu_without_a_kernel_is_grouped(monkeypatch):
    base = build_causal(SHAPE, seed=0, special={})
    gpu = torch.device("cuda")
    recipe = replace(RECIPE, attention="packed", precision="bf16")
    for works in (True, False):
        monkeypatch.setattr(attention, "varlen_works", lambda *_, works=works: works)
        assert layout_of(base, recipe, METHODS["lora"], gpu) == ("packed" if works else "grouped")
        assert layout_of(base, replace(recipe, precision="fp32"), METHODS["lora"], gpu) == "grouped"


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, (16, 1)),
        ({"head_dim": 24}, (24, 1)),  # Gemma 3 has heads of 256 where hidden / heads is 288
        ({"num_key_value_heads": 1}, (16, 2)),
    ],
)
def test_a_kernel_is_tried_at_the_heads_of_the_base(settings, expected, monkeypatch):
    base = build_causal(SHAPE, seed=0, special={})
    base.config.head_dim = None
    base.config.update(settings)
    asked = []
    monkeypatch.setattr(attention, "varlen_works", lambda device, *heads: asked.append(heads) or True)
    layout_of(base, replace(RECIPE, precision="bf16"), METHODS["lora"], torch.device("cuda"))
    assert asked == [expected]


@pytest.mark.parametrize("name", ["attention_dropout", "attn_pdrop"])
def test_a_base_that_drops_attention_weights_is_grouped_on_a_gpu(name, monkeypatch):
    """No kernel drops weights of packed documents; one call per document and layer would be slow."""
    monkeypatch.setattr(attention, "varlen_works", lambda *_: True)
    base = build_causal(SHAPE, seed=0, special={})
    recipe = replace(RECIPE, precision="bf16")
    for chance, layout in ((0.0, "packed"), (0.1, "grouped")):
        setattr(base.config, name, chance)
        assert layout_of(base, recipe, METHODS["lora"], torch.device("cuda")) == layout
        assert layout_of(base, recipe, METHODS["lora"], CPU) == "packed"


def with_groups(query, key, value, cu_q, cu_k, max_q, max_k, *, window_size=(-1, -1), enable_gqa=False):
    assert enable_gqa is (key.shape[1] != query.shape[1])
    return key.shape[1], window_size


def without_groups(query, key, value, cu_q, cu_k, max_q, max_k, *, window_size=(-1, -1)):
    assert torch.equal(key[:, 0], key[:, 1])
    return key.shape[1], window_size


@pytest.mark.parametrize(("function", "heads"), [(with_groups, 2), (without_groups, 4)])
def test_shared_keys_are_repeated_only_for_a_kernel_that_needs_it(function, heads, monkeypatch):
    varlen = pytest.importorskip("torch.nn.attention.varlen")
    monkeypatch.setattr(varlen, "varlen_attn", function)
    attention.varlen_kernel.cache_clear()
    kernel = attention.varlen_kernel()
    attention.varlen_kernel.cache_clear()
    query, key, value = torch.randn(5, 4, 8), torch.randn(5, 2, 8), torch.randn(5, 2, 8)
    assert kernel(query, key, value, torch.tensor([0, 5]), torch.tensor([0, 5]), 5, 5) == (heads, (-1, 0))


def test_the_kernel_is_called_causally_whatever_its_signature(monkeypatch):
    varlen = pytest.importorskip("torch.nn.attention.varlen")

    def by_flag(query, key, value, cu_q, cu_k, max_q, max_k, is_causal=False):
        return ("flag", is_causal)

    def by_window(query, key, value, cu_q, cu_k, max_q, max_k, *, window_size=(-1, -1)):
        return ("window", window_size)

    def neither(query, key, value, cu_q, cu_k, max_q, max_k):
        raise AssertionError

    heads = [torch.zeros(1, 1, 1)] * 3
    expected = {by_flag: ("flag", True), by_window: ("window", (-1, 0)), neither: None}
    for function, result in expected.items():
        monkeypatch.setattr(varlen, "varlen_attn", function)
        attention.varlen_kernel.cache_clear()
        kernel = attention.varlen_kernel()
        assert (kernel and kernel(*heads, *[torch.tensor([0, 1])] * 2, 1, 1)) == result
    attention.varlen_kernel.cache_clear()


def plain_kernel(query, key, value, borders, borders_too, longest, longest_too, *, causal=True):
    """A kernel in plain PyTorch with the signature of the compiled one."""
    assert query.dtype == key.dtype == value.dtype == torch.bfloat16
    assert borders is borders_too
    assert borders.dtype == torch.int32
    assert longest == longest_too == int(borders.diff().max())
    parts = [
        functional.scaled_dot_product_attention(
            *(x[a:b].transpose(0, 1) for x in (query, key, value)), is_causal=causal, enable_gqa=True
        )
        for a, b in pairwise(borders)
    ]
    return torch.cat(parts, dim=1).transpose(0, 1)


def wrongly_grouped(query, key, value, *borders):
    """A kernel that pairs the heads of queries with the wrong ones of keys."""
    repeats = query.shape[1] // key.shape[1]
    return plain_kernel(query, key.repeat(1, repeats, 1), value.repeat(1, repeats, 1), *borders)


@pytest.mark.parametrize("scaling", [None, 0.7])
def test_the_kernels_inputs_are_laid_out_as_it_expects(scaling):
    where = Documents.of([9, 2, 2, 4], CPU)
    draw = torch.Generator().manual_seed(0)
    heads = [torch.randn(1, count, 17, 8, generator=draw) for count in (4, 2, 2)]
    ours = attention._varlen(plain_kernel, *heads, where, scaling)
    plain, _ = packed_attention(None, *heads, None, scaling=scaling, documents=where)
    assert ours.shape == plain.shape == (1, 17, 4, 8)
    torch.testing.assert_close(ours.float(), plain, atol=0.05, rtol=0.05)


def failing_kernel(*_):
    raise RuntimeError("not built for this device")


@pytest.mark.parametrize(
    ("kernel", "capability", "queries", "works"),
    [
        (plain_kernel, (9, 0), 1, True),
        (plain_kernel, (9, 0), 4, True),
        (plain_kernel, (7, 5), 1, False),
        (partial(plain_kernel, causal=False), (9, 0), 1, False),
        (wrongly_grouped, (9, 0), 1, True),
        (wrongly_grouped, (9, 0), 4, False),
        (failing_kernel, (9, 0), 1, False),
        (None, (9, 0), 1, False),
    ],
)
def test_a_kernel_is_used_only_after_proving_itself(kernel, capability, queries, works, monkeypatch):
    monkeypatch.setattr(attention, "varlen_kernel", lambda: kernel)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    attention.varlen_works.cache_clear()
    assert attention.varlen_works(CPU, 16, queries) is works
    attention.varlen_works.cache_clear()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 50), min_size=1, max_size=40), st.integers(50, 200), st.booleans())
def test_every_document_is_in_one_pass_and_none_is_too_large(lengths, tokens, packed):
    texts = [np.full(length, number) for number, length in enumerate(lengths)]
    groups = passes(texts, tokens, packed=packed)
    assert sorted(int(text[0]) for group in groups for text in group) == list(range(len(lengths)))
    for group in groups:
        size = sum(map(len, group)) if packed else max(map(len, group)) * len(group)
        assert 0 < size <= tokens
        assert [len(text) for text in group] == sorted(map(len, group), reverse=True)
    assert len(groups) <= 2 * -(-sum(lengths) // tokens) or not packed


def test_auto_is_the_default_of_a_recipe():
    assert LanguageRecipe(learning_rate=1e-3).attention == "auto"
