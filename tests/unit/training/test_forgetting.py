"""Forgetting of general text: how it is measured, and what replay keeps."""

import math

import numpy as np
import pytest
import torch
from language_fixtures import RECIPE, SALT, job, run

from clinical_peft.errors import TrainingError
from clinical_peft.models.bases import load_causal
from clinical_peft.training.general_text import read_general_text


def test_forgetting_is_measured_on_text_the_base_has_not_seen(base, tokens, general, tmp_path):
    result = run(tmp_path, base, tokens, job(general_tokens=200), general=general)
    found = result["general"]
    assert (found["corpus"], found["split"]) == ("general", "test")
    assert 200 <= found["tokens"] < 200 + RECIPE.context
    before, after = found["perplexity"]["before"], found["perplexity"]["after"]
    assert after > 1.05 * before
    text = read_general_text(general, base, context=32, salt=SALT, wanted={"test": 200})
    network, total, predicted = load_causal(base).eval(), 0.0, 0
    with torch.no_grad():
        for row in text.rows("test"):
            ids = torch.from_numpy(text.sequence(row).astype(np.int64))[None]
            total += float(network(ids, labels=ids).loss) * (ids.shape[1] - 1)
            predicted += ids.shape[1] - 1
    assert before == pytest.approx(math.exp(total / predicted), rel=1e-5)
    assert "| general text (general) |" in (tmp_path / "adapter" / "README.md").read_text()
    plain = run(tmp_path / "plain", base, tokens, job(general_tokens=200))
    assert plain["general"] is None
    assert plain["curve"] == result["curve"]


def test_replay_of_general_text_keeps_more_of_it(base, tokens, general, tmp_path):
    plain = run(tmp_path / "plain", base, tokens, job(), general=general)
    replayed = run(tmp_path / "replayed", base, tokens, job(replay=0.5), general=general)
    before, without, kept = (
        plain["general"]["perplexity"]["before"],
        plain["general"]["perplexity"]["after"],
        replayed["general"]["perplexity"]["after"],
    )
    assert kept - before < 0.5 * (without - before)
    clinical = plain["tokens"]["trained_on"]
    assert replayed["tokens"]["trained_on"] == pytest.approx(2 * clinical, rel=0.02)
    assert replayed["perplexity"]["after"]["test"] < replayed["perplexity"]["before"]["test"]


def test_replayed_text_counts_towards_the_budget(base, tokens, general, tmp_path):
    result = run(tmp_path, base, tokens, job(replay=0.25, train_tokens=2000), general=general)
    assert 2000 <= result["tokens"]["trained_on"] < 2000 + 2 * RECIPE.batch_tokens


def test_replay_without_general_text_is_refused(base, tokens, tmp_path):
    with pytest.raises(TrainingError, match=r"replay is 0\.5, but the study has no general text"):
        run(tmp_path, base, tokens, job(replay=0.5))
