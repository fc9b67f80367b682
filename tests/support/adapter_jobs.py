"""The whole job of a small adapter, in several processes."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from language_fixtures import RECIPE, job

from clinical_peft.methods import Method
from clinical_peft.methods.lora import Lora
from clinical_peft.recipes import Devices
from clinical_peft.recipes.job_records import as_record
from clinical_peft.training.adapter_job import AdapterJob, train_adapter

JOB = job(Lora(r=4, alpha=8))


def places(folder: Path) -> dict[str, Path]:
    """Where a job in a folder writes, by the names of the parameters of `pretrain`."""
    return {"output": folder / "adapter", "perplexity": folder / "perplexity.json", "work": folder / "work"}


def adapter_job(
    study: dict[str, Path],
    folder: Path,
    strategy: str = "ddp",
    *,
    processes: int = 2,
    method: Method = JOB.method,
    **recipe: Any,
) -> AdapterJob:
    """Return the job of a study's base and tokens that writes into a folder."""
    devices = Devices(processes=processes, strategy=strategy)
    this_job = replace(JOB, method=method, recipe=replace(RECIPE, devices=devices, **recipe))
    return AdapterJob(
        job=this_job,
        record=as_record(this_job),
        base=study["base"],
        tokens=study["tokens"],
        general=None,
        adapter=folder / "adapter",
        perplexity=folder / "perplexity.json",
        run_log=folder / "runs" / "run.jsonl",
        work=folder / "work",
        log_file=folder / "logs" / "job.log",
        folder=folder,
    )


def together(study: dict[str, Path], folder: Path, strategy: str = "ddp", **settings: Any) -> dict[str, Any]:
    """Train the job in two processes and return its record."""
    train_adapter(adapter_job(study, folder, strategy, **settings))
    return json.loads((folder / "perplexity.json").read_text())
