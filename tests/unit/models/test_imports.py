"""What becomes a base of a study: every decoder as transformers reads it, and by name what cannot be one."""

import json
import logging

import pytest
import torch
from checkpoint_fixtures import CAUSAL, ROWS, SIZE, build, write_checkpoint, write_word_tokenizer
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BartConfig,
    BartForConditionalGeneration,
    BertConfig,
    BertGenerationConfig,
    BertGenerationDecoder,
    BertModel,
    PreTrainedModel,
    RobertaConfig,
    RobertaForCausalLM,
    RobertaForMaskedLM,
    T5Config,
    T5ForConditionalGeneration,
)

from clinical_peft.errors import ClinicalPeftError, DataError
from clinical_peft.models.bases import load_causal, load_classifier
from clinical_peft.models.pretrained import prepare_local_base
from clinical_peft.tokens.tokenizer import load_tokenizer

IDS = torch.arange(2, 26).reshape(2, 12)
TINY_T5 = {"vocab_size": ROWS, "d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4}
TINY_BART = {"vocab_size": ROWS, "d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 64}
TINY_BART |= {"decoder_ffn_dim": 64, "encoder_attention_heads": 4, "decoder_attention_heads": 4}


def logits(network):
    with torch.no_grad():
        return network.eval()(input_ids=IDS).logits


def import_as(folder, tmp_path, family="causal", **settings):
    return prepare_local_base(folder, tmp_path / "base", name="x", family=family, **settings)


def refused(folder, tmp_path, expected, family="causal", **settings):
    with pytest.raises(ClinicalPeftError, match=expected) as caught:
        import_as(folder, tmp_path, family, **settings)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "base").exists()


@pytest.mark.parametrize("kind", CAUSAL)
def test_a_decoder_gives_the_logits_of_transformers(kind, tmp_path):
    source = write_checkpoint(tmp_path / "source", build(kind))
    import_as(source, tmp_path)
    expected = logits(AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32))
    found = logits(load_causal(tmp_path / "base"))[..., :ROWS]
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["gemma3", "llava", "mistral3"])
def test_of_a_network_that_reads_images_the_text_part_is_taken(kind, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    network = build(kind)
    import_as(write_checkpoint(tmp_path / "source", network), tmp_path)
    base = load_causal(tmp_path / "base")
    assert type(base).__name__ in {"Gemma3ForCausalLM", "LlamaForCausalLM", "MistralForCausalLM"}
    torch.testing.assert_close(logits(base)[..., :ROWS], logits(network), rtol=1e-5, atol=1e-5)
    assert not any("vision" in name for name, _ in base.named_parameters())
    assert f"taking the text part of {type(network).__name__}" in caplog.text
    assert load_classifier(tmp_path / "base", 3, seed=0).num_labels == 3


def bert(**settings):
    return BertModel(BertConfig(**SIZE, **settings))


REFUSED = {
    "qwen2_vl": (lambda: build("qwen2_vl"), "architecture qwen2_vl, a network of several modes .*qwen2_vl_text"),
    "t5": (lambda: T5ForConditionalGeneration(T5Config(**TINY_T5)), "architecture t5, an encoder with a decoder"),
    "bart": (lambda: BartForConditionalGeneration(BartConfig(**TINY_BART)), "bart, an encoder with a decoder"),
    "bert": (bert, "architecture bert, which reads in both directions"),
    "roberta": (lambda: RobertaForMaskedLM(RobertaConfig(**SIZE)), "roberta, which reads in both directions"),
    "both ways": (
        lambda: BertGenerationDecoder(BertGenerationConfig(**SIZE)),
        "BertGenerationDecoder, in which later tokens change what earlier positions predict",
    ),
    "headless": (lambda: build("llama").model, r"the language-model head lm_head\.weight, found none"),
    "classifier": (
        lambda: AutoModelForSequenceClassification.from_config(build("llama").config),
        "architecture llama as LlamaForSequenceClassification, which has no language-model head",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_network_that_is_no_causal_language_model_is_refused(name, tmp_path):
    network, expected = REFUSED[name]
    refused(write_checkpoint(tmp_path / "source", network()), tmp_path, f"source: expected .*{expected}")


def test_an_encoder_that_reads_from_left_to_right_is_refused(tmp_path):
    source = write_checkpoint(tmp_path / "source", bert(is_decoder=True))
    refused(source, tmp_path, "architecture bert with is_decoder", family="encoder")


def test_a_tied_head_that_is_stored_separately_is_kept(tmp_path):
    network = build("llama", tie_word_embeddings=False)
    source = write_checkpoint(tmp_path / "source", network)
    config = json.loads((source / "config.json").read_text())
    (source / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": True}))
    import_as(source, tmp_path)
    torch.testing.assert_close(logits(load_causal(tmp_path / "base"))[..., :ROWS], logits(network))


def test_an_untied_configuration_without_a_head_is_refused(tmp_path):
    source = write_checkpoint(tmp_path / "source", build("llama", tie_word_embeddings=True))
    config = json.loads((source / "config.json").read_text())
    (source / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": False}))
    refused(source, tmp_path, r"head lm_head\.weight, found none \(config.json says LlamaForCausalLM\)")


# --- tokenizer and positions ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("words", "special"), [(ROWS + 2, ()), (ROWS + 1, ()), (ROWS, ("<|new|>",))])
def test_tokens_without_a_row_are_refused(words, special, tmp_path):
    source = write_checkpoint(tmp_path / "source", build("llama"))
    write_word_tokenizer(source, words=words, special=special)
    beyond = words + len(special) - ROWS
    refused(source, tmp_path, f"source: expected token ids below {ROWS}, the rows of the embedding, found {beyond} at")


def test_a_padding_token_after_the_last_row_gets_one(tmp_path):
    source = write_checkpoint(tmp_path / "source", build("llama"))
    tokenizer = AutoTokenizer.from_pretrained(source)
    tokenizer.add_special_tokens({"pad_token": "[PAD]"})
    tokenizer.save_pretrained(source)
    record = import_as(source, tmp_path)
    assert record["padding_token_added"]
    assert load_tokenizer(tmp_path / "base").pad_token_id == ROWS
    assert load_causal(tmp_path / "base").get_input_embeddings().num_embeddings == ROWS + 1


def test_a_smaller_vocabulary_leaves_the_embedding_alone(tmp_path):
    network = build("gpt_neox")
    import_as(write_checkpoint(tmp_path / "source", network, words=ROWS - 20), tmp_path)
    base = load_causal(tmp_path / "base")
    assert base.config.pad_token_id == ROWS - 20
    assert torch.equal(logits(base), logits(network))


@pytest.mark.parametrize(("context", "fits"), [(None, True), (64, True), (65, False)])
@pytest.mark.parametrize("kind", ["llama", "opt"])
def test_a_study_that_reads_more_than_the_positions_is_refused(kind, context, fits, tmp_path):
    source = write_checkpoint(tmp_path / "source", build(kind))
    if fits:
        import_as(source, tmp_path, context=context)
    else:
        refused(source, tmp_path, "reads up to 65 tokens at once, but the base has 64 positions", context=context)


@pytest.mark.parametrize("kind", ["bloom", "mamba"])
def test_a_network_without_position_table_reads_any_length(kind, tmp_path):
    import_as(write_checkpoint(tmp_path / "source", build(kind)), tmp_path, context=100_000)


def test_positions_of_robertas_kind_end_before_their_table(tmp_path):
    network = RobertaForCausalLM(RobertaConfig(**SIZE | {"max_position_embeddings": 66}, is_decoder=True))
    source = write_checkpoint(tmp_path / "source", network)
    # The places of positions follow from the padding token's id.
    refused(source, tmp_path, "cannot read back what it writes of RobertaForCausalLM")
    write_word_tokenizer(source, pad="word1")
    refused(source, tmp_path, "65 tokens at once, but the base has 64 positions", context=65)
    import_as(source, tmp_path, context=64)


# --- weights --------------------------------------------------------------------------------------------------------


def alter_tensors(folder, change):
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def test_weights_of_another_shape_or_missing_are_refused(tmp_path):
    key = "model.layers.1.self_attn.q_proj.weight"
    source = write_checkpoint(tmp_path / "source", build("llama"))
    alter_tensors(source, lambda tensors: tensors.update({key: torch.ones(16, 32)}))
    refused(source, tmp_path, rf"1 have another shape, for instance .*{key}.*choose another checkpoint")
    alter_tensors(source, lambda tensors: tensors.pop(key))
    refused(source, tmp_path, f"1 weights are missing.*{key}")


def test_weights_that_are_not_finite_are_refused_by_name(tmp_path):
    source = write_checkpoint(tmp_path / "source", build("llama"))
    alter_tensors(source, lambda tensors: tensors["model.embed_tokens.weight"][199, 3].fill_(float("nan")))
    refused(source, tmp_path, r"tensor model\.embed_tokens\.weight holds values that are not finite")


def test_finite_weights_that_give_no_finite_logits_are_refused(tmp_path):
    source = write_checkpoint(tmp_path / "source", build("llama"))
    alter_tensors(source, lambda tensors: tensors["lm_head.weight"].fill_(3e38))
    refused(source, tmp_path, "a forward pass gives values that are not finite")


@pytest.mark.parametrize("family", ["causal", "encoder"])
def test_a_base_that_is_written_otherwise_is_refused(tmp_path, monkeypatch, family):
    network = build("llama") if family == "causal" else BertModel(BertConfig(**SIZE))
    source = write_checkpoint(tmp_path / "source", network)
    save = PreTrainedModel.save_pretrained

    def save_otherwise(self, folder, **settings):
        save(self, folder, **settings)
        alter_tensors(folder, lambda tensors: [value.mul_(1.1) for value in tensors.values()])

    monkeypatch.setattr(PreTrainedModel, "save_pretrained", save_otherwise)
    refused(
        source, tmp_path, "expected the written base to give the same as the checkpoint, found other values", family
    )


def test_tensors_that_no_layer_takes_are_said(tmp_path, caplog):
    source = write_checkpoint(tmp_path / "source", build("llama"))
    alter_tensors(source, lambda tensors: tensors.update({"model.layers.0.self_attn.q_proj.bias": torch.ones(32)}))
    import_as(source, tmp_path)
    assert "1 tensors belong to no layer of llama, such as model.layers.0.self_attn.q_proj.bias" in caplog.text


def test_an_unknown_architecture_is_one_line(tmp_path):
    source = write_checkpoint(tmp_path / "source", build("llama"))
    config = json.loads((source / "config.json").read_text())
    (source / "config.json").write_text(json.dumps(config | {"model_type": "no_such_thing"}))
    with pytest.raises(DataError, match=r"config\.json: expected an architecture that the installed transformers"):
        import_as(source, tmp_path)
