"""Bases of other architectures than LLaMA and BERT: used as transformers uses them, or refused by name."""

import numpy as np
import pytest
import torch
from models_fixtures import write_tokenizer
from transformers import (
    BertConfig,
    BertForMaskedLM,
    DistilBertConfig,
    DistilBertForMaskedLM,
    GPT2Config,
    GPT2LMHeadModel,
    MistralConfig,
    MistralForCausalLM,
    RobertaConfig,
    RobertaForMaskedLM,
)

from clinical_peft.errors import DataError, TrainingError
from clinical_peft.methods.lora import Lora
from clinical_peft.models.classifiers import build_classifier
from clinical_peft.models.new_adapters import add_adapter
from clinical_peft.models.pretrained import prepare_local_base
from clinical_peft.recipes import LanguageRecipe
from clinical_peft.recipes.variants import Variant
from clinical_peft.training.attention import layout_of
from clinical_peft.training.language_loss import CausalLoss

SIZE = {"vocab_size": 200, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
NARROW = {"vocab_size": 200, "n_embd": 32, "n_layer": 2, "n_head": 4}


def write(folder, network):
    network.save_pretrained(folder)
    write_tokenizer(folder)
    return folder


def test_a_classifier_of_gpt2_gives_the_logits_of_transformers(tmp_path):
    source = write(tmp_path / "gpt2", GPT2LMHeadModel(GPT2Config(**NARROW)))
    prepare_local_base(source, tmp_path / "base", name="gpt2", family="causal")
    variant = Variant(family="causal", task_method=Lora(r=4, target_modules=("c_attn",)))
    classifier = build_classifier(variant, tmp_path / "base", None, classes=3, seed=0)
    classifier.eval_mode()
    ids, lengths = torch.randint(4, 200, (4, 12)), torch.tensor([12, 5, 9, 3])
    ids[torch.arange(12) >= lengths[:, None]] = classifier.network.config.pad_token_id
    with torch.no_grad():
        found = classifier.logits(classifier.features(ids, lengths))
        expected = classifier.network(ids, attention_mask=(torch.arange(12) < lengths[:, None]).long()).logits
    torch.testing.assert_close(found, expected)


def distilbert():
    return DistilBertForMaskedLM(DistilBertConfig(vocab_size=200, dim=32, n_layers=1, n_heads=4))


@pytest.mark.parametrize(
    ("network", "family", "expected"),
    [
        (lambda: RobertaForMaskedLM(RobertaConfig(**SIZE)), "encoder", "an encoder of architecture bert .*roberta"),
        (distilbert, "encoder", "distilbert"),
        (distilbert, "causal", "distilbert"),
        (lambda: BertForMaskedLM(BertConfig(**SIZE)), "causal", "a causal language model .*found architecture bert"),
        (lambda: GPT2LMHeadModel(GPT2Config(**NARROW)), "encoder", "found architecture gpt2"),
    ],
)
def test_an_unusable_base_is_refused_by_its_architecture(network, family, expected, tmp_path):
    source = write(tmp_path / "source", network())
    with pytest.raises(DataError, match=rf"source: expected .*{expected}"):
        prepare_local_base(source, tmp_path / "base", name="x", family=family)
    assert not (tmp_path / "base").exists()


def test_a_missing_folder_is_not_called_one_without_weights(tmp_path):
    with pytest.raises(DataError, match="expected the folder of a base, found none"):
        prepare_local_base(tmp_path / "nowhere", tmp_path / "base", name="x", family="causal")


@pytest.mark.parametrize(("window", "layout"), [(None, "packed"), (16, "packed"), (15, "grouped")])
def test_a_window_narrower_than_the_context_is_not_packed(window, layout, caplog):
    caplog.set_level("INFO")
    network = MistralForCausalLM(MistralConfig(**SIZE, num_key_value_heads=2, sliding_window=window))
    for attention in ("auto", "packed"):
        recipe = LanguageRecipe(learning_rate=1.0, context=16, attention=attention)
        assert layout_of(network, recipe, Lora(), torch.device("cpu")) == layout
    assert ("see 15 tokens back" in caplog.text) == (layout == "grouped")


def test_packed_documents_longer_than_the_window_are_refused():
    network = MistralForCausalLM(MistralConfig(**SIZE, num_key_value_heads=2, sliding_window=4))
    loss = CausalLoss(0, torch.device("cpu"), packed=True)
    with pytest.raises(ValueError, match="a window of 4 tokens is narrower than a document"):
        loss(network, [np.arange(3, 8, dtype=np.int32)], key=(0,))
    assert loss(network, [np.arange(3, 7, dtype=np.int32)] * 2, key=(0,))[1] == 6


def test_a_layer_that_only_some_targets_fit_is_refused(tmp_path):
    network = GPT2LMHeadModel(GPT2Config(**NARROW))
    base = write(tmp_path / "gpt2", network)
    prepare_local_base(base, tmp_path / "base", name="gpt2", family="causal")
    lora, expected = Lora(r=4, target_modules=("c_attn", "mlp.c_fc", "v_proj", "attn")), "no layer v_proj; its layers"
    with pytest.raises(TrainingError, match=expected):
        add_adapter(network, lora, total_steps=1, context=16)
    with pytest.raises(TrainingError, match=expected):
        build_classifier(Variant(family="causal", task_method=lora), tmp_path / "base", None, classes=2, seed=0)
    fits = Lora(r=4, target_modules=("c_attn", "mlp.c_fc"))
    assert add_adapter(network, fits, total_steps=1, context=16).base_model.targeted_module_names
