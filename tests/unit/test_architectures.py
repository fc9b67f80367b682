"""Bases of other architectures than LLaMA and BERT: used as transformers uses them, or refused by name."""

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
    RobertaConfig,
    RobertaForMaskedLM,
)

from clinical_peft.errors import DataError
from clinical_peft.models.classifiers import build_classifier
from clinical_peft.models.pretrained import prepare_local_base
from clinical_peft.models.variants import Variant
from clinical_peft.recipes import Lora

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
def test_a_base_that_cannot_be_used_is_refused_by_its_architecture(network, family, expected, tmp_path):
    source = write(tmp_path / "source", network())
    with pytest.raises(DataError, match=rf"source: expected .*{expected}"):
        prepare_local_base(source, tmp_path / "base", name="x", family=family)
    assert not (tmp_path / "base").exists()


def test_a_folder_that_does_not_exist_is_not_called_one_without_weights(tmp_path):
    with pytest.raises(DataError, match="expected the folder of a base, found none"):
        prepare_local_base(tmp_path / "nowhere", tmp_path / "base", name="x", family="causal")
