import json
import math
import os
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from language_fixtures import CLINICAL, GENERAL, RECIPE, SALT, clinical_tokens, scratch_base, write_corpus
from safetensors.torch import load_file

from clinical_peft.errors import TrainingError
from clinical_peft.events import NullLog
from clinical_peft.hash_split import hash_split
from clinical_peft.models.adapters import read_adapter_tensors
from clinical_peft.models.bases import load_causal, load_classifier, read_identity
from clinical_peft.models.folders import ADAPTER_WEIGHTS
from clinical_peft.recipes import AdaLora, AdaptionPrompt, Full, Lora, PrefixTuning, PretrainJob, PromptTuning, PTuning
from clinical_peft.tokens.reading import TokenShards
from clinical_peft.tokens.shards import tokenise
from clinical_peft.training import language
from clinical_peft.training.general_text import read_general_text
from clinical_peft.training.guards import MicroBatch
from clinical_peft.training.language import pretrain
from clinical_peft.training.language_loss import CausalLoss
from clinical_peft.training.language_plan import evaluation_rows, plan_updates

CPU = torch.device("cpu")
LORA = Lora(r=4, alpha=8, dropout=0.1)
ADALORA = AdaLora(init_r=4, target_r=2)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return scratch_base(tmp_path_factory.mktemp("bases"))


@pytest.fixture(scope="module")
def tokens(base, tmp_path_factory):
    return clinical_tokens(tmp_path_factory.mktemp("tokens"), base)


def job(method=LORA, *, switches=None, **recipe):
    return PretrainJob(
        adapter="clinical",
        method=method,
        recipe=replace(RECIPE, **recipe),
        seed=5,
        split_salt=SALT,
        general_salt=SALT,
        switches=switches or {},
    )


def run(folder, base, tokens, this_job, log=None, general=None):
    return pretrain(
        this_job,
        base=base,
        tokens=tokens,
        output=folder / "adapter",
        perplexity=folder / "perplexity.json",
        work=folder / "work",
        log=log or NullLog(),
        general=general,
    )


def adapter_bytes(folder):
    return {file.name: file.read_bytes() for file in (folder / "adapter").iterdir()}


def weight_bytes(folder):
    return (folder / "adapter" / ADAPTER_WEIGHTS).read_bytes()


# --- plan of updates


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


# --- adapters


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
def test_every_method_lowers_perplexity_on_notes_it_has_not_seen(method, rate, base, tokens, tmp_path):
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


def test_the_weights_with_the_best_validation_are_kept(base, tmp_path):
    tokens = unlearning_tokens(tmp_path, base)
    best = run(tmp_path / "best", base, tokens, job(evaluations=4))
    last = run(tmp_path / "last", base, tokens, job(evaluations=4, switches={"last_epoch": True}))
    course = [point["validation_perplexity"] for point in best["curve"]]
    assert course == [point["validation_perplexity"] for point in last["curve"]]
    assert course == sorted(course)
    assert course[-1] > 1.02 * course[0]
    assert best["kept_update"] == best["curve"][0]["step"]
    assert best["perplexity"]["after"]["validation"] == pytest.approx(course[0], rel=1e-4)
    assert last["perplexity"]["after"]["validation"] == pytest.approx(course[-1], rel=1e-4)


class Killer(NullLog):
    """A run log that ends the process at an evaluation."""

    def __init__(self, step):
        self.step = step

    def metrics(self, values, step=None):
        if step is not None and step >= self.step:
            os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("method", ["lora", "adalora"])
def test_a_killed_run_goes_on_to_the_same_bytes(method, base, tokens, tmp_path):
    this_job = job({"lora": LORA, "adalora": ADALORA}[method], evaluations=5)
    whole = run(tmp_path / "whole", base, tokens, this_job)
    often = replace(this_job, recipe=replace(this_job.recipe, checkpoint_seconds=0.0))
    killed = subprocess.run(
        [sys.executable, __file__, method, str(base), str(tokens), str(tmp_path / "killed")],
        cwd=Path(__file__).parent,
        capture_output=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert not (tmp_path / "killed" / "adapter").exists()
    steps = []

    class Steps(NullLog):
        def metrics(self, values, step=None):
            steps.append(step)

    resumed = run(tmp_path / "killed", base, tokens, often, Steps())
    assert min(step for step in steps if step) > whole["curve"][0]["step"]
    for name, content in adapter_bytes(tmp_path / "whole").items():
        assert adapter_bytes(tmp_path / "killed")[name] == content
    assert resumed["curve"] == whole["curve"]
    assert resumed["perplexity"] == whole["perplexity"]


def test_a_checkpoint_of_another_recipe_is_not_resumed(base, tokens, tmp_path):
    class Stop(NullLog):
        def metrics(self, values, step=None):
            if step is not None and step >= 4:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "a", base, tokens, job(checkpoint_seconds=0.0, evaluations=8), Stop())
    assert (tmp_path / "a" / "work" / "checkpoint.safetensors").exists()
    run(tmp_path / "a", base, tokens, job(learning_rate=2e-2))
    run(tmp_path / "b", base, tokens, job(learning_rate=2e-2))
    assert adapter_bytes(tmp_path / "a") == adapter_bytes(tmp_path / "b")


def test_a_diverging_run_stops_and_names_step_and_micro_batch(base, tokens, tmp_path):
    diverging = job(learning_rate=1e30, clip_norm=None, warmup_ratio=0.0)
    named = (
        r"training loss of micro-batch 1 of \d+ \(batch of rows \d+, .*\) at optimizer step 2: expected a finite number"
    )
    with pytest.raises(TrainingError, match=named):
        run(tmp_path, base, tokens, diverging)
    assert not (tmp_path / "adapter").exists()


def faulty_loss(step, number, fault):
    """Make the usual loss, multiplied by `fault` at one forward pass."""

    class Faulty(CausalLoss):
        def __call__(self, model, sequences, *, key):
            value, count = super().__call__(model, sequences, key=key)
            return (value * fault if key[1:] == (step, number) else value), count

    return Faulty


@pytest.mark.parametrize("fault", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_leaves_the_last_good_checkpoint(fault, base, tokens, tmp_path, monkeypatch):
    often = job(checkpoint_seconds=0.0)
    with monkeypatch.context() as patch:
        patch.setattr(language, "CausalLoss", faulty_loss(6, 1, fault))
        with pytest.raises(TrainingError, match=r"micro-batch 2 of \d+ .*step 6: .*checkpoint of step 5 is kept"):
            run(tmp_path / "a", base, tokens, often)
    steps = []

    class Steps(NullLog):
        def metrics(self, values, step=None):
            steps.append(step)

    # The checkpoint is good: without the fault the run goes on from it, to the same bytes.
    run(tmp_path / "a", base, tokens, often, Steps())
    run(tmp_path / "b", base, tokens, often)
    assert adapter_bytes(tmp_path / "a") == adapter_bytes(tmp_path / "b")


def test_weights_that_are_not_finite_never_replace_a_checkpoint(base, tokens, tmp_path):
    diverging = job(learning_rate=float("inf"), clip_norm=None, warmup_ratio=0.0, checkpoint_seconds=0.0)
    with pytest.raises(TrainingError, match=r"weight \S+ after optimizer step 1: expected finite numbers"):
        run(tmp_path, base, tokens, diverging)
    assert not (tmp_path / "work" / "checkpoint.safetensors").exists()


# --- memory


class Small(torch.nn.Module):
    """A layer of a device that holds so many positions at once."""

    def __init__(self, layer, positions):
        super().__init__()
        self.layer = layer
        self.positions = positions

    def forward(self, hidden):
        if torch.is_grad_enabled() and hidden.shape[0] * hidden.shape[1] > self.positions:
            raise torch.OutOfMemoryError
        return self.layer(hidden)


def small_device(monkeypatch, positions):
    """Let every causal network that is loaded fail in the middle of a forward pass of too many positions."""

    def load(folder, *, precision="fp32"):
        network = load_causal(folder, precision=precision)
        network.model.norm = Small(network.model.norm, positions)
        return network

    monkeypatch.setattr(language, "load_causal", load)


@pytest.mark.parametrize("method", [replace(LORA, dropout=0.0), LORA])
def test_running_out_of_memory_halves_the_micro_batch_and_keeps_the_batch(
    method, base, tokens, tmp_path, monkeypatch, caplog
):
    this_job = job(method, evaluations=1)
    small = replace(this_job, recipe=replace(this_job.recipe, micro_batch_tokens=64))
    expected = run(tmp_path / "small", base, tokens, small)
    small_device(monkeypatch, 100)
    figures = []

    class Log(NullLog):
        def metrics(self, values, step=None):
            figures.append(values)

    with caplog.at_level("WARNING"):
        found = run(tmp_path / "halved", base, tokens, this_job, Log())
    assert (RECIPE.micro_batch_tokens, found["micro_batch_tokens"], expected["micro_batch_tokens"]) == (256, 64, 64)
    assert [record.getMessage().partition("; ")[2] for record in caplog.records] == [
        f"from now on {size}, accumulated to the same batch" for size in (128, 64)
    ]
    assert any(values.get("micro_batch_tokens") == 64 for values in figures)
    # Also with dropout: what the failed attempt drew is drawn again.
    assert (tmp_path / "halved/adapter" / ADAPTER_WEIGHTS).read_bytes() == (
        tmp_path / "small/adapter" / ADAPTER_WEIGHTS
    ).read_bytes()
    assert found["tokens"] == expected["tokens"]
    assert found["updates"] == expected["updates"]


def test_a_row_that_does_not_fit_alone_is_an_error(base, tokens, tmp_path, monkeypatch):
    small_device(monkeypatch, 20)
    with pytest.raises(TrainingError, match="out of memory in a forward pass of 32 tokens, which cannot be divided"):
        run(tmp_path, base, tokens, job())


def test_a_resumed_run_keeps_the_smaller_micro_batch(base, tokens, tmp_path, monkeypatch):
    small_device(monkeypatch, 100)
    whole = job(checkpoint_seconds=0.0, evaluations=8)
    run(tmp_path / "whole", base, tokens, whole)

    class Stop(NullLog):
        def metrics(self, values, step=None):
            if step is not None and step >= 4:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", base, tokens, whole, Stop())
    attempts = []
    attempt = MicroBatch.attempt

    def count(self, *arguments, **named):
        attempts.append(self.size)
        return attempt(self, *arguments, **named)

    monkeypatch.setattr(MicroBatch, "attempt", count)
    run(tmp_path / "cut", base, tokens, whole)
    # Perplexities before training, the evaluation that was cut off, then the first update after the checkpoint.
    assert attempts[:5] == [256, 256, 256, 256, 64]
    assert adapter_bytes(tmp_path / "cut") == adapter_bytes(tmp_path / "whole")


# --- early stop


def unlearning_tokens(folder, base):
    """Tokens of which validation gets worse from one evaluation to the next: what the base has learned is unlearned."""
    sentences = {"train": CLINICAL, "validation": GENERAL, "test": CLINICAL}
    rows = [{"note_id": f"n{n}", "subject_id": n, "text": ". ".join(sentences[hash_split(n, SALT)])} for n in range(60)]
    pq.write_table(pa.Table.from_pylist(rows), folder / "notes.parquet")
    tokenise(folder / "notes.parquet", base, folder / "tokens", context=RECIPE.context, split_salt=SALT)
    return folder / "tokens"


@pytest.mark.parametrize("patience", [1, 3])
def test_training_ends_when_validation_gets_no_better(patience, base, tmp_path):
    tokens = unlearning_tokens(tmp_path, base)
    whole = run(tmp_path / "whole", base, tokens, job(evaluations=6))
    early = run(tmp_path / "early", base, tokens, job(evaluations=6, patience=patience))
    assert early["curve"] == whole["curve"][: 1 + patience]
    assert early["kept_update"] == whole["kept_update"] == whole["curve"][0]["step"]
    assert (early["stopped_early"], whole["stopped_early"]) == (True, False)
    assert early["tokens"]["trained_on"] == early["curve"][-1]["tokens"] < whole["tokens"]["trained_on"]
    same = (tmp_path / "early/adapter" / ADAPTER_WEIGHTS).read_bytes() == (
        tmp_path / "whole/adapter" / ADAPTER_WEIGHTS
    ).read_bytes()
    assert same


def test_a_run_that_gets_better_is_not_cut_short(base, tokens, tmp_path):
    result = run(tmp_path, base, tokens, job(evaluations=6, patience=1))
    course = [point["validation_perplexity"] for point in result["curve"]]
    assert course == sorted(course, reverse=True)
    assert not result["stopped_early"]


def test_adalora_does_not_lose_patience_before_its_ranks_are_final(base, tmp_path):
    result = run(tmp_path, base, unlearning_tokens(tmp_path, base), job(ADALORA, evaluations=6, patience=1))
    assert sum(result["remaining_ranks"]) == 4 * 2
    assert len(result["curve"]) > 2


# --- forgetting


@pytest.fixture(scope="module")
def general(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("text") / "general.parquet", GENERAL, notes=60, patients=False)


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


# --- full fine-tuning and what training takes


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


def test_full_fine_tuning_in_bfloat16_measures_the_weights_as_stored(base, tokens, tmp_path):
    result = run(tmp_path, base, tokens, job(Full(), learning_rate=3e-3, precision="bf16"))
    assert result["perplexity"]["after"]["test"] < result["perplexity"]["before"]["test"]
    assert load_causal(tmp_path / "adapter", precision="bf16").dtype == torch.bfloat16
    stored = load_file(tmp_path / "adapter" / "model.safetensors")
    assert {value.dtype for value in stored.values()} == {torch.bfloat16}


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


# --- bases from scratch


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


if __name__ == "__main__":
    # The process that test_a_killed_run_goes_on_to_the_same_bytes kills.
    kind, base_folder, tokens_folder, output_folder = sys.argv[1:]
    method = {"lora": LORA, "adalora": ADALORA}[kind]
    killed_job = job(method, evaluations=5, checkpoint_seconds=0.0)
    run(Path(output_folder), Path(base_folder), Path(tokens_folder), killed_job, Killer(step=8))
