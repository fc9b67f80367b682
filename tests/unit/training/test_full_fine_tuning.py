"""Full fine-tuning: a base of its own, measured as it is stored."""

import json

import pytest
import torch
from language_fixtures import (
    job,
    run,
)
from safetensors.torch import load_file

from clinical_peft.methods.full import Full
from clinical_peft.models.bases import load_causal, load_classifier, read_identity


def test_full_fine_tuning_writes_a_base_of_its_own(base, tokens, general, tmp_path):
    result = run(tmp_path, base, tokens, job(Full(), learning_rate=3e-3), general=general)
    assert result["trainable_parameters"] == result["total_parameters"]
    assert result["perplexity"]["after"]["test"] < 0.97 * result["perplexity"]["before"]["test"]
    assert result["general"]["perplexity"]["after"] > result["general"]["perplexity"]["before"]
    folder = tmp_path / "adapter"
    assert {"config.json", "model.safetensors", "tokenizer.json", "base.json", "README.md"} <= {
        file.name for file in folder.iterdir()
    }
    identity = read_identity(folder)
    assert (identity.name, identity.family) == ("clinical", "causal")
    assert read_identity(base).revision in json.loads((folder / "base.json").read_text())["source"]
    assert load_classifier(folder, 2, seed=0).config.num_labels == 2
    # As a base it can be adapted further, and starts where the training ended.
    onward = run(tmp_path / "onward", folder, tokens, job(train_tokens=300))
    assert onward["perplexity"]["before"] == pytest.approx(result["perplexity"]["after"], rel=1e-6)


def test_full_bfloat16_fine_tuning_measures_stored_weights(base, tokens, tmp_path):
    result = run(tmp_path, base, tokens, job(Full(), learning_rate=3e-3, precision="bf16"))
    assert result["perplexity"]["after"]["test"] < result["perplexity"]["before"]["test"]
    assert load_causal(tmp_path / "adapter", precision="bf16").dtype == torch.bfloat16
    stored = load_file(tmp_path / "adapter" / "model.safetensors")
    assert {value.dtype for value in stored.values()} == {torch.bfloat16}
