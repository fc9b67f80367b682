"""Decoders of every architecture: the loss of a job is that of the network's own logits, or the base is refused."""

import logging
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from decoder_fixtures import DECODERS, VOCABULARY, XLNET, decoder
from torch.nn import functional

from clinical_peft.errors import TrainingError
from clinical_peft.methods.lora import Lora
from clinical_peft.models.bases import DTYPES
from clinical_peft.models.new_adapters import add_adapter
from clinical_peft.recipes import LanguageRecipe
from clinical_peft.training.activations import recomputed
from clinical_peft.training.attention import Documents, layout_now, packed_attention
from clinical_peft.training.decoder_checks import require_gradients, settle_loss
from clinical_peft.training.language_loss import CausalLoss

CPU = torch.device("cpu")
PAD = 1
CONTEXT = 40
MICRO = 128
PACKED = "packed"
DOCS = Path(__file__).parents[3] / "docs" / "models.md"


class Rows:
    """Documents of a training split."""

    folder = Path("tokens")

    def __init__(self, lengths=(31, 9, 20, 40, 17)):
        draw = np.random.default_rng(0)
        self.texts = [draw.integers(3, VOCABULARY, length).astype(np.int32) for length in lengths]
        self.lengths = np.array(lengths)

    def rows(self, split):
        return np.arange(len(self.texts) if split == "train" else 0)

    def documents(self, row):
        return [self.texts[row]]


def run_of(*, packed, precision="fp32", columns=None):
    recipe = LanguageRecipe(learning_rate=1.0, context=CONTEXT, micro_batch_tokens=MICRO, precision=precision)
    loss = CausalLoss(PAD, CPU, packed=packed, columns=columns)
    return SimpleNamespace(title="adapter x", recipe=recipe, loss=loss, shards=Rows(), device=CPU, seed=0)


def own_loss(model, texts):
    """Loss by a forward pass of plain transformers over each document."""
    total = 0.0
    for text in texts:
        ids = torch.from_numpy(text.astype(np.int64))[None]
        logits = model(input_ids=ids, use_cache=False).logits[0, :-1].float()
        total += functional.cross_entropy(logits, ids[0, 1:], reduction="sum").item()
    return total


@pytest.mark.parametrize("wanted", ["packed", "grouped"])
@pytest.mark.parametrize("name", DECODERS)
def test_a_decoders_loss_is_that_of_its_own_logits(name, wanted, caplog):
    model, run = decoder(name), run_of(packed=wanted == PACKED)
    loaded = model.config._attn_implementation
    caplog.set_level(logging.INFO)
    settle_loss(model, run)
    packs = wanted == PACKED and DECODERS[name].packs
    assert run.loss.packed == packs
    assert ("cannot be packed" in caplog.text) == (wanted == PACKED and not packs)
    route = "bare matrix" if DECODERS[name].matrix else "logits of the network"
    assert f"{'packed' if packs else 'grouped'}, {route}" in caplog.text
    texts = run.shards.texts
    total, predicted = run.loss(model, texts, key=(0,))
    assert predicted == sum(map(len, texts)) - len(texts)
    assert total.item() == pytest.approx(own_loss(model, texts), rel=1e-5)
    assert model.config._attn_implementation == loaded


@pytest.mark.parametrize("name", ["llama", "phi", "gemma2", "cohere", "granite", "gpt_oss", "opt", "rwkv", "mamba2"])
def test_a_decoders_gradients_are_those_of_its_own_logits(name):
    model, run = decoder(name), run_of(packed=True)
    settle_loss(model, run)
    texts = run.shards.texts
    run.loss(model, texts, key=(0,))[0].backward()
    found = {key: value.grad for key, value in model.named_parameters() if value.grad is not None}
    model.zero_grad(set_to_none=True)
    for text in texts:
        ids = torch.from_numpy(text.astype(np.int64))[None]
        functional.cross_entropy(model(ids, use_cache=False).logits[0, :-1], ids[0, 1:], reduction="sum").backward()
    expected = {key: value.grad for key, value in model.named_parameters() if value.grad is not None}
    assert found.keys() == expected.keys()
    for key, gradient in expected.items():
        assert torch.linalg.norm(found[key] - gradient) <= 2e-5 * torch.linalg.norm(gradient) + 1e-6, key


@pytest.mark.parametrize("name", DECODERS)
def test_bfloat16_is_near_float32(name):
    model, run = decoder(name), run_of(packed=True, precision="bf16")
    expected = own_loss(model, run.shards.texts)
    model = model.to(torch.bfloat16)
    settle_loss(model, run)
    assert run.loss.packed == DECODERS[name].packs
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        total = run.loss(model, run.shards.texts, key=(0,))[0].item()
    routed = any("experts" in key for key in DECODERS[name].settings)
    assert total == pytest.approx(expected, rel=5e-3 if routed else 1e-3)


@pytest.mark.parametrize(("precision", "factor"), [("fp32", 0.1), ("bf16", 1.0)])
def test_a_convolution_above_all_attention_is_not_packed(precision, factor, caplog):
    model, run = decoder("lfm2", full_attn_idxs=[0, 1]), run_of(packed=True, precision=precision)
    # Beside a long document, the first tokens of the others change its loss by less than rounding may.
    run.recipe = replace(run.recipe, context=120, micro_batch_tokens=256)
    run.shards = Rows((120, 24, 17, 9))
    with torch.no_grad():
        model.model.layers[2].conv.conv.weight.mul_(factor)
    settle_loss(model.to(DTYPES[precision]), run)
    assert not run.loss.packed
    assert "tokens that they must not see" in caplog.text


def test_the_docs_list_every_architecture():
    rows = DOCS.read_text(encoding="utf-8").splitlines()
    for word, packs in (("packed", True), ("grouped", False)):
        (row,) = (row for row in rows if row.startswith(f"| {word} |"))
        expected = {made.kind or name for name, made in DECODERS.items() if made.packs == packs}
        assert set(re.findall("`([a-z0-9_]+)`", row)) == expected


def test_a_network_that_sees_later_tokens_is_refused_by_name():
    model = decoder("xlnet", settings=XLNET)
    for packed in (True, False):
        with pytest.raises(TrainingError, match="a base of architecture xlnet cannot be trained or measured"):
            settle_loss(model, run_of(packed=packed))


def test_the_check_changes_neither_network_nor_generators():
    model, run = decoder("llama").train(), run_of(packed=True)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    state = torch.get_rng_state()
    settle_loss(model, run)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert model.training
    assert all(value.grad is None for value in model.parameters())


@pytest.mark.parametrize("keyword", ["s_aux", "softcap", "anything_new"])
def test_an_unknown_keyword_of_packed_attention_is_refused(keyword):
    heads, where = torch.randn(1, 2, 8, 4), Documents.of([3, 5], CPU)
    with pytest.raises(ValueError, match=f"expected no keyword {keyword}"):
        packed_attention(None, heads, heads, heads, None, documents=where, **{keyword: torch.zeros(2)})
    known = {keyword: None, "position_ids": torch.zeros(1, 8), "use_cache": False}
    packed_attention(None, heads, heads, heads, None, documents=where, **known)


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
def test_after_a_packed_pass_a_network_attends_as_loaded(implementation):
    model = decoder("llama", attn_implementation=implementation)
    loss = CausalLoss(PAD, CPU, packed=True)
    loss(model, Rows().texts, key=(0,))
    assert model.config._attn_implementation == implementation
    assert layout_now(model) == "grouped"


def test_packed_attention_drops_what_the_loaded_one_drops():
    model = decoder("llama", attention_dropout=0.5).train()
    text = Rows().texts[0]
    found = []
    for packed in (True, False):
        torch.manual_seed(3)
        found.append(CausalLoss(PAD, CPU, packed=packed)(model, [text], key=(0,))[0].item())
    assert found[0] == pytest.approx(found[1], rel=1e-6)
    assert found[0] != pytest.approx(own_loss(model.eval(), [text]), rel=1e-6)


def test_layers_computed_again_attend_as_in_the_forward_pass():
    gradients = []
    for count in (0, 2):
        model = decoder("llama", attn_implementation="eager").train()
        with recomputed(model, count):
            CausalLoss(PAD, CPU, packed=True)(model, Rows().texts, key=(0,))[0].backward()
        assert layout_now(model) == "grouped"
        gradients.append(torch.cat([value.grad.flatten() for value in model.parameters()]))
    assert torch.linalg.norm(gradients[1] - gradients[0]) <= 1e-6 * torch.linalg.norm(gradients[0])


def test_own_logits_are_never_computed_for_all_tokens(monkeypatch):
    monkeypatch.setattr("clinical_peft.training.vocabulary.LOGITS_AT_ONCE", {"cpu": 10 * VOCABULARY})
    model, sizes = decoder("phi"), []
    model.lm_head.register_forward_hook(lambda layer, inputs, output: sizes.append(output.numel()))
    CausalLoss(PAD, CPU, packed=True)(model, Rows().texts, key=(0,))[0].backward()
    assert max(sizes) == 10 * VOCABULARY


def adapted(name, targets):
    network = decoder(name).requires_grad_(False)
    torch.manual_seed(1)
    return add_adapter(network, Lora(r=4, alpha=8, target_modules=targets), total_steps=1, context=CONTEXT)


@pytest.mark.parametrize(("name", "head"), [("llama", "lm_head"), ("phi", "lm_head"), ("opt", "lm_head")])
def test_an_adapted_vocabulary_layer_counts_and_is_trained(name, head):
    model, run = adapted(name, ("q_proj", head)), run_of(packed=True)
    settle_loss(model, run)
    require_gradients(model, run)
    with torch.no_grad():
        for key, value in model.named_parameters():
            if "lora_B" in key:
                value.normal_(0, 0.3)
    total = run.loss(model, run.shards.texts, key=(0,))[0]
    assert total.item() == pytest.approx(own_loss(model, run.shards.texts), rel=1e-5)
    total.backward()
    trained = {key: value.grad for key, value in model.named_parameters() if value.requires_grad}
    assert any(f"{head}.lora_B" in key for key in trained)
    assert all(gradient.abs().sum() > 0 for gradient in trained.values())


def test_an_adapter_that_no_gradient_reaches_is_refused():
    model, run = adapted("llama", ("q_proj",)), run_of(packed=True)
    lost = next(module for name, module in model.named_modules() if name.endswith("lora_B.default"))
    lost.forward = lambda states: functional.linear(states, lost.weight.detach())
    state = torch.get_rng_state()
    with pytest.raises(TrainingError, match=r"1 parameters are trained .*lora_B\.default\.weight"):
        require_gradients(model, run)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_row_that_was_added_for_padding_takes_no_probability():
    texts = Rows().texts
    for name in ("llama", "phi"):
        plain = decoder(name)
        expected = own_loss(plain, texts)
        plain.resize_token_embeddings(VOCABULARY + 1, mean_resizing=False)
        for packed in (True, False):
            run = run_of(packed=packed, columns=VOCABULARY)
            settle_loss(plain, run)
            assert run.loss(plain, texts, key=(0,))[0].item() == pytest.approx(expected, rel=1e-5)
        with_all = CausalLoss(PAD, CPU, packed=True)(plain, texts, key=(0,))[0].item()
        assert with_all != pytest.approx(expected, rel=1e-5)
