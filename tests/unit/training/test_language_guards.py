"""Guards of the training of an adapter: losses and weights that are not finite, memory that runs out."""

from dataclasses import replace

import pytest
import torch
from language_fixtures import LORA, RECIPE, adapter_bytes, job, run, weight_bytes

from clinical_peft.errors import TrainingError
from clinical_peft.models.bases import load_causal
from clinical_peft.runtime.events import NullLog
from clinical_peft.training import language, language_inputs
from clinical_peft.training.guards import MicroBatch
from clinical_peft.training.language_loss import CausalLoss


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
def test_a_non_finite_loss_keeps_the_last_good_checkpoint(fault, base, tokens, tmp_path, monkeypatch):
    often = job(checkpoint_seconds=0.0)
    with monkeypatch.context() as patch:
        patch.setattr(language_inputs, "CausalLoss", faulty_loss(6, 1, fault))
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
    diverging = job(learning_rate=1e39, clip_norm=None, warmup_ratio=0.0, checkpoint_seconds=0.0)
    with pytest.raises(TrainingError, match=r"weight \S+ after optimizer step 1: expected finite numbers"):
        run(tmp_path, base, tokens, diverging)
    assert not (tmp_path / "work" / "checkpoint.safetensors").exists()


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
def test_out_of_memory_halves_the_micro_batch_alone(method, base, tokens, tmp_path, monkeypatch, caplog):
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
    assert weight_bytes(tmp_path / "halved") == weight_bytes(tmp_path / "small")
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
    # The evaluation that was cut off, then the first update after the checkpoint; what was measured before is kept.
    assert attempts[:2] == [256, 64]
    assert adapter_bytes(tmp_path / "cut") == adapter_bytes(tmp_path / "whole")


def test_an_adapter_that_the_loss_ignores_is_refused_at_once(base, tokens, tmp_path, monkeypatch):
    class Deaf(CausalLoss):
        def __call__(self, model, sequences, *, key):
            value, count = super().__call__(model, sequences, key=key)
            return value.detach(), count

    monkeypatch.setattr(language_inputs, "CausalLoss", Deaf)
    with pytest.raises(TrainingError, match=r"\d+ parameters are trained that should not be, or the reverse"):
        run(tmp_path, base, tokens, job())
    assert not (tmp_path / "adapter").exists()
