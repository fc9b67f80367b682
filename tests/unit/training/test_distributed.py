"""Several processes train as one does, and fail, stop and resume as one does."""

import json
import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from adapter_jobs import JOB, places, together
from hypothesis import given
from hypothesis import strategies as st
from language_fixtures import RECIPE

from clinical_peft.errors import StoppedError, TrainingError
from clinical_peft.methods.lora import Lora
from clinical_peft.models.adapters import read_adapter_tensors
from clinical_peft.recipes import Devices
from clinical_peft.runtime.events import NullLog, read_events
from clinical_peft.runtime.signals import StopRequest
from clinical_peft.training.adapter_job import SPECIFICATION
from clinical_peft.training.checkpoint import FILE_NAME
from clinical_peft.training.distributed import Workers
from clinical_peft.training.language import pretrain
from clinical_peft.training.workers import Worker, report

DROPOUT = Lora(r=4, alpha=8, dropout=0.1)


@pytest.fixture(scope="module")
def study(base, tokens) -> dict[str, Path]:
    return {"base": base, "tokens": tokens}


@pytest.fixture(scope="module")
def alone(study, tmp_path_factory) -> Path:
    """What one process makes of the job."""
    folder = tmp_path_factory.mktemp("alone")
    pretrain(JOB, **study, **places(folder), log=NullLog())
    return folder


# --- sharing


@given(lengths=st.lists(st.integers(1, 512), min_size=1, max_size=40), world=st.integers(1, 5))
def test_rows_spread_over_processes_within_one_row(lengths, world):
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


@pytest.mark.parametrize("strategy", ["ddp", pytest.param("fsdp2", marks=pytest.mark.slow)])
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
    events = [event for event in read_events(tmp_path / "runs" / "run.jsonl") if "metrics" in event]
    steps = [event["step"] for event in events if event["step"] is not None]
    assert steps == [point["step"] for point in expected["curve"]]
    assert not (tmp_path / "work" / SPECIFICATION).exists()


def worker_process(folder: Path, rank: int) -> int:
    """Wait for a worker of a job in `folder` and return its process id."""
    specification = str((folder / "work" / SPECIFICATION).resolve())
    while True:
        for process in Path("/proc").iterdir():
            try:
                arguments = (process / "cmdline").read_text().split("\0")
                environment = (process / "environ").read_text().split("\0")
            except OSError:
                continue
            if specification in arguments and f"RANK={rank}" in environment:
                return int(process.name)
        time.sleep(0.05)


def after_a_checkpoint(folder: Path, action) -> threading.Thread:
    """Act in a thread once a job in `folder` has saved a checkpoint."""

    def wait_and_act() -> None:
        while not (folder / "work" / FILE_NAME).exists():
            time.sleep(0.01)
        action()

    thread = threading.Thread(target=wait_and_act, daemon=True)
    thread.start()
    return thread


OFTEN = {"checkpoint_seconds": 0.0, "epochs": 4}


@pytest.fixture(scope="module")
def longer(study, tmp_path_factory) -> Path:
    """What two processes make of a longer job with dropout in peace."""
    folder = tmp_path_factory.mktemp("longer")
    together(study, folder, method=DROPOUT, **OFTEN)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("end", ["kill one", "stop"])
def test_two_processes_end_together_and_go_on_to_the_same_bytes(end, study, longer, tmp_path):
    def act() -> None:
        if end == "stop":
            os.kill(os.getpid(), signal.SIGTERM)
        else:
            os.kill(worker_process(tmp_path, rank=1), signal.SIGKILL)

    thread = after_a_checkpoint(tmp_path, act)
    error, message = {
        "stop": (StoppedError, r"adapter clinical after step \d+ of \d+, asked by SIGUSR1; a checkpoint is saved"),
        "kill one": (TrainingError, "process 1 of 2 was ended by SIGKILL, perhaps because memory ran out"),
    }[end]
    with pytest.raises(error, match=message):
        together(study, tmp_path, method=DROPOUT, **OFTEN)
    thread.join()
    assert not (tmp_path / "adapter").exists()
    (tmp_path / "runs" / "run.jsonl").unlink()
    together(study, tmp_path, method=DROPOUT, **OFTEN)
    contents = [
        {file.name: file.read_bytes() for file in (folder / "adapter").iterdir()} for folder in (tmp_path, longer)
    ]
    assert contents[0] == contents[1]
    steps = [
        [event["step"] for event in read_events(folder / "runs" / "run.jsonl") if "metrics" in event]
        for folder in (tmp_path, longer)
    ]
    assert steps[0] == steps[1]


def ended(rank: int, returncode: int, error: tuple[float, str] | None = None) -> Worker:
    """A worker that has ended so."""
    worker = Worker.__new__(Worker)
    worker.rank, worker.error, worker.stopped, worker.ended_here = rank, error, None, False
    worker.process = SimpleNamespace(returncode=returncode)
    return worker


LOST = (1.0, "RuntimeError in distributed.py:210; see job.log")


@pytest.mark.parametrize("code", [1, -signal.SIGABRT])
def test_a_lost_worker_does_not_hide_the_first_error(code):
    """The line of the process that loses its peer may be read first, or it aborts without one."""
    lost = LOST if code == 1 else None
    workers = [ended(0, code, lost), ended(1, 1, (2.0, "training loss: expected a finite number"))]
    with pytest.raises(TrainingError, match=r"^process 1 of 2: training loss"):
        report(workers, StopRequest(), processes=2)
    with pytest.raises(TrainingError, match="process 0 of 2"):
        report([ended(0, code, lost), ended(1, 0)], StopRequest(), processes=2)


@pytest.mark.parametrize("code", [143, -signal.SIGTERM, -signal.SIGUSR1])
def test_workers_that_a_signal_cuts_off_were_stopped(code):
    cut_off = [ended(0, 1, LOST), ended(1, code, (2.0, "stopped by SIGTERM, as at the end of its wall time"))]
    with pytest.raises(StoppedError, match="2 processes, asked by SIGTERM while they started"):
        report(cut_off, StopRequest("SIGTERM"), processes=2)
    with pytest.raises(TrainingError):
        report(cut_off, StopRequest(), processes=2)
    with pytest.raises(TrainingError, match="training loss"):
        report([ended(0, 1, (1.0, "training loss: not finite")), ended(1, code)], StopRequest("SIGTERM"), processes=2)


def test_an_error_of_another_node_names_its_process_once():
    step = ended(0, 1, (1.0, "process 3 of 4: training loss: expected a finite number"))
    with pytest.raises(TrainingError, match=r"^process 3 of 4: training loss"):
        report([step], StopRequest(), processes=4)


@pytest.mark.slow
def test_an_error_of_all_processes_is_printed_once(study, tmp_path):
    message = r"^process [01] of 2: training loss of micro-batch .* at optimizer step \d+: expected a finite"
    with pytest.raises(TrainingError, match=message):
        together(study, tmp_path, learning_rate=1e30, clip_norm=None, warmup_ratio=0.0)
