"""The mean over a note's tokens as the features of a decoder."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from method_cases import PROMPTS, method_of
from models_fixtures import make_job, prepared_task, write_base, write_cohort

from clinical_peft.models.classifiers import build_classifier
from clinical_peft.models.pooling import find_pooling
from clinical_peft.recipes.variants import variant_of
from clinical_peft.training.features import NoteFeatures
from clinical_peft.training.pooling_checks import settle_pooling

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    cohort, classes = write_cohort(folder / "cohorts", "mortality", rows=20)
    base = write_base(folder / "causal", "causal")
    return {"causal": base, "mortality": cohort, "mortality classes": classes}


def features_of(files, job):
    prepared = prepared_task(job, files)
    classifier = build_classifier(variant_of(job), files["causal"], None, classes=2, seed=0)
    classifier.eval_mode()
    return NoteFeatures(classifier, prepared.notes, job.recipe, CPU, title="x")


def test_features_are_the_mean_of_the_states_of_a_note(files):
    features = features_of(files, make_job(pooling="mean"))
    rows = np.arange(len(features.lengths))
    assert len({*features.lengths.tolist()}) > 1
    with torch.no_grad():
        found = features(rows)
        for row in rows.tolist():
            ids = features.notes.batch(np.array([row]))[0]
            states = features.classifier.network.model(input_ids=ids).last_hidden_state
            torch.testing.assert_close(found[row], states[0].mean(0), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", PROMPTS)
def test_virtual_tokens_are_not_part_of_the_mean(name, files):
    features = features_of(files, replace(make_job("task", pooling="mean"), task_method=method_of(name)))
    settle_pooling(features)
    ids, lengths = features.notes.batch(np.arange(3))
    network = features.classifier.network
    seen = {}
    handle = network.model.norm.register_forward_hook(lambda *args: seen.update(states=args[2]))
    with torch.no_grad():
        found = features.classifier.features(ids, lengths)
    handle.remove()
    before = seen["states"].shape[1] - ids.shape[1]
    for row, length in enumerate(lengths.tolist()):
        expected = seen["states"][row, before : before + length].mean(0)
        torch.testing.assert_close(found[row], expected, rtol=1e-5, atol=1e-6)


def test_an_encoder_pools_as_it_always_does():
    assert find_pooling("encoder", "mean") is find_pooling("encoder")
    assert find_pooling("causal", "mean") is not find_pooling("causal")
