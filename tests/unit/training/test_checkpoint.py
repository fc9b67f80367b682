"""Checkpoints: what is saved comes back, and a kill, damage or a full disk costs one interval at most."""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from language_fixtures import same_tensors
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from clinical_peft.training.checkpoint import (
    FILE_NAME,
    NEW,
    PREVIOUS,
    CheckpointClock,
    load_checkpoint,
    remove_checkpoint,
    save_checkpoint,
)


def save(folder: Path, step: int, identity: str = "one") -> bool:
    return save_checkpoint(folder, identity=identity, tensors={"a": torch.full((64,), step)}, state={"step": step})


def found_step(folder: Path, identity: str = "one") -> int | None:
    found = load_checkpoint(folder, identity=identity)
    if found is None:
        return None
    assert set(found.tensors["a"].tolist()) == {found.state["step"]}
    return found.state["step"]


def test_checkpoints_come_back_for_the_same_job_only(tmp_path):
    tensors = {"weight/a": torch.randn(3), "generator/cpu": torch.get_rng_state(), "scalar": torch.tensor(2.0)}
    assert save_checkpoint(tmp_path, identity="one", tensors=tensors, state={"step": 3})
    found = load_checkpoint(tmp_path, identity="one")
    assert same_tensors(found.tensors, tensors)
    assert found.state == {"step": 3}
    assert same_tensors(found.section("weight/"), {"a": tensors["weight/a"]})
    assert load_checkpoint(tmp_path, identity="other") is None
    assert load_checkpoint(tmp_path / "nowhere", identity="one") is None


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-9])


def empty(file: Path) -> None:
    file.write_bytes(b"")


def flip_a_weight(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    file.write_bytes(content)


def change_the_state(file: Path) -> None:
    with safe_open(file, framework="pt") as handle:
        metadata = handle.metadata()
    save_file(load_file(file), file, metadata=metadata | {"state": json.dumps({"step": 77})})


def give_to_another_job(file: Path) -> None:
    save_checkpoint(file.parent / "other", identity="other", tensors={"a": torch.ones(3)}, state={"step": 9})
    (file.parent / "other" / FILE_NAME).replace(file)


DAMAGES = [cut, empty, flip_a_weight, change_the_state, give_to_another_job]


@pytest.mark.parametrize("damage", DAMAGES)
def test_an_unusable_checkpoint_gives_way_to_the_one_before(damage, tmp_path, caplog):
    save(tmp_path, 1)
    save(tmp_path, 2)
    damage(tmp_path / FILE_NAME)
    assert found_step(tmp_path) == 1
    assert "damaged checkpoint" in caplog.text or "another job" in caplog.text
    assert "goes on from this checkpoint, the one before" in caplog.text
    # The next save keeps what was resumed from, not what was passed over.
    save(tmp_path, 3)
    cut(tmp_path / FILE_NAME)
    assert found_step(tmp_path) == 1


def test_an_unusable_checkpoint_restarts_training_with_a_note(tmp_path, caplog):
    save(tmp_path, 1)
    save(tmp_path, 2)
    cut(tmp_path / FILE_NAME)
    cut(tmp_path / PREVIOUS)
    assert found_step(tmp_path) is None
    assert "training starts from the beginning" in caplog.text


class Killed(BaseException):
    """Stands for a kill."""


@pytest.mark.parametrize("renames", [0, 1, 2])
def test_a_kill_at_any_rename_leaves_a_whole_checkpoint(renames, tmp_path, monkeypatch):
    save(tmp_path, 1)
    save(tmp_path, 2)
    replace, done = Path.replace, []

    def until_killed(self, target):
        if len(done) == renames:
            raise Killed
        done.append(target)
        return replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", until_killed)
        with pytest.raises(Killed):
            save(tmp_path, 3)
    assert found_step(tmp_path) == (2 if renames == 0 else 3)
    assert not (tmp_path / NEW).exists()
    cut(tmp_path / FILE_NAME)
    assert found_step(tmp_path) == (1 if renames == 0 else 2)


def test_what_killed_saves_left_is_cleared_away(tmp_path):
    (tmp_path / ".partial-abc").mkdir()
    (tmp_path / ".partial-abc" / NEW).write_bytes(b"half")
    save(tmp_path, 1)
    assert found_step(tmp_path) == 1
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]
    save(tmp_path, 2)
    remove_checkpoint(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_keeps_the_checkpoint_before_and_goes_on(tmp_path):
    # A limit to the size of a file fails as a full disk does, also inside the library that writes tensors.
    result = subprocess.run(
        [sys.executable, __file__, str(tmp_path)],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2] / "support")},
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout == "True False False True\n"
    assert "no checkpoint of 512 bytes was saved" in result.stderr
    assert "checkpoint.new.safetensors: file too large; free space" in result.stderr
    assert found_step(tmp_path) == 4
    cut(tmp_path / FILE_NAME)
    assert found_step(tmp_path) == 1


def test_the_checkpoint_clock_rings_once_per_interval(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    clock = CheckpointClock(10)
    rings = []
    for now[0] in (5.0, 10.0, 15.0, 25.0):
        rings.append(clock.due())
    assert rings == [False, True, False, True]


def _save_under_a_limit(folder: Path) -> None:
    """The process of test_a_full_disk_keeps_the_checkpoint_before_and_goes_on."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    done = [save(folder, 1)]
    for step, limit in ((2, 0), (3, 600), (4, hard)):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        done.append(save(folder, step))
        found = load_checkpoint(folder, identity="one")
        assert found is not None
        assert found.state["step"] == (step if step == 4 else 1)
    print(*done)


if __name__ == "__main__":
    _save_under_a_limit(Path(sys.argv[1]))
