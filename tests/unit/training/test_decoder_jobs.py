"""Adapters on decoders of other families than LLaMA: jobs write what plain transformers and PEFT find."""

import math

import numpy as np
import pytest
import torch
from decoder_fixtures import decoder
from language_fixtures import clinical_tokens, job, run
from peft import PeftModel
from safetensors.torch import load_file
from torch.nn import functional
from transformers import AutoModelForCausalLM

from clinical_peft.methods.full import Full
from clinical_peft.methods.lora import Lora
from clinical_peft.models.pretrained import prepare_local_base
from clinical_peft.tokens.reading import TokenShards
from clinical_peft.tokens.tokenizer import train_tokenizer

WORDS = ["patient admitted with chest pain given aspirin and heparin discharged home on warfarin"] * 3


def published(folder, name):
    """Write a base as it is published: its tokenizer has no padding token of its own."""
    tokenizer = train_tokenizer(WORDS, vocabulary=320, family="causal")
    tokenizer.pad_token = tokenizer.eos_token
    ids = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    network = decoder(name, vocab_size=len(tokenizer), pad_token_id=tokenizer.eos_token_id, **ids)
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def perplexity(model, shards, *, columns):
    """Perplexity of the test split by a forward pass of plain transformers over each document."""
    total = count = 0
    with torch.no_grad():
        for row in shards.rows("test"):
            for text in shards.documents(int(row)):
                ids = torch.from_numpy(text.astype(np.int64))[None]
                logits = model(input_ids=ids, use_cache=False).logits[0, :-1, :columns]
                total += functional.cross_entropy(logits, ids[0, 1:], reduction="sum").item()
                count += len(text) - 1
    return math.exp(total / count)


@pytest.mark.parametrize(
    ("name", "targets", "attention"),
    [
        ("llama", ("q_proj", "lm_head"), "packed"),
        ("phi", ("q_proj", "v_proj"), "packed"),
        ("gpt_oss", ("q_proj", "v_proj"), "grouped"),
        ("stablelm", ("q_proj", "v_proj"), "grouped"),
        ("mamba", ("in_proj",), "grouped"),
    ],
)
def test_perplexities_are_those_of_plain_transformers_and_peft(name, targets, attention, tmp_path):
    source = published(tmp_path / "source", name)
    prepare_local_base(source, tmp_path / "base", name=name, family="causal")
    tokens = clinical_tokens(tmp_path, tmp_path / "base")
    found = run(tmp_path, tmp_path / "base", tokens, job(Lora(r=4, alpha=8, target_modules=targets)))
    assert found["attention"] == attention
    untouched = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32).eval()
    columns = untouched.config.vocab_size
    shards = TokenShards(tokens)
    assert found["perplexity"]["before"]["test"] == pytest.approx(perplexity(untouched, shards, columns=None), rel=1e-5)
    padded = AutoModelForCausalLM.from_pretrained(tmp_path / "base", dtype=torch.float32)
    assert padded.config.vocab_size == columns + 1
    adapted = PeftModel.from_pretrained(padded, str(tmp_path / "adapter")).eval()
    after = perplexity(adapted, shards, columns=columns)
    assert found["perplexity"]["after"]["test"] == pytest.approx(after, rel=1e-5)
    assert after < found["perplexity"]["before"]["test"]
    card = (tmp_path / "adapter" / "README.md").read_text()
    assert (f"model.resize_token_embeddings({columns + 1})" in card) == ("lm_head" in targets)
    untouched.resize_token_embeddings(columns + 1, mean_resizing=False)
    published_base = PeftModel.from_pretrained(untouched, str(tmp_path / "adapter")).eval()
    assert perplexity(published_base, shards, columns=columns) == pytest.approx(after, rel=1e-5)
    trained = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    for target in targets:
        assert all(value.any() for key, value in trained.items() if f"{target}.lora_B" in key)


def test_a_fully_trained_base_keeps_its_added_row_out(tmp_path):
    source = published(tmp_path / "source", "llama")
    prepare_local_base(source, tmp_path / "base", name="llama", family="causal")
    tokens = clinical_tokens(tmp_path, tmp_path / "base")
    found = run(tmp_path, tmp_path / "base", tokens, job(Full()))
    trained = AutoModelForCausalLM.from_pretrained(tmp_path / "adapter").eval()
    columns = trained.config.scored_tokens
    assert columns == trained.config.vocab_size - 1
    after = perplexity(trained, TokenShards(tokens), columns=columns)
    assert found["perplexity"]["after"]["test"] == pytest.approx(after, rel=1e-5)
