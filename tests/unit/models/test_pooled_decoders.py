"""Classifiers on decoders of every architecture: logits of plain transformers, or a refusal."""

import logging

import numpy as np
import pytest
import torch
from decoder_fixtures import DECODERS, decoder
from models_fixtures import CONTEXT, WORDS, make_job, prepared_task, write_base, write_cohort, write_tokenizer
from transformers import AutoModelForSequenceClassification

from clinical_peft.errors import TrainingError
from clinical_peft.models.bases import load_classifier
from clinical_peft.models.classifiers import build_classifier
from clinical_peft.models.pretrained import prepare_local_base
from clinical_peft.recipes.variants import Variant
from clinical_peft.training.features import NoteFeatures
from clinical_peft.training.pooling_checks import settle_pooling

CPU = torch.device("cpu")
# transformers has no classifier of these.
CAUSAL_ONLY = ("recurrent_gemma", "cohere", "granite", "llama4_text", "lfm2", "mamba", "mamba2", "rwkv")


def features_of(base, folder, **switches):
    cohort, classes = write_cohort(folder / "cohorts", "mortality", rows=20)
    job = make_job()
    files = {"causal": base, "mortality": cohort, "mortality classes": classes}
    prepared = prepared_task(job, files)
    classifier = build_classifier(Variant(family="causal"), base, None, classes=2, seed=0)
    return NoteFeatures(classifier, prepared.notes, job.recipe, CPU, title="x", **switches)


def base_of(name, folder):
    network = decoder(name, vocab_size=len(WORDS) + 4, pad_token_id=0, bos_token_id=2, eos_token_id=3)
    network.save_pretrained(folder / "source")
    write_tokenizer(folder / "source")
    prepare_local_base(folder / "source", folder / "base", name=name, family="causal")
    return folder / "base"


@pytest.mark.parametrize("name", [name for name in DECODERS if name not in CAUSAL_ONLY])
def test_pooled_logits_are_those_of_plain_transformers(name, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    base = base_of(name, tmp_path)
    features = features_of(base, tmp_path)
    settle_pooling(features)
    assert "checked against its own logits" in caplog.text
    rows = np.arange(len(features.lengths))
    with torch.no_grad():
        found = features.classifier.logits(features(rows))
    plain = AutoModelForSequenceClassification.from_pretrained(base, num_labels=2, dtype=torch.float32).eval()
    plain.score.load_state_dict(features.classifier.network.score.state_dict())
    for row in rows.tolist():
        ids = features.notes.batch(np.array([row]))[0]
        torch.testing.assert_close(found[row], plain(ids).logits[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", CAUSAL_ONLY)
def test_a_base_without_a_classifier_is_refused_by_name(name, tmp_path):
    base = base_of(name, tmp_path)
    with pytest.raises(TrainingError, match=f"no classifier of architecture {DECODERS[name].kind or name}"):
        load_classifier(base, 2, seed=0)


def test_a_head_of_another_name_is_refused_by_architecture(tmp_path):
    settings = {"vocab_size": len(WORDS) + 4, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64, "dff": 64}
    decoder("ctrl", settings=settings).save_pretrained(tmp_path / "source")
    write_tokenizer(tmp_path / "source")
    prepare_local_base(tmp_path / "source", tmp_path / "base", name="ctrl", family="causal")
    with pytest.raises(TrainingError, match="architecture ctrl: expected a classifier with a head `score`"):
        build_classifier(Variant(family="causal"), tmp_path / "base", None, classes=2, seed=0)


def test_a_last_layer_that_does_more_is_computed_whole(tmp_path, caplog):
    features = features_of(write_base(tmp_path / "causal", "causal"), tmp_path)
    layers = features.classifier.network.base_model.layers
    layers[-1].register_forward_hook(lambda layer, inputs, output: output * 2 + inputs[0].flip(-1))
    settle_pooling(features)
    assert features.classifier.every_position
    assert "last layer of llama" in caplog.text


def test_features_that_give_other_logits_are_refused(tmp_path):
    features = features_of(write_base(tmp_path / "causal", "causal"), tmp_path)
    body = features.classifier.network.base_model
    # As if padding were seen: a state depends on what stands behind it.
    body.layers[0].register_forward_hook(lambda layer, inputs, output: output + output.mean(1, keepdim=True))
    with pytest.raises(TrainingError, match="architecture llama cannot be fine-tuned here: logits"):
        settle_pooling(features)


@pytest.mark.parametrize("last_position", [False, True])
def test_the_check_leaves_a_classifier_as_it_was(last_position, tmp_path):
    features = features_of(write_base(tmp_path / "causal", "causal"), tmp_path, last_position=last_position)
    features.classifier.train_mode()
    modes = [module.training for module in features.classifier.network.modules()]
    state = torch.get_rng_state()
    settle_pooling(features)
    assert not features.classifier.every_position
    assert [module.training for module in features.classifier.network.modules()] == modes
    assert torch.equal(torch.get_rng_state(), state)
    assert features.recipe.context == CONTEXT
