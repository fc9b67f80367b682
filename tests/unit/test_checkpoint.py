import pytest
import torch
from language_fixtures import same_tensors

from clinical_peft.errors import TrainingError
from clinical_peft.training.checkpoint import CheckpointClock, load_checkpoint, save_checkpoint


def test_checkpoints_come_back_for_the_same_job_only(tmp_path):
    tensors = {"weight/a": torch.randn(3), "generator/cpu": torch.get_rng_state()}
    save_checkpoint(tmp_path, identity="one", tensors=tensors, state={"step": 3})
    found = load_checkpoint(tmp_path, identity="one")
    assert same_tensors(found.tensors, tensors)
    assert found.state == {"step": 3}
    assert same_tensors(found.section("weight/"), {"a": tensors["weight/a"]})
    assert load_checkpoint(tmp_path, identity="other") is None
    assert load_checkpoint(tmp_path / "nowhere", identity="one") is None


def test_a_damaged_checkpoint_is_an_error(tmp_path):
    save_checkpoint(tmp_path, identity="one", tensors={"a": torch.ones(3)}, state={})
    file = tmp_path / "checkpoint.safetensors"
    file.write_bytes(file.read_bytes()[:20])
    with pytest.raises(TrainingError, match="damaged checkpoint"):
        load_checkpoint(tmp_path, identity="one")


def test_the_checkpoint_clock_rings_once_per_interval(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    clock = CheckpointClock(10)
    rings = []
    for now[0] in (5.0, 10.0, 15.0, 25.0):
        rings.append(clock.due())
    assert rings == [False, True, False, True]
