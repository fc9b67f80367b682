"""Training that is killed, stopped or runs out of disk goes on to the bytes of a run that was left in peace."""

import json
import os
import random
import re
import signal
from pathlib import Path

import pytest
from language_fixtures import clinical_tokens, scratch_base
from models_fixtures import write_base, write_clinical, write_cohort
from resume_jobs import checkpoints, signal_after_checkpoints, start
from safetensors import safe_open

from clinical_peft.files import PARTIAL, read_json, sha256_file
from clinical_peft.locks.claims import Claim
from clinical_peft.locks.ownership import SUFFIX
from clinical_peft.runtime.events import read_events

STOPPED = 75
JOBS = {
    "adapter with LoRA and dropout": ("adapter", {"method": "lora"}),
    "adapter with AdaLoRA": ("adapter", {"method": "adalora"}),
    "base with masks drawn": ("base", {"family": "encoder"}),
    "two seeds of a classifier": ("classifier", {"variant": "clinical-trainable+task"}),
}
MEASURED = {"seconds", "tokens_per_second", "flops_utilisation", "energy_joules", "device_idle_share"}


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    clinical_tokens(folder, scratch_base(folder))
    write_clinical(folder / "clinic", write_base(folder / "random", "causal"))
    write_cohort(folder / "cohorts", "mortality")
    return folder


@pytest.fixture(scope="module")
def in_peace(study, tmp_path_factory):
    """Folders of uninterrupted runs, each run once."""
    done: dict[str, Path] = {}

    def run(name: str) -> Path:
        if name not in done:
            done[name] = tmp_path_factory.mktemp("peace")
            finish(study, done[name], name)
        return done[name]

    return run


def begin(study: Path, out: Path, name: str, *, largest_file: int | None = None):
    return start(study, out, *JOBS[name], largest_file=largest_file)


def finish(study: Path, out: Path, name: str, *, largest_file: int | None = None) -> None:
    process = begin(study, out, name, largest_file=largest_file)
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors


def results(out: Path) -> dict[str, object]:
    """What a job wrote, without what the machine measured, its log and its work folder."""
    found: dict[str, object] = {}
    for file in sorted(path for path in out.rglob("*") if path.is_file() and not path.is_relative_to(out / "work")):
        name = str(file.relative_to(out))
        if file.name == "perplexity.json":
            found[name] = {key: read_json(file)[key] for key in ("perplexity", "curve", "kept_update", "tokens")}
        elif file.suffix == ".jsonl":
            found[name] = figures(file)
        elif file.suffix != ".log":
            found[name] = file.read_bytes()
    return found


def figures(file: Path) -> dict[tuple[str, int | None], float]:
    """Figures of a run log by name and step, the last one winning, as the tracker reads them."""
    return {
        (key, event["step"]): value
        for event in read_events(file)
        for key, value in event.get("metrics", {}).items()
        if key not in MEASURED
    }


def generations(out: Path) -> set[str]:
    """Digests of all checkpoints of a job, whatever their names."""
    return {sha256_file(file) for file in out.glob("work/**/checkpoint*.safetensors") if PARTIAL not in str(file)}


def lose_outputs(out: Path) -> None:
    """Delete the run logs, as the workflow deletes the outputs of a failed job."""
    for file in out.glob("*.jsonl"):
        file.unlink()


@pytest.mark.slow
@pytest.mark.parametrize("name", JOBS)
def test_a_repeatedly_killed_job_ends_with_the_same_bytes(name, study, in_peace, tmp_path):
    seed = random.randrange(2**32)
    draw = random.Random(seed)
    kills = 0
    for _ in range(3):
        process = begin(study, tmp_path, name)
        killed = signal_after_checkpoints(process, tmp_path, draw.randint(1, 5), signal.SIGKILL)
        process.communicate(timeout=600)
        kills += killed
        assert process.returncode == (-signal.SIGKILL if killed else 0), f"draws of seed {seed}"
        if not killed:
            break
        lose_outputs(tmp_path)
    assert kills
    if killed:
        finish(study, tmp_path, name)
    assert results(tmp_path) == results(in_peace(name)), f"draws of seed {seed}"


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
@pytest.mark.parametrize("name", ["adapter with LoRA and dropout", "two seeds of a classifier"])
def test_a_job_that_is_asked_to_stop_saves_and_says_so(number, name, study, in_peace, tmp_path):
    process = begin(study, tmp_path, name)
    assert signal_after_checkpoints(process, tmp_path, 3, number)
    _, errors = process.communicate(timeout=600)
    assert process.returncode == STOPPED, errors
    line = errors.splitlines()[-1]
    pattern = (
        rf"stopped: .+ after step (\d+) of \d+, asked by {number.name}; a checkpoint is saved, and the same command .+"
    )
    step = int(re.fullmatch(pattern, line)[1])
    assert line in (tmp_path / "job.log").read_text()
    (folder,) = {file.parent for file in checkpoints(tmp_path)}
    with safe_open(folder / "checkpoint.safetensors", framework="pt") as file:
        state = json.loads(file.metadata()["state"])
    assert state.get("run", state)["step"] == step
    lose_outputs(tmp_path)
    finish(study, tmp_path, name)
    assert results(tmp_path) == results(in_peace(name))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["adapter with LoRA and dropout", "two seeds of a classifier"])
def test_training_taken_over_leaves_its_successors_files(name, study, in_peace, tmp_path):
    process = begin(study, tmp_path, name)
    assert signal_after_checkpoints(process, tmp_path, 3, signal.SIGSTOP)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
    claim = Claim(tmp_path / f"work{SUFFIX}")
    claim.displace(claim.holder())
    assert claim.try_to_take({})
    before = generations(tmp_path)
    process.send_signal(signal.SIGCONT)
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 1, errors
    assert "has taken this job over" in errors.splitlines()[-1]
    assert generations(tmp_path) <= before
    claim.release()
    lose_outputs(tmp_path)
    finish(study, tmp_path, name)
    assert results(tmp_path) == results(in_peace(name))


@pytest.mark.slow
def test_a_disk_too_full_for_checkpoints_does_not_end_training(study, in_peace, tmp_path):
    name = "adapter with LoRA and dropout"
    sizes = [file.stat().st_size for file in (in_peace(name) / "adapter").iterdir()]
    # The log grows by what it says of every checkpoint, and is cut where it meets the limit.
    finish(study, tmp_path, name, largest_file=max(sizes))
    assert "no checkpoint of" in (tmp_path / "job.log").read_text()
    assert results(tmp_path) == results(in_peace(name))


@pytest.mark.slow
def test_a_full_disk_is_a_named_error_and_costs_no_training(study, in_peace, tmp_path):
    name = "adapter with LoRA and dropout"
    largest = (in_peace(name) / "adapter" / "adapter_model.safetensors").stat().st_size
    process = begin(study, tmp_path, name, largest_file=largest - 1)
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 1
    assert re.fullmatch(r"error: .+/work/adapter: file too large; free space, .+", errors.splitlines()[-1]), errors
    assert not (tmp_path / "adapter").exists()
    finish(study, tmp_path, name)
    assert results(tmp_path) == results(in_peace(name))
