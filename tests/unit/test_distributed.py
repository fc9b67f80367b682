"""Several processes train as one does, and fail, stop and resume as one does."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from language_fixtures import RECIPE, SALT, clinical_tokens, scratch_base

from clinical_peft.errors import TrainingError
from clinical_peft.events import JsonlLog, NullLog, read_events
from clinical_peft.models.adapters import read_adapter_tensors
from clinical_peft.recipes import Devices, Lora, PretrainJob
from clinical_peft.training.distributed import Workers
from clinical_peft.training.language import pretrain
from clinical_peft.training.launch import SPECIFICATION, run_pretraining

JOB = PretrainJob(adapter="clinical", method=Lora(r=4, alpha=8), recipe=RECIPE, seed=5, split_salt=SALT)


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("study")
    base = scratch_base(folder)
    return {"base": base, "tokens": clinical_tokens(folder, base)}


@pytest.fixture(scope="module")
def alone(study, tmp_path_factory) -> Path:
    """What one process makes of the job."""
    folder = tmp_path_factory.mktemp("alone")
    pretrain(JOB, **study, **places(folder), log=NullLog())
    return folder


def places(folder: Path) -> dict[str, Path]:
    return {"output": folder / "adapter", "perplexity": folder / "perplexity.json", "work": folder / "work"}


def together(study, folder: Path, strategy: str = "ddp", **recipe) -> dict:
    """Train the job in two processes and return its record."""
    devices = Devices(processes=2, strategy=strategy)
    this_job = replace(JOB, recipe=replace(RECIPE, devices=devices, **recipe))
    log = JsonlLog(folder / "run.jsonl", kind="adapters", name="clinical", kept=folder / "work" / "run.jsonl")
    run_pretraining(this_job, **study, **places(folder), log=log, log_file=folder / "job.log")
    return json.loads((folder / "perplexity.json").read_text())


# --- sharing


@given(lengths=st.lists(st.integers(1, 512), min_size=1, max_size=40), world=st.integers(1, 5))
def test_every_row_has_one_process_and_loads_differ_by_a_row_at_most(lengths, world):
    lengths = np.array(lengths)
    rows = np.arange(len(lengths))[::-1]
    parts = [Workers(rank=rank, world=world).share(rows, lengths) for rank in range(world)]
    assert sorted(np.concatenate(parts).tolist()) == sorted(rows.tolist())
    loads = [int(lengths[part].sum()) for part in parts]
    assert max(loads) - min(loads) <= lengths.max()
    assert all(part.tolist() == [row for row in rows if row in set(part)] for part in parts)


def test_a_batch_must_hold_a_forward_pass_for_each_process():
    with pytest.raises(ValueError, match="batch_tokens must be at least processes times micro_batch_tokens"):
        replace(RECIPE, devices=Devices(processes=3))


def test_more_processes_than_gpus_are_refused(study, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(TrainingError, match="asks for 2 processes on this machine, but 1 GPUs are visible"):
        together(study, tmp_path)


# --- training


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "fsdp2"])
def test_two_processes_train_as_one_does(strategy, study, alone, tmp_path):
    found = together(study, tmp_path, strategy)
    expected = json.loads((alone / "perplexity.json").read_text())
    assert found["tokens"] == expected["tokens"]
    assert found["updates"] == expected["updates"]
    for mine, other in zip(found["curve"], expected["curve"], strict=True):
        assert mine == pytest.approx(other, rel=1e-4)
    for when in ("before", "after"):
        assert found["perplexity"][when] == pytest.approx(expected["perplexity"][when], rel=1e-4)
    tensors, others = (read_adapter_tensors(folder / "adapter") for folder in (tmp_path, alone))
    assert tensors.keys() == others.keys()
    for name, tensor in tensors.items():
        torch.testing.assert_close(tensor, others[name], rtol=1e-2, atol=1e-4)
    steps = [event["step"] for event in read_events(tmp_path / "run.jsonl") if "metrics" in event]
    assert steps == [point["step"] for point in expected["curve"]] + [None, None]
    assert not (tmp_path / "work" / SPECIFICATION).exists()
