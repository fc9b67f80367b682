"""Fine-tuning after an interruption."""

import os
import signal
from dataclasses import replace

import pytest
from models_fixtures import digests, make_job, run

from clinical_peft.errors import StoppedError
from clinical_peft.runtime.events import NullLog
from clinical_peft.training import fitting


class Killed(Exception):
    """Stands for a kill."""


@pytest.mark.parametrize(
    ("family", "name"), [("causal", "clinical-trainable+task"), ("causal", "head"), ("encoder", "full")]
)
@pytest.mark.parametrize("step", [2, 5, 9])
def test_killed_run_goes_on_to_the_same_bytes(family, name, step, study, tmp_path, monkeypatch):
    job = make_job(name, family=family, epochs=3, checkpoint_seconds=0.0)
    run(job, study, tmp_path / "whole")

    save = fitting.Fit._save

    def save_and_die(self):
        save(self)
        if self.state.step == step:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(fitting.Fit, "_save", save_and_die)
        with pytest.raises(Killed):
            run(job, study, tmp_path / "broken")
    assert not (tmp_path / "broken/predictions.parquet").exists()
    steps = []
    log = NullLog()
    log.metrics = lambda values, step=None: steps.append(step) if "train_loss" in values else None
    run(job, study, tmp_path / "broken", log=log)
    assert steps[0] == step + 1
    assert digests(tmp_path / "broken") == digests(tmp_path / "whole")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_stopped_run_resumes_to_the_same_bytes(number, study, tmp_path):
    job = make_job("clinical-trainable+task", epochs=3)
    run(job, study, tmp_path / "whole")
    steps, log = [], NullLog()

    def note(values, step=None):
        if "train_loss" in values:
            steps.append(step)
            if step == 4:
                os.kill(os.getpid(), number)

    log.metrics = note
    said = (
        rf"clinical-trainable\+task mortality seed 0 after step 4 of 15, asked by {number.name}; a checkpoint is saved"
    )
    with pytest.raises(StoppedError, match=said):
        run(job, study, tmp_path / "stopped", log=log)
    assert not (tmp_path / "stopped/predictions.parquet").exists()
    run(job, study, tmp_path / "stopped", log=log)
    assert steps == list(range(1, 16))
    assert digests(tmp_path / "stopped") == digests(tmp_path / "whole")


def test_checkpoint_of_another_recipe_is_not_resumed(study, tmp_path, monkeypatch):
    job = make_job("task", checkpoint_seconds=0.0)
    with monkeypatch.context() as patch:
        patch.setattr(fitting.Fit, "_evaluate", lambda self, stop: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            run(job, study, tmp_path / "out")
    changed = replace(job, recipe=replace(job.recipe, weight_decay=0.5))
    run(changed, study, tmp_path / "out")
    run(changed, study, tmp_path / "fresh")
    assert digests(tmp_path / "out") == digests(tmp_path / "fresh")
