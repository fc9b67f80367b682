"""Bases trained from scratch."""

import json
from dataclasses import replace

import pytest
from language_fixtures import (
    RECIPE,
    scratch_base,
)

from clinical_peft.errors import TrainingError
from clinical_peft.models.bases import load_causal, load_classifier


def test_a_scratch_base_learns_and_is_the_same_every_time(base, tmp_path):
    again = scratch_base(tmp_path)
    assert (again / "model.safetensors").read_bytes() == (base / "model.safetensors").read_bytes()
    record = json.loads((base / "base.json").read_text())
    assert record["perplexity"]["test"] < 0.5 * record["vocabulary"]
    assert record["parameters"] == sum(parameter.numel() for parameter in load_causal(base).parameters())


def test_a_scratch_encoder_learns_to_fill_in_masks(tmp_path):
    folder = scratch_base(tmp_path, family="encoder", recipe=replace(RECIPE, epochs=6))
    record = json.loads((folder / "base.json").read_text())
    assert record["perplexity"]["test"] < 0.5 * record["vocabulary"]
    assert load_classifier(folder, 2, seed=0).config.num_labels == 2


def test_a_context_longer_than_the_networks_is_refused(tmp_path):
    with pytest.raises(TrainingError, match="context is 128, but the shape's is 64"):
        scratch_base(tmp_path, recipe=replace(RECIPE, context=128))
