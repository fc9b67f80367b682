"""Training jobs as processes of their own, for tests that kill them."""

import json
import resource
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

from language_fixtures import RECIPE, SALT, SHAPE

from clinical_peft.files import write_json
from clinical_peft.locks.ownership import owned_work
from clinical_peft.methods.adalora import AdaLora
from clinical_peft.methods.lora import Lora
from clinical_peft.recipes import PretrainJob
from clinical_peft.recipes.switches import resolve_switches
from clinical_peft.runtime.events import JsonlLog
from clinical_peft.runtime.jobs import job
from clinical_peft.training.finetuning import finetune, prepare_task
from clinical_peft.training.language import pretrain
from clinical_peft.training.scratch import prepare_scratch_base
from clinical_peft.training.task_data import TaskInputs

METHODS = {"lora": Lora(r=4, alpha=8, dropout=0.1), "adalora": AdaLora(init_r=4, target_r=2, dropout=0.1)}
# Every update leaves a checkpoint; weights are chosen at several evaluations.
OFTEN = {"evaluations": 5, "checkpoint_seconds": 0.0}


def run_log(out: Path, name: str) -> JsonlLog:
    """Begin or go on with a run log that a workflow would delete when the job fails."""
    log = JsonlLog(out / f"{name}.jsonl", kind="test", name=name, kept=out / "work" / f"{name}.jsonl")
    log.params({"name": name})
    return log


def train_adapter(study: Path, out: Path, *, method: str) -> None:
    """Train an adapter of the study's base."""
    pretrain(
        PretrainJob(
            adapter="clinical",
            method=METHODS[method],
            recipe=replace(RECIPE, **OFTEN),
            seed=5,
            split_salt=SALT,
            switches=resolve_switches("corrected", {}),
        ),
        base=study / "causal",
        tokens=study / "clinical",
        output=out / "adapter",
        perplexity=out / "perplexity.json",
        work=out / "work",
        log=run_log(out, "run"),
    )


def train_base(study: Path, out: Path, *, family: str) -> None:
    """Train a base from scratch; a masked one draws masks."""
    prepare_scratch_base(
        study / "general.parquet",
        out / "base",
        name="tiny",
        family=family,
        shape=SHAPE,
        recipe=replace(RECIPE, **OFTEN),
        seed=0,
        split_salt=SALT,
        work=out / "work",
        log=run_log(out, "run"),
    )


def fine_tune(study: Path, out: Path, *, variant: str) -> None:
    """Fine-tune two seeds of a classifier."""
    from models_fixtures import make_job

    this_job = make_job(variant, epochs=3, checkpoint_seconds=0.0)
    this_job = replace(this_job, task_method=replace(this_job.task_method, dropout=0.2))
    inputs = TaskInputs(
        cohort=study / "cohorts/mortality.parquet",
        classes=study / "cohorts/mortality.classes.json",
        base=study / "random",
        adapter=study / "clinic",
    )
    task = prepare_task(this_job, inputs)
    for seed in (0, 1):
        summary = finetune(
            task,
            seed=seed,
            work=out / "work" / f"seed{seed}",
            predictions=out / f"seed{seed}.parquet",
            model_directory=out / f"seed{seed}",
            log=run_log(out, f"seed{seed}"),
        )
        write_json(out / f"seed{seed}.json", {key: summary[key] for key in ("best_epoch", "curve")})


KINDS = {"adapter": train_adapter, "base": train_base, "classifier": fine_tune}


def start(
    study: Path, out: Path, kind: str, settings: dict[str, str], *, largest_file: int | None = None
) -> "subprocess.Popen[str]":
    """Start a job; its results and its log lie in `out`.

    A limit to the size of a file, in bytes, stands for a full disk: small files can be written, large ones fail.
    """
    arguments = [sys.executable, __file__, str(study), str(out), kind, json.dumps(settings), str(largest_file or -1)]
    return subprocess.Popen(arguments, cwd=Path(__file__).parent, stderr=subprocess.PIPE, text=True)


def checkpoints(out: Path) -> dict[Path, int]:
    """Return the newest checkpoints of a job and when they were written, in nanoseconds."""
    return {file: file.stat().st_mtime_ns for file in out.glob("work/**/checkpoint.safetensors")}


def signal_after_checkpoints(process: "subprocess.Popen[str]", out: Path, count: int, number: signal.Signals) -> bool:
    """Send a signal to a job after so many new checkpoints, at whatever it does then; False if it ended before."""
    seen = checkpoints(out)
    while process.poll() is None:
        try:
            now = checkpoints(out)
        except FileNotFoundError:  # replaced in between
            continue
        if now != seen:
            seen, count = now, count - 1
        if count <= 0:
            process.send_signal(number)
            return True
        time.sleep(0.005)
    return False


if __name__ == "__main__":
    study, out = map(Path, sys.argv[1:3])
    with job(out / "job.log"), owned_work(out / "work", []):
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[5]), hard))
        KINDS[sys.argv[3]](study, out, **json.loads(sys.argv[4]))
