"""Guards of fine-tuning: memory that runs out, losses and weights that are not finite."""

import math

import numpy as np
import pytest
import torch
from models_fixtures import (
    CONTEXT,
    altered_cohort,
    columns,
    digests,
    make_job,
    run,
)

from clinical_peft.errors import TrainingError
from clinical_peft.recipes import PoolJob
from clinical_peft.runtime.events import NullLog
from clinical_peft.training import classification, fitting, pooling


def small_device(monkeypatch, module, positions):
    """Let every classifier that a module builds run out of memory in forward passes of too many positions."""
    build = module.build_classifier

    def hold(layer, inputs):
        if inputs[0].shape[0] * inputs[0].shape[1] > positions:
            raise torch.OutOfMemoryError

    def build_small(*arguments, **named):
        classifier = build(*arguments, **named)
        classifier.network.model.layers[0].register_forward_pre_hook(hold)
        return classifier

    monkeypatch.setattr(module, "build_classifier", build_small)


def halvings(caplog) -> list[tuple[str, str]]:
    """What was halved, and to what."""
    messages = [record.getMessage() for record in caplog.records]
    return [(text.partition(": ")[0], text.partition("from now on ")[2].partition(",")[0]) for text in messages]


def long_notes(study, folder):
    """The cohort with its notes repeated until they fill the context."""

    def lengthen(record):
        record["text"] = [" ".join((text.split() * CONTEXT)[:CONTEXT]) for text in record["text"]]

    return altered_cohort(study, folder, "mortality", lengthen)


def test_out_of_memory_halves_the_micro_batch_alone(study, tmp_path, monkeypatch, caplog):
    long = long_notes(study, tmp_path)
    run(make_job("task", micro_batch_size=2), study, tmp_path / "small", **long)
    small_device(monkeypatch, classification, 2 * CONTEXT)
    with caplog.at_level("WARNING"):
        run(make_job("task", micro_batch_size=8), study, tmp_path / "halved", **long)
    title = "finetune task mortality seed 0"
    assert halvings(caplog) == [(title, "4"), (title, "2")] + [
        (f"{title}, forward alone", str(notes * CONTEXT)) for notes in (16, 8, 4, 2)
    ]
    first, second = (digests(tmp_path / name / "model") for name in ("halved", "small"))
    assert first == second
    logits = [columns(tmp_path / name / "predictions.parquet", "logits") for name in ("halved", "small")]
    np.testing.assert_allclose(*logits, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("switches", [{}, {"pool_last_position": True}], ids=["last token", "last position"])
def test_out_of_memory_halves_the_passes_that_pool_notes(switches, study, tmp_path, monkeypatch, caplog):
    job = make_job("head", switches=switches)
    run(job, study, tmp_path / "whole")
    small_device(monkeypatch, classification, CONTEXT)
    with caplog.at_level("WARNING"):
        run(job, study, tmp_path / "halved")
    assert halvings(caplog)
    logits = [columns(tmp_path / name / "predictions.parquet", "logits") for name in ("halved", "whole")]
    np.testing.assert_allclose(*logits, rtol=1e-4, atol=1e-5)


def test_a_note_too_long_to_pool_alone_is_an_error(study, tmp_path, monkeypatch):
    small_device(monkeypatch, pooling, CONTEXT - 1)
    job = PoolJob(
        family="causal",
        clinical=None,
        clinical_mode=None,
        context=CONTEXT,
        micro_batch_size=4,
        precision="fp32",
        threads=1,
        switches={"pool_last_position": False},
    )
    places = {"output": tmp_path / "f.safetensors", "record": tmp_path / "f.json", "log": NullLog()}
    with pytest.raises(TrainingError, match="pool notes, forward alone: out of memory in a forward pass of 24 tokens"):
        pooling.pool_notes(job, cohorts=[study["mortality"]], base=study["causal"], adapter=None, **places)
    assert not (tmp_path / "f.safetensors").exists()


def test_a_note_that_does_not_fit_alone_is_an_error(study, tmp_path, monkeypatch):
    def no_memory(*_):
        raise torch.OutOfMemoryError

    monkeypatch.setattr(fitting.Fit, "loss", no_memory)
    with pytest.raises(TrainingError, match="out of memory in a forward pass of 1 notes, which cannot be divided"):
        run(make_job("task"), study, tmp_path)


def test_a_loss_that_is_not_finite_names_micro_batch_and_epoch(study, tmp_path, monkeypatch):
    loss, seen = fitting.Fit.loss, []

    def faulty(self, rows):
        seen.append(rows)
        return loss(self, rows) * (math.nan if len(seen) == 5 else 1.0)

    # The first call is the check of gradients; then two micro-batches make a batch.
    monkeypatch.setattr(fitting.Fit, "loss", faulty)
    named = "training loss of micro-batch 2 of 2 in batch 2 of epoch 1 at optimizer step 2: .*; no checkpoint yet; "
    with pytest.raises(TrainingError, match=named):
        run(make_job("task"), study, tmp_path)
    assert not (tmp_path / "predictions.parquet").exists()


def test_the_losses_of_a_step_are_read_from_the_device_once(study, tmp_path, monkeypatch):
    reads, add, steps = [], fitting.Fit._add_gradients, []

    def counted(self, *arguments):
        with monkeypatch.context() as patch:
            for name in ("item", "tolist", "__float__"):
                read = getattr(torch.Tensor, name)
                patch.setattr(torch.Tensor, name, lambda tensor, read=read: reads.append(1) or read(tensor))
            steps.append(1)
            return add(self, *arguments)

    monkeypatch.setattr(fitting.Fit, "_add_gradients", counted)
    run(make_job("task", micro_batch_size=2), study, tmp_path)
    assert len(reads) == len(steps) > 1


@pytest.mark.parametrize("fault", [math.nan, math.inf])
def test_a_non_finite_loss_keeps_the_last_good_checkpoint(fault, study, tmp_path, monkeypatch):
    often = make_job("task", checkpoint_seconds=0.0)
    loss, seen = fitting.Fit.loss, []

    def faulty(self, rows):
        seen.append(rows)
        return loss(self, rows) * (fault if len(seen) == 14 else 1.0)

    with monkeypatch.context() as patch:
        patch.setattr(fitting.Fit, "loss", faulty)
        named = "micro-batch 2 of 2 in batch 2 of epoch 2 at optimizer step 7: .*; the checkpoint of step 6 is kept; "
        with pytest.raises(TrainingError, match=named):
            run(often, study, tmp_path / "cut")
    steps = []

    class Steps(NullLog):
        def metrics(self, values, step=None):
            steps.append(step)

    # The checkpoint is good: without the fault the run goes on from it, to the same bytes.
    run(often, study, tmp_path / "cut", log=Steps())
    run(often, study, tmp_path / "whole")
    assert steps[0] == 7
    assert digests(tmp_path / "cut") == digests(tmp_path / "whole")


def test_diverging_training_stops(study, tmp_path):
    with pytest.raises(TrainingError, match=r"optimizer step \d+: expected (a finite number|finite numbers)"):
        run(make_job("full", learning_rate=1e20, switches={"unclipped": True}, epochs=9), study, tmp_path)
    assert not (tmp_path / "predictions.parquet").exists()
