"""Train the heads of the frozen rows of Table 3 directly and on pooled features, in one run on the same cohorts.

snakemake --cores all                # the demo study, whose cohorts, base and adapter are read
python benchmarks/frozen_rows.py [--study results/demo] [--epochs 10]

Both ways start from the tokenised cohort and the loaded base: the direct way passes the notes through the network in
every epoch of every task, ours once in all. They take turns, task by task; the pooling is counted whole.
"""

import argparse
import shutil
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from clinical_peft.files import read_json, write_json
from clinical_peft.recipes import FinetuneJob, PoolJob
from clinical_peft.recipes.job_records import job_from_record
from clinical_peft.runtime.events import NullLog
from clinical_peft.runtime.provenance import git_revision, machine, package_versions
from clinical_peft.training.classification import prepare
from clinical_peft.training.finetuning import finetune, prepare_task
from clinical_peft.training.pooling import pool_notes
from clinical_peft.training.task_data import TaskInputs

HERE = Path(__file__).resolve().parent
MODELS = ("llama", "llama+clinical-frozen")
TASKS = ("pmv", "mortality", "los", "diagnoses", "procedures")


class Bench:
    """One model's frozen row.

    Args:
        study: Folder of a finished study.
        model: Name of a model that trains a head alone.
        epochs: Epochs of both ways; those of the study's recipe where None.
        work: Folder for what both write.
    """

    def __init__(self, study: Path, model: str, epochs: int | None, work: Path) -> None:
        self.study, self.model, self.epochs, self.work = study, model, epochs, work
        job = self.job(TASKS[0])
        (base,) = {read_json(path)["base"] for path in study.glob(f"models/{model}/*/seed0/classifier.json")}
        self.base = study / "bases" / base
        self.adapter = study / "adapters" / job.clinical if job.clinical else None

    def job(self, task: str) -> FinetuneJob:
        """The study's own recipe with the benchmark's number of epochs."""
        job = job_from_record(FinetuneJob, read_json(self.study / "recipes" / self.model / f"{task}.json"))
        return replace(job, recipe=replace(job.recipe, epochs=self.epochs or job.recipe.epochs))

    def cohort(self, task: str) -> dict[str, Path]:
        """Cohort and label space of a task."""
        stem = self.study / "cohorts" / task
        return {"cohort": stem.with_suffix(".parquet"), "classes": stem.with_suffix(".classes.json")}

    def pool(self) -> dict[str, Any]:
        """Pass every distinct note once; return the record of it with the time of the whole call."""
        job = self.job(TASKS[0])
        settings = PoolJob(
            family="causal",
            clinical=job.clinical,
            clinical_mode="frozen" if job.clinical else None,
            context=job.recipe.context,
            micro_batch_size=job.recipe.micro_batch_size,
            precision=job.recipe.precision,
            threads=job.recipe.threads,
            switches=job.switches,
        )
        started = time.perf_counter()
        record = pool_notes(
            settings,
            cohorts=[self.cohort(task)["cohort"] for task in TASKS],
            base=self.base,
            adapter=self.adapter,
            output=self.features,
            record=self.work / "pooled.json",
            log=NullLog(),
        )
        return record | {"whole_seconds": time.perf_counter() - started}

    @property
    def features(self) -> Path:
        """Where the pooled features are kept."""
        return self.work / f"{self.model}.safetensors"

    def outputs(self, way: str, task: str) -> dict[str, Path]:
        """Where a run writes."""
        folder = self.work / way / self.model / task
        return {"work": folder / "work", "predictions": folder / "p.parquet", "model_directory": folder / "model"}

    def train(self, way: str, task: str, seed: int = 0) -> dict[str, Any]:
        """Train a head; return the run's summary with the time of the whole call, after reading and tokenising."""
        job = self.job(task)
        # A finished run is not trained again as long as its checkpoint lies there.
        shutil.rmtree(self.outputs(way, task)["work"], ignore_errors=True)
        inputs = TaskInputs(**self.cohort(task), base=self.base, adapter=self.adapter)
        if way == "pooled":
            prepared = prepare_task(job, replace(inputs, features=self.features))
        else:
            prepared = prepare(job, inputs, keep_features=False)
        started = time.perf_counter()
        summary = finetune(prepared, seed=seed, log=NullLog(), **self.outputs(way, task))
        return summary | {"whole_seconds": time.perf_counter() - started}

    def difference(self, task: str) -> float:
        """Largest difference between the logits of both ways."""
        both = [
            np.asarray(pq.read_table(self.outputs(way, task)["predictions"]).column("logits").to_pylist())
            for way in ("direct", "pooled")
        ]
        return float(np.abs(both[0] - both[1]).max())


def row(bench: Bench) -> dict[str, Any]:
    """Measure one frozen row of Table 3."""
    pooled = bench.pool()
    seconds = {"direct": 0.0, "pooled": pooled["whole_seconds"]}
    tokens = {"direct": 0, "pooled": pooled["tokens"]}
    difference = 0.0
    for task in TASKS:
        for way in ("direct", "pooled"):
            summary = bench.train(way, task)
            seconds[way] += summary["whole_seconds"]
            if way == "direct":
                tokens[way] += summary["passes"]["trained_tokens"] + summary["passes"]["forward_tokens"]
        difference = max(difference, bench.difference(task))
        print(f"{bench.model} {task}: {seconds}", file=sys.stderr)
    return {
        "model": bench.model,
        "seconds": seconds,
        "network_tokens": tokens,
        "times_fewer_tokens": tokens["direct"] / tokens["pooled"],
        "times_faster": seconds["direct"] / seconds["pooled"],
        "largest_logit_difference": difference,
    }


def main() -> None:
    """Run both ways on every frozen row and write benchmarks/results/frozen_rows.json."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--study", type=Path, default=HERE.parent / "results" / "demo", help="folder of a finished study"
    )
    parser.add_argument("--epochs", type=int, default=10)
    given = parser.parse_args()
    study: Path = given.study
    with tempfile.TemporaryDirectory() as work:
        rows = [row(Bench(study, model, given.epochs, Path(work))) for model in MODELS]
    result = {
        "study": study.name,
        "epochs": given.epochs,
        "tasks": TASKS,
        "rows": rows,
        "git_revision": git_revision(HERE),
        "machine": machine(),
        "versions": package_versions(),
    }
    write_json(HERE / "results" / "frozen_rows.json", result)


if __name__ == "__main__":
    main()
