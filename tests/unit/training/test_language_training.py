"""The training of adapters end to end: what is learned, what is measured, what is written."""

import json
import math
import socket
from dataclasses import replace

import numpy as np
import pytest
import torch
from language_fixtures import (
    ADALORA,
    LORA,
    RECIPE,
    SALT,
    adapter_bytes,
    clinical_tokens,
    job,
    run,
    weight_bytes,
)

from clinical_peft.errors import TrainingError
from clinical_peft.methods.adaption_prompt import AdaptionPrompt
from clinical_peft.methods.lora import Lora
from clinical_peft.methods.p_tuning import PTuning
from clinical_peft.methods.prefix_tuning import PrefixTuning
from clinical_peft.methods.prompt_tuning import PromptTuning
from clinical_peft.models.adapters import read_adapter_tensors
from clinical_peft.models.bases import load_causal
from clinical_peft.runtime.events import NullLog
from clinical_peft.tokens.reading import TokenShards
from clinical_peft.training.language_plan import evaluation_rows, plan_updates


def test_updates_end_at_the_token_budget(tokens):
    shards = TokenShards(tokens)
    whole = plan_updates(shards, RECIPE, seed=0)
    train = shards.rows("train")
    counted = np.bincount(np.concatenate(whole), minlength=len(shards.lengths))
    assert set(counted[train]) == {RECIPE.epochs}
    assert counted.sum() == RECIPE.epochs * len(train)
    part = plan_updates(shards, replace(RECIPE, train_tokens=1000), seed=0)
    assert all(np.array_equal(left, right) for left, right in zip(part, whole, strict=False))
    read = sum(int(shards.lengths[rows].sum()) for rows in part)
    assert 1000 <= read < 1000 + 2 * RECIPE.batch_tokens


def test_limited_evaluations_read_the_same_rows_every_time(tokens):
    shards = TokenShards(tokens)
    rows = evaluation_rows(shards, "train", 200, SALT)
    assert np.array_equal(rows, evaluation_rows(shards, "train", 200, SALT))
    assert 200 <= shards.lengths[rows].sum() < 200 + RECIPE.context
    assert set(rows) <= set(shards.rows("train"))
    assert np.array_equal(evaluation_rows(shards, "train", None, SALT), shards.rows("train"))


METHODS = [
    (LORA, 1e-2),
    (Lora(r=4, alpha=8, dropout=0.1, dora=True), 1e-2),
    (Lora(r=8, alpha=4, rank_stabilised=True), 1e-2),
    (ADALORA, 1e-2),
    (AdaptionPrompt(adapter_len=4, adapter_layers=2), 1e-1),
    (PrefixTuning(num_virtual_tokens=4), 1e-1),
    (PromptTuning(num_virtual_tokens=4), 1e-1),
    (PromptTuning(num_virtual_tokens=4, init_text="patient admitted"), 1e-1),
    (PTuning(num_virtual_tokens=4, hidden_size=16, layers=1), 1e-2),
]


@pytest.mark.parametrize(("method", "rate"), METHODS)
def test_every_method_lowers_perplexity_on_unseen_notes(method, rate, base, tokens, tmp_path):
    result = run(tmp_path, base, tokens, job(method, learning_rate=rate))
    before, after = (result["perplexity"][when]["test"] for when in ("before", "after"))
    assert after < 0.97 * before
    assert result["trainable_parameters"] < result["total_parameters"]
    assert json.loads((tmp_path / "perplexity.json").read_text()) == json.loads(json.dumps(result))
    assert not any((tmp_path / "work").iterdir())
    config = (tmp_path / "adapter" / "adapter_config.json").read_text()
    assert str(base) not in config


def test_perplexity_is_weighted_by_tokens(base, tokens, tmp_path):
    result = run(tmp_path, base, tokens, job(train_tokens=300))
    network, shards = load_causal(base).eval(), TokenShards(tokens)
    total, predicted = 0.0, 0
    with torch.no_grad():
        for document in (document for row in shards.rows("test") for document in shards.documents(row)):
            ids = torch.from_numpy(document.astype(np.int64))[None]
            if ids.shape[1] > 1:
                total += float(network(ids, labels=ids).loss) * (ids.shape[1] - 1)
                predicted += ids.shape[1] - 1
    assert result["perplexity"]["before"]["test"] == pytest.approx(math.exp(total / predicted), rel=1e-5)


def test_training_samples_one_split_and_counts_its_reading(base, tokens, tmp_path):
    result = run(tmp_path, base, tokens, job(train_evaluation_tokens=200, evaluations=2))
    read, held = result["evaluated_tokens"], result["tokens"]
    assert 200 <= read["train"] < 200 + RECIPE.context < held["train"]
    assert {split: read[split] for split in ("validation", "test")} == {
        split: held[split] for split in ("validation", "test")
    }
    assert result["forward_tokens"] == 2 * sum(read.values()) + 2 * read["validation"]
    assert result["evaluation_seconds"] > 0
    whole = run(tmp_path / "whole", base, tokens, job(evaluations=2))
    assert whole["evaluated_tokens"] == {split: held[split] for split in read}
    assert weight_bytes(tmp_path) == weight_bytes(tmp_path / "whole")
    assert result["perplexity"]["after"]["test"] == whole["perplexity"]["after"]["test"]
    assert result["perplexity"]["after"]["train"] != whole["perplexity"]["after"]["train"]


def test_the_smaller_limit_counts_for_the_training_split():
    assert replace(RECIPE, evaluation_tokens=50, train_evaluation_tokens=200).evaluation_limit("train") == 50
    assert replace(RECIPE, evaluation_tokens=50, train_evaluation_tokens=20).evaluation_limit("train") == 20
    with pytest.raises(ValueError, match="train_evaluation_tokens must be positive or null"):
        replace(RECIPE, train_evaluation_tokens=0)


def test_curve_and_token_counts_follow_from_the_budget(base, tokens, tmp_path):
    result = run(tmp_path, base, tokens, job(evaluations=3))
    summary = TokenShards(tokens).summary["splits"]
    assert result["tokens"]["train"] == summary["train"]["tokens"]
    assert result["tokens"]["trained_on"] == RECIPE.epochs * summary["train"]["tokens"]
    assert len(result["curve"]) == 3
    assert result["curve"][-1]["step"] == result["updates"]
    assert result["curve"][-1]["tokens"] == result["tokens"]["trained_on"]


def test_adalora_ends_within_its_budget(base, tokens, tmp_path):
    result = run(tmp_path, base, tokens, job(ADALORA))
    assert len(result["remaining_ranks"]) == 4
    assert sum(result["remaining_ranks"]) == 4 * 2


@pytest.mark.parametrize("method", [LORA, ADALORA, PTuning(num_virtual_tokens=4, hidden_size=16, layers=1)])
def test_same_inputs_give_the_same_bytes(method, base, tokens, tmp_path):
    for name in ("a", "b"):
        run(tmp_path / name, base, tokens, job(method))
    assert adapter_bytes(tmp_path / "a") == adapter_bytes(tmp_path / "b")


def test_another_seed_gives_another_adapter(base, tokens, tmp_path):
    run(tmp_path / "a", base, tokens, job())
    run(tmp_path / "b", base, tokens, replace(job(), seed=6))
    assert adapter_bytes(tmp_path / "a") != adapter_bytes(tmp_path / "b")


def test_what_the_training_took_is_reported(base, tokens, tmp_path):
    sent = {}

    class Log(NullLog):
        def metrics(self, values, step=None):
            if step is None:
                sent.update(values)

    results = [run(tmp_path / str(number), base, tokens, job(), Log()) for number in range(2)]
    for result in results:
        speed = result["tokens"]["trained_on"] / result["seconds"]
        assert result["tokens_per_second"] == pytest.approx(speed)
        assert result["flops_utilisation"] == pytest.approx(
            speed * result["flops_per_token"] / result["ceiling_flops_per_second"]
        )
        assert 0 < result["flops_utilisation"] < 1.5
        assert result["peak_memory_bytes"] > 1e6
        assert (result["energy_joules"], result["device_idle_share"]) == (None, None)
    assert {"tokens_per_second", "flops_utilisation", "peak_memory_bytes"} <= sent.keys()
    assert adapter_bytes(tmp_path / "0") == adapter_bytes(tmp_path / "1")


def test_truncated_and_padded_notes_train_on_real_tokens_only(base, tmp_path):
    tokens = clinical_tokens(tmp_path, base, truncate_and_pad=True)
    result = run(tmp_path, base, tokens, job(switches={"truncate_and_pad": True}))
    summary = TokenShards(tokens).summary["splits"]["train"]
    assert summary["dropped_tokens"] > 0
    assert result["tokens"]["trained_on"] == RECIPE.epochs * summary["tokens"]


@pytest.mark.parametrize(("method", "rate"), METHODS)
def test_bfloat16_activations_keep_the_adapter_in_float32(method, rate, base, tokens, tmp_path):
    result = run(tmp_path, base, tokens, job(method, learning_rate=rate, precision="bf16"))
    assert result["perplexity"]["after"]["test"] < result["perplexity"]["before"]["test"]
    assert {tensor.dtype for tensor in read_adapter_tensors(tmp_path / "adapter").values()} == {torch.float32}


def test_tokens_of_another_base_are_refused(base, tokens, tmp_path):
    (tmp_path / "base").mkdir()
    for file in base.iterdir():
        (tmp_path / "base" / file.name).write_bytes(file.read_bytes())
    record = json.loads((base / "base.json").read_text())
    (tmp_path / "base" / "base.json").write_text(json.dumps(record | {"vocabulary": 7}))
    with pytest.raises(TrainingError, match="tokenise the corpus with this base"):
        run(tmp_path, tmp_path / "base", tokens, job())
    with pytest.raises(TrainingError, match="tokenise the corpus again"):
        run(tmp_path, base, tokens, job(context=16))


def test_no_note_text_and_no_network(base, tokens, tmp_path, monkeypatch, capfd):
    def refuse(*_):
        raise AssertionError("a connection was attempted")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    run(tmp_path, base, tokens, job())
    shown = capfd.readouterr()
    written = (tmp_path / "adapter" / "README.md").read_text() + (tmp_path / "perplexity.json").read_text()
    for word in ("chest", "heparin", "warfarin"):
        assert word not in shown.out + shown.err + written
    assert "step" in shown.err
