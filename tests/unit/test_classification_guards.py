"""Guards of fine-tuning: memory that runs out, losses and weights that are not finite."""

import math
from pathlib import Path

import pytest
import torch
from models_fixtures import (
    digests,
    make_job,
    run,
    write_study,
)

from clinical_peft.errors import TrainingError
from clinical_peft.training import classification, fitting


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> dict[str, Path]:
    return write_study(tmp_path_factory.mktemp("study"))


class Small(torch.nn.Module):
    """A layer of a device that holds so many notes at once."""

    def __init__(self, layer, notes):
        super().__init__()
        self.layer = layer
        self.notes = notes

    def forward(self, hidden):
        if torch.is_grad_enabled() and len(hidden) > self.notes:
            raise torch.OutOfMemoryError
        return self.layer(hidden)


def test_running_out_of_memory_halves_the_micro_batch_and_keeps_the_batch(study, tmp_path, monkeypatch, caplog):
    run(make_job("task", micro_batch_size=2), study, tmp_path / "small")
    build = classification.build_classifier

    def build_small(*arguments, **named):
        classifier = build(*arguments, **named)
        classifier.network.model.norm = Small(classifier.network.model.norm, 2)
        return classifier

    monkeypatch.setattr(classification, "build_classifier", build_small)
    with caplog.at_level("WARNING"):
        run(make_job("task", micro_batch_size=8), study, tmp_path / "halved")
    assert [record.getMessage().partition("; ")[2] for record in caplog.records] == [
        f"from now on {size}, accumulated to the same batch" for size in (4, 2)
    ]
    first, second = (digests(tmp_path / name / "model") for name in ("halved", "small"))
    assert first == second


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
    named = "training loss of micro-batch 2 of 2 in batch 2 of epoch 1 at optimizer step 2"
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


def test_diverging_training_stops(study, tmp_path):
    with pytest.raises(TrainingError, match=r"optimizer step \d+: expected (a finite number|finite numbers)"):
        run(make_job("full", learning_rate=1e20, switches={"unclipped": True}, epochs=9), study, tmp_path)
    assert not (tmp_path / "predictions.parquet").exists()
