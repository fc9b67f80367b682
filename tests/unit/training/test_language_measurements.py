"""Perplexities before and after training: a stop is heeded while they are measured, and none is measured twice."""

import json
import os
import signal

import pytest
from language_fixtures import adapter_bytes, general_corpus, job, run

from clinical_peft.errors import StoppedError, StorageError
from clinical_peft.runtime.signals import sigterm_raises
from clinical_peft.training import language_inputs, perplexities
from clinical_peft.training.language_loss import CausalLoss

SPLITS = ("train", "validation", "test")


@pytest.fixture
def measured(monkeypatch):
    """The splits that were read to the end or begun, in order, of whatever runs."""
    begun: list[str] = []
    measure = perplexities.measure_perplexity

    def noting(network, run, split, **named):
        begun.append(split)
        return measure(network, run, split, **named)

    monkeypatch.setattr(perplexities, "measure_perplexity", noting)
    return begun


def asking(number, begun, at):
    """Make the usual loss, which has the process asked to stop at a forward pass of the `at`-th measurement."""

    class Asking(CausalLoss):
        asked = False

        def __call__(self, model, sequences, *, key):
            if len(begun) == at and not self.asked:
                Asking.asked = True
                os.kill(os.getpid(), number)
            return super().__call__(model, sequences, key=key)

    return Asking


@pytest.mark.parametrize("at", [1, 3, 5, 8], ids=["first", "last before", "second after", "general after"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_stop_is_heeded_and_nothing_is_measured_twice(number, at, base, tokens, tmp_path, monkeypatch, measured):
    general = general_corpus(tmp_path)
    whole = run(tmp_path / "whole", base, tokens, job(), general=general)
    everything = [*SPLITS, "test"] * 2
    assert measured == everything
    measured.clear()
    with monkeypatch.context() as patch, sigterm_raises():
        patch.setattr(language_inputs, "CausalLoss", asking(number, measured, at))
        with pytest.raises(StoppedError, match=rf"asked by {signal.Signals(number).name}; .*the same command goes on"):
            run(tmp_path / "cut", base, tokens, job(), general=general)
    assert measured == everything[:at]
    assert not (tmp_path / "cut" / "adapter").exists()
    resumed = run(tmp_path / "cut", base, tokens, job(), general=general)
    # A split of one forward pass is finished when the stop is seen.
    assert len(measured) in (len(everything), len(everything) + 1)
    assert resumed["perplexity"] == whole["perplexity"]
    assert resumed["general"] == whole["general"]
    assert adapter_bytes(tmp_path / "cut") == adapter_bytes(tmp_path / "whole")
    assert list((tmp_path / "cut" / "work").iterdir()) == []


def test_measurements_of_another_job_are_not_used(base, tokens, tmp_path, measured, monkeypatch):
    with monkeypatch.context() as patch, sigterm_raises():
        patch.setattr(language_inputs, "CausalLoss", asking(signal.SIGUSR1, measured, 3))
        with pytest.raises(StoppedError):
            run(tmp_path, base, tokens, job())
    measured.clear()
    run(tmp_path, base, tokens, job(context=64))
    assert measured == [*SPLITS, *SPLITS]


@pytest.mark.parametrize("damage", ["{", "[]", '{"identity": 1}'])
def test_damaged_measurements_are_made_again(damage, base, tokens, tmp_path, measured, caplog):
    work = tmp_path / "work"
    work.mkdir()
    (work / perplexities.FILE_NAME).write_text(damage)
    with caplog.at_level("WARNING"):
        run(tmp_path, base, tokens, job())
    assert measured == [*SPLITS, *SPLITS]
    assert any(perplexities.FILE_NAME in record.getMessage() for record in caplog.records)


def test_a_value_that_was_changed_is_not_that_of_other_weights(base, tokens, tmp_path, measured, monkeypatch):
    """What was measured after training belongs to the very weights that were measured."""
    with monkeypatch.context() as patch, sigterm_raises():
        patch.setattr(language_inputs, "CausalLoss", asking(signal.SIGUSR1, measured, 5))
        with pytest.raises(StoppedError):
            run(tmp_path, base, tokens, job())
    file = tmp_path / "work" / perplexities.FILE_NAME
    record = json.loads(file.read_text())
    kept = {key for key in record["kept"] if not key.startswith("base/")}
    assert kept
    record["kept"] = {
        key.replace(key.split("/")[0], "0" * 64) if key in kept else key: value for key, value in record["kept"].items()
    }
    file.write_text(json.dumps(record))
    measured.clear()
    run(tmp_path, base, tokens, job())
    assert measured == list(SPLITS)


def test_a_full_disk_costs_a_measurement_and_not_the_job(base, tokens, tmp_path, monkeypatch, caplog):
    def full(path, value):
        raise StorageError(f"{path}: no space left on device")

    monkeypatch.setattr(perplexities, "write_json", full)
    with caplog.at_level("WARNING"):
        run(tmp_path, base, tokens, job())
    assert any("no space left" in record.getMessage() for record in caplog.records)
